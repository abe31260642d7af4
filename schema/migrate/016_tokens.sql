-- Tokens are swept by a walk over their jobs: an index would cost each call with a token another page.
DROP INDEX token_until;
