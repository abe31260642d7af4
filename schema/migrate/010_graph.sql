-- Sets of people as the social graph has them: whom the operator follows, who is on a list.  Read in the background, and kept
-- while a server is down.
CREATE TABLE graph (
  id         INTEGER PRIMARY KEY,
  kind       TEXT    NOT NULL CHECK (kind IN ('follows', 'list')),
  source     TEXT    NOT NULL,              -- whose follows (DID or handle), or the at:// URI of the list
  owner      TEXT,                          -- DID of whose repository it stands in
  name       TEXT,                          -- of a list, as its record says
  reading    INTEGER NOT NULL DEFAULT 0,    -- number of the reading that is under way or was the last
  checked_at INTEGER,                       -- end of the last whole reading; NULL: none yet
  tried_at   INTEGER,
  error      TEXT,                          -- why the last try failed; NULL: it did not
  UNIQUE (kind, source)
) STRICT;

-- Who is in a set.  Those whom the last whole reading did not meet are gone.
CREATE TABLE member (
  graph   INTEGER NOT NULL,
  did     TEXT    NOT NULL,
  reading INTEGER NOT NULL,                 -- that met them last
  PRIMARY KEY (graph, did)
) STRICT, WITHOUT ROWID;

-- Does somebody follow the operator?  Of those only who wanted to know (mode = mutuals).
CREATE TABLE follower (
  did        TEXT    NOT NULL,
  operator   TEXT    NOT NULL,              -- DID
  follows    INTEGER NOT NULL CHECK (follows IN (0, 1)),
  checked_at INTEGER NOT NULL,
  PRIMARY KEY (did, operator)
) STRICT, WITHOUT ROWID;
