-- What ended, by five minutes: all that the status page's charts are made of, so that they cost the same with any history.
-- The scheduler counts in memory and adds with its heartbeat; what it had counted since is lost with one that is killed.
CREATE TABLE traffic (
  at INTEGER PRIMARY KEY,                   -- when the five minutes began
  -- by job.outcome, and again by job.start
  ok INTEGER NOT NULL, error INTEGER NOT NULL, timeout INTEGER NOT NULL, memory INTEGER NOT NULL, output INTEGER NOT NULL,
  killed INTEGER NOT NULL, refused INTEGER NOT NULL, lost INTEGER NOT NULL, expired INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  unstarted INTEGER NOT NULL, warm INTEGER NOT NULL, blank INTEGER NOT NULL, cold INTEGER NOT NULL,
  -- of those that ran while somebody waited for them, from acceptance to end: how many, for how long in all, and how many of
  -- them took so long or less
  waited INTEGER NOT NULL, sum_ms INTEGER NOT NULL,
  ms_1 INTEGER NOT NULL, ms_2 INTEGER NOT NULL, ms_5 INTEGER NOT NULL, ms_10 INTEGER NOT NULL, ms_25 INTEGER NOT NULL,
  ms_50 INTEGER NOT NULL, ms_100 INTEGER NOT NULL, ms_250 INTEGER NOT NULL, ms_500 INTEGER NOT NULL,
  ms_1000 INTEGER NOT NULL, ms_2500 INTEGER NOT NULL, ms_5000 INTEGER NOT NULL, ms_10000 INTEGER NOT NULL,
  ms_30000 INTEGER NOT NULL
) STRICT;

-- What was started for whom, by the day.
CREATE TABLE traffic_author (
  day    INTEGER NOT NULL,                  -- since 1970, UTC
  author TEXT    NOT NULL,                  -- DID; '': those for whom memory had no room
  calls  INTEGER NOT NULL,
  failed INTEGER NOT NULL,                  -- of these, with an outcome other than ok and cancelled
  ran_ms INTEGER NOT NULL,
  PRIMARY KEY (day, author)
) STRICT, WITHOUT ROWID;
