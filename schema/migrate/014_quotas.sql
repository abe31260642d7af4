-- What authors, bundles and callers used by the day, where a limit asks for it.
CREATE TABLE usage (
  day          INTEGER NOT NULL,            -- since 1970, UTC
  kind         TEXT    NOT NULL CHECK (kind = 'author' OR kind = 'bundle' OR kind = 'caller'),
  name         TEXT    NOT NULL,            -- DID; DID/name; DID, or address
  cpu_ms       INTEGER NOT NULL,
  egress_bytes INTEGER NOT NULL,
  PRIMARY KEY (day, kind, name)
) STRICT, WITHOUT ROWID;

-- A call that came too early: when it would be taken.
ALTER TABLE job ADD COLUMN retry_at INTEGER;
