-- Service tokens that callers showed: each is good for one call, and stays until it could be used no more.
CREATE TABLE token (
  job       INTEGER PRIMARY KEY,
  issuer    TEXT    NOT NULL,               -- DID that it says it is of; one that was not is dropped
  nonce     TEXT    NOT NULL,               -- jti
  alg       TEXT    NOT NULL CHECK (alg = 'ES256' OR alg = 'ES256K'),
  signed    TEXT    NOT NULL,               -- head and claims in base64url: what the signature is over
  signature BLOB    NOT NULL,
  until_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX token_until ON token (until_at);
