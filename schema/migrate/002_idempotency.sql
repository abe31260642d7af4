-- Idempotency-Key: which job a key means.  Its request says what it was given for; no key outlives jobs.keep_keys.
CREATE TABLE idempotency (
  id         INTEGER PRIMARY KEY,           -- order of coming
  scope      TEXT    NOT NULL,              -- 'author/bundle' as the URL said it: bundles do not share keys
  caller     TEXT    NOT NULL,              -- DID, '' for all who are anonymous
  key        TEXT    NOT NULL,
  job        INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (scope, caller, key)
) STRICT;
