-- Requests whose bodies come while their handlers run.
CREATE TABLE upload (
  job        INTEGER PRIMARY KEY,
  bytes      INTEGER,
  allowed    INTEGER NOT NULL DEFAULT 0,
  whole      INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),
  holds      INTEGER NOT NULL CHECK (holds IN (0, 1)),
  error_name TEXT,
  error      TEXT
) STRICT;

CREATE TABLE piece (
  job  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  last INTEGER NOT NULL CHECK (last IN (0, 1)),
  data BLOB    NOT NULL,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;
