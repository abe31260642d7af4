-- Starts of a job that was started more than once: what became of each.  Calls that are started once have none.
CREATE TABLE attempt (
  job        INTEGER NOT NULL,
  n          INTEGER NOT NULL,              -- 1, 2, ...
  run        INTEGER NOT NULL,
  instance   INTEGER,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  outcome    TEXT    NOT NULL,              -- words of job.outcome
  error_name TEXT,
  error      TEXT,
  again_at   INTEGER,                       -- when the next is due, NULL: it was the last
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

-- Jobs made again from the request of one that was done: job retry, job redrive.
CREATE TABLE rerun (
  job INTEGER PRIMARY KEY,
  of  INTEGER NOT NULL
) STRICT;
CREATE INDEX rerun_of ON rerun (of);

-- Verbs of orders are not listed in the schema any more: whoever does not know one says so.
DROP INDEX orders_open;
ALTER TABLE orders RENAME TO orders_old;
CREATE TABLE orders (
  id         INTEGER PRIMARY KEY,
  verb       TEXT    NOT NULL,
  args_json  TEXT    NOT NULL DEFAULT '{}',
  created_at INTEGER NOT NULL,
  done_at    INTEGER,
  note       TEXT
) STRICT;
INSERT INTO orders SELECT * FROM orders_old;
DROP TABLE orders_old;
CREATE INDEX orders_open ON orders (id) WHERE done_at IS NULL;
