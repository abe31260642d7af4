-- What waits is read by endpoint, so that one that may run no more side by side holds up no other.
DROP INDEX job_open;
CREATE INDEX job_open ON job (author, bundle, endpoint) WHERE done_at IS NULL;
