-- Which trace a call belongs to (lib/trace.h).
ALTER TABLE job ADD COLUMN trace TEXT;
