-- Times that no clock setting moves: deadlines and heartbeats are judged by them, as long as the machine was not booted since.
ALTER TABLE run ADD COLUMN seen_mono INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN first_job INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN created_mono INTEGER;
