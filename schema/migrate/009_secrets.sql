-- The runner's public keys, as the keeper told them when it last read keys/.  The secret halves lie there, and nowhere here.
-- A key that is gone opens and signs nothing any more, but what it signed can still be verified.
CREATE TABLE runner_key (
  key     TEXT    PRIMARY KEY,              -- Multikey: z6LS… (X25519) or z6Mk… (Ed25519)
  use     TEXT    NOT NULL CHECK (use = 'secrets' OR use = 'receipts'),
  number  INTEGER NOT NULL,                 -- the highest is the newest: authors seal for it
  made_at INTEGER NOT NULL,
  gone_at INTEGER                           -- NULL: in keys/
) STRICT, WITHOUT ROWID;

-- Sealed secrets of authors for this runner, as they were fetched: the record with its box.  Only the keeper can open it.
CREATE TABLE sealed (
  did         TEXT    NOT NULL,
  bundle      TEXT    NOT NULL,             -- name
  cid         TEXT    NOT NULL,             -- of the record
  record_json TEXT    NOT NULL,
  fetched_at  INTEGER NOT NULL,
  PRIMARY KEY (did, bundle)
) STRICT, WITHOUT ROWID;
