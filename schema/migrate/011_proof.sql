-- The newest revision of each author's repository that was proven here: what is older is refused.
CREATE TABLE repo (
  did     TEXT PRIMARY KEY,
  rev     TEXT    NOT NULL,                 -- texts of this kind sort by time
  seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What proved a bundle when it was fetched last.
ALTER TABLE bundle ADD COLUMN rev TEXT;        -- of the repository
ALTER TABLE bundle ADD COLUMN commit_cid TEXT;
ALTER TABLE bundle ADD COLUMN proof TEXT;      -- the chain in words, a line each
