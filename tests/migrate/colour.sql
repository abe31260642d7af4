-- A step as one might come, for the test of steps: a column, a table, and what is in the rows already.
ALTER TABLE orders ADD COLUMN colour TEXT;
CREATE TABLE shade (
  name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
UPDATE orders SET colour = 'grey' WHERE done_at IS NULL;
