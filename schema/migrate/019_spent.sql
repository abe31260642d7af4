-- A token stands in its request; those that were used are written down together.
ALTER TABLE request ADD COLUMN token TEXT;
CREATE TABLE spent (
  id       INTEGER PRIMARY KEY,             -- order of coming
  job      INTEGER NOT NULL,                -- for which; it may come again, if it was not started
  issuer   TEXT    NOT NULL,                -- DID
  nonce    TEXT    NOT NULL,                -- jti
  until_at INTEGER NOT NULL
) STRICT;
INSERT INTO spent (job, issuer, nonce, until_at) SELECT job, issuer, nonce, until_at FROM token;
INSERT OR REPLACE INTO meta (key, value) SELECT 'spent_to', CAST(coalesce(max(id), 0) AS TEXT) FROM job;
DROP TABLE token;
