-- Where the end of a job is to be told (At-Run-Callback).  It is due when the job is done, and told at least once; an attempt
-- that a kill cuts short is made again.  Dropped with the job.
CREATE TABLE callback (
  job      INTEGER PRIMARY KEY,
  url      TEXT    NOT NULL,
  host     TEXT    NOT NULL,                -- of the URL, lower case
  state    TEXT    NOT NULL DEFAULT 'waiting'      -- for the job; void: nobody was told that the job was accepted
           CHECK (state = 'waiting' OR state = 'due' OR state = 'delivered' OR state = 'failed' OR state = 'void'),
  attempts INTEGER NOT NULL DEFAULT 0,      -- that came to their end
  next_at  INTEGER,                         -- due: not before
  tried_at INTEGER,
  status   INTEGER,                         -- HTTP status that the receiver answered last
  error    TEXT,                            -- why the last attempt was none
  done_at  INTEGER                          -- NULL while waiting or due
) STRICT;
CREATE INDEX callback_open ON callback (next_at, host) WHERE done_at IS NULL;
