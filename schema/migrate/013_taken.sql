-- How far the caller has read a stream: the room for more of it, and what need not be kept.
ALTER TABLE result ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
