-- Whose is a token?  The door asks it for what is no call of a bundle; the scheduler answers in the same row, which goes soon.
CREATE TABLE proof (
  id         INTEGER PRIMARY KEY,
  token      TEXT    NOT NULL,
  caller     TEXT    NOT NULL,              -- DID that it says it is of
  bell       TEXT    NOT NULL,              -- whom to ring
  asked_at   INTEGER NOT NULL,
  done_at    INTEGER,
  error_kind TEXT,                          -- NULL when it is done: the token is the caller's, and used
  error_name TEXT,
  error      TEXT
) STRICT;
CREATE INDEX proof_open ON proof (id) WHERE done_at IS NULL;
