-- Who may see the operator's page: tokens that `at-rund page token` made.  hash: SHA-256 of the secret half, which is 192
-- random bits and stands nowhere.
CREATE TABLE page_token (
  id       INTEGER PRIMARY KEY,
  name     TEXT    NOT NULL,                -- what the operator calls it
  hash     TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  until_at INTEGER,                         -- NULL: until it is revoked
  used_at  INTEGER,                         -- somebody signed in with it
  gone_at  INTEGER                          -- revoked
) STRICT;

-- Browsers that are signed in: each has a secret of its own in a cookie.
CREATE TABLE page_session (
  id       INTEGER PRIMARY KEY,
  token    INTEGER NOT NULL,                -- page_token.id: it ends with its token
  hash     TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  until_at INTEGER NOT NULL
) STRICT;

-- Wrong tokens by address, so that nobody tries for long.
CREATE TABLE page_wrong (
  client   TEXT PRIMARY KEY,                -- of IPv6 the first half
  since_at INTEGER NOT NULL,
  tries    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
