-- How work after an answer ended.
CREATE TABLE afterwork (
  job     INTEGER PRIMARY KEY,
  works   INTEGER NOT NULL,
  failed  INTEGER NOT NULL,
  ms      INTEGER NOT NULL,
  outcome TEXT    NOT NULL CHECK (outcome = 'ok' OR outcome = 'error' OR outcome = 'timeout' OR outcome = 'killed')
) STRICT;
