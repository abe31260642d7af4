-- Receipts for calls that asked for one (lib/receipt.h), as the keeper signed them.  Dropped with the job.
CREATE TABLE receipt (
  job  INTEGER PRIMARY KEY,
  text TEXT    NOT NULL
) STRICT;
