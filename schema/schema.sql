-- The ledger of at-rund.  This file is what a fresh database gets; migrate/NNN_why.sql brings an older one to
-- the same shape (a test compares the two).  People read the views (views.sql), which are stable; the tables are not.
--
-- Rules of the house: STRICT tables, states are words with a CHECK, times are unix milliseconds (UTC) and end in _at,
-- durations end in _ms, JSON stands only in columns that end in _json (no CHECK json_valid: SQLite 3.40 takes it for
-- unsafe in a schema it was told not to trust).  Secrets in clear never come here.
--
-- Where each call writes, a CHECK is a chain of OR: for IN with three words or more SQLite makes a table at each write.
--
-- The life of a job (lib/job.c holds the same table; a test compares them):
--
--     queued ──▶ admitted ──▶ running ──▶ done          done carries the outcome and never changes again
--        │          │  ▲         │         ▲
--        │          │  └─ again ─┘         │            again: only what was never started, or idempotent endpoints
--        └──────────┴─ refused, expired, cancelled ┘

PRAGMA application_id = 0x61747264;          -- "atrd", for file(1) and for us; embed.sh adds user_version

-- What this database is: schema facts and the runner's own small memory.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each time a scheduler took the lock.  A lease is void when its run is over.
CREATE TABLE run (
  id         INTEGER PRIMARY KEY,
  pid        INTEGER NOT NULL,
  boot       TEXT    NOT NULL,              -- boot id of the machine: monotonic times mean nothing without it
  version    TEXT    NOT NULL,              -- of at-rund
  started_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,              -- heartbeat, every few seconds; /ready looks at it
  draining   INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
  ended_at   INTEGER,                       -- NULL: running, or killed
  seen_mono  INTEGER NOT NULL DEFAULT 0,    -- the heartbeat again, in monotonic milliseconds of boot: clocks are set, this runs
  first_job  INTEGER NOT NULL DEFAULT 0     -- the next job.id when it began: from the first run of a boot on, monotonic times hold
) STRICT;

-- One invocation: a row.  Bodies stand in request and result, so that a change of state rewrites only this short row.
CREATE TABLE job (
  id          INTEGER PRIMARY KEY,          -- order of acceptance
  nonce       TEXT    NOT NULL,             -- 128 random bits in hex; the public id is "<id>-<nonce>"
  mode        TEXT    NOT NULL CHECK (mode IN ('sync', 'async')),  -- sync: somebody waits; async: 202, durable
  state       TEXT    NOT NULL DEFAULT 'queued'
              CHECK (state = 'queued' OR state = 'admitted' OR state = 'running' OR state = 'done'),
  outcome     TEXT
              CHECK (outcome = 'ok' OR outcome = 'error' OR outcome = 'timeout' OR outcome = 'memory'
                  OR outcome = 'output' OR outcome = 'killed' OR outcome = 'refused' OR outcome = 'lost'
                  OR outcome = 'expired' OR outcome = 'cancelled'),
  author      TEXT    NOT NULL,             -- DID, or 'local'; until admission as the URL said it, perhaps a handle
  bundle      TEXT    NOT NULL,             -- name
  version     TEXT    NOT NULL,             -- 'latest', a version, or a CID
  endpoint    TEXT    NOT NULL,
  method      TEXT    NOT NULL,
  caller      TEXT,                         -- DID of a service token, proven before admission; NULL: anonymous
  client      TEXT    NOT NULL,             -- address of the HTTP client as the web server saw it
  timeout_ms  INTEGER NOT NULL,             -- the whole budget: from created_at when sync, from started_at when async
  bell        TEXT,                         -- whom to ring when something happens to this job
  did         TEXT,                         -- the author, known since admission
  cid         TEXT,                         -- of the bundle record, fixed at admission: what runs
  runtime     TEXT,
  wall        TEXT,
  instance    INTEGER,                      -- instance.id
  start       TEXT    CHECK (start = 'warm' OR start = 'blank' OR start = 'cold'),
  idempotent  INTEGER NOT NULL DEFAULT 0 CHECK (idempotent IN (0, 1)),
  attempt     INTEGER NOT NULL DEFAULT 0,   -- how often it was given to an instance
  run         INTEGER,                      -- run.id of the scheduler that holds it
  lease       INTEGER NOT NULL DEFAULT 0,   -- grows with each start; only its holder may write the result
  lease_until INTEGER,                      -- monotonic milliseconds of run.boot
  cancel      INTEGER NOT NULL DEFAULT 0 CHECK (cancel IN (0, 1)),  -- somebody asked to stop it
  created_at  INTEGER NOT NULL,
  admitted_at INTEGER,
  started_at  INTEGER,
  done_at     INTEGER,
  error_kind  TEXT,                         -- lib/err.h: input denied notfound busy remote timeout internal
  error_name  TEXT,                         -- XRPC error name
  error       TEXT,                         -- what happened, which limit, its value, the key that sets it
  created_mono INTEGER,                     -- created_at in monotonic milliseconds: a clock that is set moves no deadline
  task        INTEGER CHECK (task = 1),     -- 1: an endpoint that is told 202, whether its caller asked for that or not
  retry_at    INTEGER,                      -- of a call that came too early: when it would be taken
  trace       TEXT,                         -- trace, span, flags, the sender's span, when it came (lib/trace.h)
  CHECK ((state = 'done') = (outcome IS NOT NULL)),
  CHECK ((state = 'done') = (done_at IS NOT NULL))
) STRICT;

-- The only index, of the few jobs that are not done: it changes when a job comes and when it ends, and with nothing
-- between, since each page more costs every call.  New jobs are found by their id.
CREATE INDEX job_open ON job (author, bundle, endpoint) WHERE done_at IS NULL;

-- A job that is done never changes, and only the arrows of the picture exist.  (AFTER costs a call half of what BEFORE does,
-- which has to read the row anew; ROLLBACK and not ABORT, because for the latter SQLite keeps a copy of every page that an
-- UPDATE touches.)
CREATE TRIGGER job_next AFTER UPDATE OF state ON job
WHEN NOT ((OLD.state = 'queued'   AND NEW.state IN ('admitted', 'done'))
       OR (OLD.state = 'admitted' AND (NEW.state = 'running' OR NEW.state = 'queued' OR NEW.state = 'done'))
       OR (OLD.state = 'running'  AND NEW.state IN ('admitted', 'done')))
BEGIN
  SELECT RAISE(ROLLBACK, 'no such change of a job''s state');
END;

-- What the caller sent; written once with the job, dropped by pruning.
CREATE TABLE request (
  job          INTEGER PRIMARY KEY,
  url          TEXT NOT NULL,               -- as the caller wrote it, with scheme and host
  path         TEXT NOT NULL,               -- rest after the endpoint, '' or '/more/path'
  query        TEXT NOT NULL,               -- raw, without '?'
  headers_json TEXT NOT NULL,               -- [["name","value"],...], names in lower case
  body         BLOB,
  token        TEXT                         -- the service token that came with it
) STRICT;

-- A request whose body comes while its handler runs, until that has ended or the body is whole in request.
CREATE TABLE upload (
  job        INTEGER PRIMARY KEY,
  bytes      INTEGER,                       -- as announced, NULL: nobody knows
  allowed    INTEGER NOT NULL DEFAULT 0,    -- of it may have come in all: 0 before the handler runs, then what it took and a window
  whole      INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),  -- 1: it is wanted all at once, before anything runs
  holds      INTEGER NOT NULL CHECK (holds IN (0, 1)),  -- 1: no answer reaches the caller before the body's end
  error_name TEXT,                          -- why no more of it comes
  error      TEXT
) STRICT;

-- What came of such a body and was not handed on yet.
CREATE TABLE piece (
  job  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,                    -- 0, 1, 2, ...
  last INTEGER NOT NULL CHECK (last IN (0, 1)),
  data BLOB    NOT NULL,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

-- What the handler answered.  A stream has streamed = 1, no body here, and its bytes in chunk.
CREATE TABLE result (
  job          INTEGER PRIMARY KEY,
  status       INTEGER NOT NULL,
  headers_json TEXT NOT NULL,
  streamed     INTEGER NOT NULL CHECK (streamed IN (0, 1)),
  body         BLOB,
  taken        INTEGER NOT NULL DEFAULT 0   -- chunks before this one were read by the caller who waits, and are gone
) STRICT;

CREATE TABLE chunk (
  job  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,                    -- 0, 1, 2, ...
  data BLOB    NOT NULL,
  PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

-- Work after an answer (ctx.waitUntil), written when it is over; most jobs have none.
CREATE TABLE afterwork (
  job     INTEGER PRIMARY KEY,
  works   INTEGER NOT NULL,                 -- how many the handler had handed over; 0: it did not come to say
  failed  INTEGER NOT NULL,                 -- those of them that threw
  ms      INTEGER NOT NULL,                 -- from the end of the answer to theirs
  outcome TEXT    NOT NULL CHECK (outcome = 'ok' OR outcome = 'error' OR outcome = 'timeout' OR outcome = 'killed')
) STRICT;

-- Starts of a job that was started more than once: what became of each.  Calls that are started once have none.
CREATE TABLE attempt (
  job        INTEGER NOT NULL,
  n          INTEGER NOT NULL,              -- 1, 2, ...
  run        INTEGER NOT NULL,
  instance   INTEGER,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  outcome    TEXT    NOT NULL,              -- words of job.outcome
  error_name TEXT,
  error      TEXT,
  again_at   INTEGER,                       -- when the next is due, NULL: it was the last
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

-- Jobs made again from the request of one that was done: job retry, job redrive.
CREATE TABLE rerun (
  job INTEGER PRIMARY KEY,
  of  INTEGER NOT NULL
) STRICT;
CREATE INDEX rerun_of ON rerun (of);

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

-- Idempotency-Key: which job a key means.  Its request says what it was given for; no key outlives jobs.keep_keys.
CREATE TABLE idempotency (
  id         INTEGER PRIMARY KEY,           -- order of coming
  scope      TEXT    NOT NULL,              -- 'author/bundle' as the URL said it: bundles do not share keys
  caller     TEXT    NOT NULL,              -- DID, '' for all who are anonymous
  key        TEXT    NOT NULL,
  job        INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (scope, caller, key)
) STRICT;

-- Service tokens that were used: each is good for once, and stands here until it could be used no more.  The scheduler writes
-- them down once a second, for all jobs up to meta.spent_to; of later ones the token stands in request.
CREATE TABLE spent (
  id       INTEGER PRIMARY KEY,             -- order of coming
  job      INTEGER NOT NULL,                -- for which; it may come again, if it was not started
  issuer   TEXT    NOT NULL,                -- DID
  nonce    TEXT    NOT NULL,                -- jti
  until_at INTEGER NOT NULL
) STRICT;

-- Whose is a token?  The door asks it for what is no call of a bundle; the scheduler answers in the same row, which goes soon.
CREATE TABLE proof (
  id         INTEGER PRIMARY KEY,
  token      TEXT    NOT NULL,
  caller     TEXT    NOT NULL,              -- DID that it says it is of
  bell       TEXT    NOT NULL,              -- whom to ring
  asked_at   INTEGER NOT NULL,
  done_at    INTEGER,
  error_kind TEXT,                          -- NULL when it is done: the token is the caller's, and used
  error_name TEXT,
  error      TEXT
) STRICT;
CREATE INDEX proof_open ON proof (id) WHERE done_at IS NULL;

-- Receipts for calls that asked for one (lib/receipt.h), as the keeper signed them.  Dropped with the job.
CREATE TABLE receipt (
  job  INTEGER PRIMARY KEY,
  text TEXT    NOT NULL
) STRICT;

-- Where the end of a job is to be told (At-Run-Callback).  It is due when the job is done, and told at least once; an attempt
-- that a kill cuts short is made again.  Dropped with the job.
CREATE TABLE callback (
  job      INTEGER PRIMARY KEY,
  url      TEXT    NOT NULL,
  host     TEXT    NOT NULL,                -- of the URL, lower case
  state    TEXT    NOT NULL DEFAULT 'waiting'      -- for the job; void: nobody was told that the job was accepted
           CHECK (state = 'waiting' OR state = 'due' OR state = 'delivered' OR state = 'failed' OR state = 'void'),
  attempts INTEGER NOT NULL DEFAULT 0,      -- that came to their end
  next_at  INTEGER,                         -- due: not before
  tried_at INTEGER,
  status   INTEGER,                         -- HTTP status that the receiver answered last
  error    TEXT,                            -- why the last attempt was none
  done_at  INTEGER                          -- NULL while waiting or due
) STRICT;
CREATE INDEX callback_open ON callback (next_at, host) WHERE done_at IS NULL;

-- What handlers print.  job NULL: while an instance loaded a bundle.
CREATE TABLE log (
  id       INTEGER PRIMARY KEY,
  job      INTEGER,
  instance INTEGER,
  at       INTEGER NOT NULL,
  level    TEXT    NOT NULL CHECK (level = 'error' OR level = 'warn' OR level = 'info' OR level = 'debug'),
  source   TEXT    NOT NULL CHECK (source = 'console' OR source = 'stdout' OR source = 'stderr' OR source = 'runner'),
  text     TEXT    NOT NULL
) STRICT;
CREATE INDEX log_job ON log (job, id);

-- Bundles as they were fetched: the record and where its code lies unpacked.  Immutable but for the times.
CREATE TABLE bundle (
  cid         TEXT PRIMARY KEY,             -- of the record
  did         TEXT NOT NULL,
  name        TEXT NOT NULL,
  uri         TEXT NOT NULL,
  runtime     TEXT NOT NULL,                -- MIME type as the record or the blob says
  code        TEXT NOT NULL,                -- CID of the blob
  bytes       INTEGER NOT NULL,             -- size of the blob
  dir         TEXT NOT NULL,                -- below the home
  record_json TEXT NOT NULL,
  fetched_at  INTEGER NOT NULL,
  used_at     INTEGER NOT NULL,
  rev         TEXT,                         -- of the repository, when it was fetched last
  commit_cid  TEXT,                         -- of its commit
  proof       TEXT                          -- what proved it then: the chain in words, a line each
) STRICT, WITHOUT ROWID;
CREATE INDEX bundle_author ON bundle (did, name);

-- The newest revision of each author's repository that was proven here: what is older is refused.
CREATE TABLE repo (
  did     TEXT PRIMARY KEY,
  rev     TEXT    NOT NULL,                 -- texts of this kind sort by time
  seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which record a version means at the moment: refreshed in the background, kept while a PDS is down.
CREATE TABLE version (
  did        TEXT NOT NULL,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  cid        TEXT NOT NULL,                 -- bundle.cid
  checked_at INTEGER NOT NULL,              -- when the PDS last said so
  PRIMARY KEY (did, name, version)
) STRICT, WITHOUT ROWID;

-- Handles and whose they are.
CREATE TABLE author (
  handle     TEXT PRIMARY KEY,
  did        TEXT NOT NULL,
  pds        TEXT NOT NULL,
  checked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The runner's public keys, as the keeper told them when it last read keys/.  The secret halves lie there, and nowhere here.
-- A key that is gone opens and signs nothing any more, but what it signed can still be verified.
CREATE TABLE runner_key (
  key     TEXT    PRIMARY KEY,              -- Multikey: z6LS… (X25519) or z6Mk… (Ed25519)
  use     TEXT    NOT NULL CHECK (use = 'secrets' OR use = 'receipts'),
  number  INTEGER NOT NULL,                 -- the highest is the newest: authors seal for it
  made_at INTEGER NOT NULL,
  gone_at INTEGER                           -- NULL: in keys/
) STRICT, WITHOUT ROWID;

-- Sealed secrets of authors for this runner, as they were fetched: the record with its box.  Only the keeper can open it.
CREATE TABLE sealed (
  did         TEXT    NOT NULL,
  bundle      TEXT    NOT NULL,             -- name
  cid         TEXT    NOT NULL,             -- of the record
  record_json TEXT    NOT NULL,
  fetched_at  INTEGER NOT NULL,
  PRIMARY KEY (did, bundle)
) STRICT, WITHOUT ROWID;

-- Sets of people as the social graph has them: whom the operator follows, who is on a list.  Read in the background, and kept
-- while a server is down.
CREATE TABLE graph (
  id         INTEGER PRIMARY KEY,
  kind       TEXT    NOT NULL CHECK (kind IN ('follows', 'list')),
  source     TEXT    NOT NULL,              -- whose follows (DID or handle), or the at:// URI of the list
  owner      TEXT,                          -- DID of whose repository it stands in
  name       TEXT,                          -- of a list, as its record says
  reading    INTEGER NOT NULL DEFAULT 0,    -- number of the reading that is under way or was the last
  checked_at INTEGER,                       -- end of the last whole reading; NULL: none yet
  tried_at   INTEGER,
  error      TEXT,                          -- why the last try failed; NULL: it did not
  UNIQUE (kind, source)
) STRICT;

-- Who is in a set.  Those whom the last whole reading did not meet are gone.
CREATE TABLE member (
  graph   INTEGER NOT NULL,
  did     TEXT    NOT NULL,
  reading INTEGER NOT NULL,                 -- that met them last
  PRIMARY KEY (graph, did)
) STRICT, WITHOUT ROWID;

-- Does somebody follow the operator?  Of those only who wanted to know (mode = mutuals).
CREATE TABLE follower (
  did        TEXT    NOT NULL,
  operator   TEXT    NOT NULL,              -- DID
  follows    INTEGER NOT NULL CHECK (follows IN (0, 1)),
  checked_at INTEGER NOT NULL,
  PRIMARY KEY (did, operator)
) STRICT, WITHOUT ROWID;

-- What authors, bundles and callers used by the day, where a limit asks for it.
CREATE TABLE usage (
  day          INTEGER NOT NULL,            -- since 1970, UTC
  kind         TEXT    NOT NULL CHECK (kind = 'author' OR kind = 'bundle' OR kind = 'caller'),
  name         TEXT    NOT NULL,            -- DID; DID/name; DID, or address
  cpu_ms       INTEGER NOT NULL,
  egress_bytes INTEGER NOT NULL,
  PRIMARY KEY (day, kind, name)
) STRICT, WITHOUT ROWID;

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

-- Live (and lately dead) runtime processes, containers and microVMs.  The next start cleans up by this table.
CREATE TABLE instance (
  id         INTEGER PRIMARY KEY,
  run        INTEGER NOT NULL,
  runtime    TEXT    NOT NULL,
  wall       TEXT    NOT NULL,
  state      TEXT    NOT NULL CHECK (state = 'warm' OR state = 'busy' OR state = 'blank' OR state = 'loading'
                                             OR state = 'starting' OR state = 'ended'),
  pid        INTEGER,
  pid_start  INTEGER,                       -- field 22 of /proc/pid/stat: a pid alone may be somebody else's by now
  cid        TEXT,                          -- bundle it is bound to, for life
  calls      INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL,
  ended_at   INTEGER,
  why        TEXT                           -- why it ended
) STRICT;
CREATE INDEX instance_live ON instance (id) WHERE ended_at IS NULL;

-- Runtimes as the scheduler found them at its start.
CREATE TABLE runtime (
  name       TEXT PRIMARY KEY,
  mime_json  TEXT NOT NULL,
  version    TEXT,                          -- what the command said of itself
  wall       TEXT,                          -- NULL: cannot run
  missing    TEXT,                          -- why it cannot
  concurrency INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may see the operator's page: tokens that `at-rund page token` made.  hash: SHA-256 of the secret half, which is 192
-- random bits and stands nowhere.
CREATE TABLE page_token (
  id       INTEGER PRIMARY KEY,
  name     TEXT    NOT NULL,                -- what the operator calls it
  hash     TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  until_at INTEGER,                         -- NULL: until it is revoked
  used_at  INTEGER,                         -- somebody signed in with it
  gone_at  INTEGER                          -- revoked
) STRICT;

-- Browsers that are signed in: each has a secret of its own in a cookie.
CREATE TABLE page_session (
  id       INTEGER PRIMARY KEY,
  token    INTEGER NOT NULL,                -- page_token.id: it ends with its token
  hash     TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  until_at INTEGER NOT NULL
) STRICT;

-- Wrong tokens by address, so that nobody tries for long.
CREATE TABLE page_wrong (
  client   TEXT PRIMARY KEY,                -- of IPv6 the first half
  since_at INTEGER NOT NULL,
  tries    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a person or a program wants of the scheduler.  It answers in the same row.  args_json by verb:
--   cancel {"job":42}   warm {"runtime":"node","n":2}   drain, stop-instances {"runtime":"node"} or {}
--   forget {"did":"did:...","name":"hello"}   keys {} or {"revoked":"z6..."}
--   retry {"job":42}   redrive, purge {"author":"did:...","bundle":"hello","outcome":"error","since":ms,"before":ms}
--   callback-retry {"job":42}
--   enroll, unenroll {"did":"did:...","bundle":"hello"}   schedule-run, -pause, -resume {"schedule":3}
-- A verb that this version does not know is answered so.
CREATE TABLE orders (
  id         INTEGER PRIMARY KEY,
  verb       TEXT    NOT NULL,
  args_json  TEXT    NOT NULL DEFAULT '{}',
  created_at INTEGER NOT NULL,
  done_at    INTEGER,
  note       TEXT
) STRICT;
CREATE INDEX orders_open ON orders (id) WHERE done_at IS NULL;
