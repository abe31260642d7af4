-- Whose schedules are started here, as the operator said (at-rund enroll); with schedules.enroll = allowlist others are too.
CREATE TABLE enrolment (
  did        TEXT    NOT NULL,
  bundle     TEXT    NOT NULL,              -- '': all bundles of the author
  created_at INTEGER NOT NULL,
  PRIMARY KEY (did, bundle)
) STRICT, WITHOUT ROWID;

-- Endpoints that come by themselves, as the records of enrolled bundles say.
CREATE TABLE schedule (
  id       INTEGER PRIMARY KEY,
  did      TEXT    NOT NULL,
  bundle   TEXT    NOT NULL,
  endpoint TEXT    NOT NULL,
  cron     TEXT    NOT NULL,
  zone     TEXT    NOT NULL,
  overlap  TEXT    NOT NULL CHECK (overlap = 'skip' OR overlap = 'queue' OR overlap = 'parallel'),
  missed   TEXT    NOT NULL CHECK (missed = 'skip' OR missed = 'once'),
  paused   INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  next_at  INTEGER NOT NULL,                -- 0: never
  last_at  INTEGER,
  last_job INTEGER,
  queued   INTEGER NOT NULL DEFAULT 0,      -- firings that wait for the job before
  error    TEXT,                            -- why it cannot come
  seen_at  INTEGER NOT NULL,                -- when the record last changed it
  UNIQUE (did, bundle, endpoint)
) STRICT;

-- Each time a schedule came: a time is dealt with once.
CREATE TABLE firing (
  id       INTEGER PRIMARY KEY,
  schedule INTEGER NOT NULL,
  due_at   INTEGER NOT NULL,
  what     TEXT    NOT NULL CHECK (what = 'started' OR what = 'skipped' OR what = 'missed' OR what = 'queued'
                                   OR what = 'asked'),
  at       INTEGER NOT NULL,
  job      INTEGER,                         -- NULL: none was made
  UNIQUE (schedule, due_at)
) STRICT;
CREATE INDEX firing_job ON firing (job) WHERE job IS NOT NULL;
