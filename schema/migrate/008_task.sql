-- Endpoints that run in the background are told 202, whatever their caller asked for.
ALTER TABLE job ADD COLUMN task INTEGER CHECK (task = 1);
