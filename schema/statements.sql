-- Every statement that any program runs, in named blocks.  embed.sh makes them constants of C.
-- A test prepares each on a fresh ledger and refuses plans that walk through job, request, result, chunk or log;
-- those that must, for people, are called desk_scan_*.

-- ---- opening, transactions: lib/store.c ----

-- name: open_connection
-- No temporary files, no log on disk longer than needed after a reset, deleted bytes zeroed where that costs no write.
PRAGMA temp_store = MEMORY;
PRAGMA secure_delete = FAST;
PRAGMA journal_size_limit = 67108864;
PRAGMA wal_autocheckpoint = 0;
PRAGMA synchronous = NORMAL;

-- name: open_cache_small
-- For the door, which has a connection for each thread: kibibytes.
PRAGMA cache_size = -128;

-- name: open_cache_work
-- For the workshop.
PRAGMA cache_size = -1024;

-- name: open_create
-- Must come before the first table.
PRAGMA auto_vacuum = INCREMENTAL;

-- name: open_wal
PRAGMA journal_mode = WAL;

-- name: open_network
-- A log with shared memory does not work on network file systems.
PRAGMA journal_mode = TRUNCATE;

-- name: open_identity
-- What the file says it is.
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version;

-- name: open_journal
SELECT journal_mode FROM pragma_journal_mode;

-- name: open_sane
-- Touches the first pages of all tables: a cut or overwritten file is found at once, in a few reads.
SELECT (SELECT max(id) FROM job), (SELECT max(id) FROM log), (SELECT max(id) FROM run), (SELECT max(id) FROM instance),
       (SELECT max(id) FROM orders), (SELECT max(job) FROM request), (SELECT max(job) FROM result),
       (SELECT max(job) FROM chunk), (SELECT max(cid) FROM bundle), (SELECT max(did) FROM version),
       (SELECT max(handle) FROM author), (SELECT max(name) FROM runtime), (SELECT max(key) FROM meta),
       (SELECT count(*) FROM (SELECT 1 FROM job WHERE state = 'queued' LIMIT 1));

-- name: open_copy
-- Before a migration, and for a backup.
VACUUM INTO :path;

-- name: open_views
-- All views, so that a migration can make them anew.
SELECT 'DROP VIEW ' || name FROM sqlite_schema WHERE type = 'view' ORDER BY name;

-- name: front_warm
-- Where the next job will stand.  Whoever writes after another has to read these pages anew.
SELECT (SELECT max(id) FROM job), (SELECT max(job) FROM request), (SELECT max(author) FROM job WHERE done_at IS NULL);

-- name: work_warm
-- Where the end of the newest job will stand.
SELECT (SELECT max(id) FROM job), (SELECT max(job) FROM result), (SELECT max(author) FROM job WHERE done_at IS NULL);

-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: sync_full
-- The next commit, and with it all before it, survives a power cut.
PRAGMA synchronous = FULL;

-- name: sync_normal
PRAGMA synchronous = NORMAL;

-- ---- the door: lib/store_front.c ----

-- name: front_enqueue
INSERT INTO job (nonce, mode, author, bundle, version, endpoint, method, caller, client, timeout_ms, bell, created_at,
                 created_mono, trace)
VALUES (:nonce, :mode, :author, :bundle, :version, :endpoint, :method, :caller, :client, :timeout_ms, :bell, :created_at,
        :created_mono, :trace);

-- name: front_enqueue_request
INSERT INTO request (job, url, path, query, headers_json, body, token)
VALUES (:job, :url, :path, :query, :headers_json, :body, :token);

-- name: front_upload_new
INSERT INTO upload (job, bytes, holds) VALUES (:job, :bytes, :holds);

-- name: front_upload_look
SELECT allowed, whole FROM upload WHERE job = :job;

-- name: front_piece
-- Nothing, when nobody wants it any more.
INSERT INTO piece (job, seq, last, data)
SELECT :job, :seq, :last, :data WHERE EXISTS (SELECT 1 FROM upload WHERE job = :job);

-- name: front_upload_body
-- It was wanted whole.
UPDATE request SET body = :body WHERE job = :job AND EXISTS (SELECT 1 FROM upload WHERE upload.job = :job);

-- name: front_upload_fault
-- No more of it comes, and why.
UPDATE upload SET error_name = :name, error = :text WHERE job = :job;

-- name: front_upload_drop
DELETE FROM upload WHERE job = :job;

-- name: front_piece_drop
DELETE FROM piece WHERE job = :job;

-- name: front_key_find
-- What a key means: its age, its job, whether that one was refused or given up before user code ran, and whether it was
-- asked for by the same request.
SELECT k.created_at, j.id, j.nonce,
       j.state = 'done' AND j.started_at IS NULL AND j.outcome IN ('refused', 'expired', 'cancelled'),
       j.version = :version AND j.endpoint = :endpoint AND j.method = :method AND r.path = :path AND r.query = :query
       AND r.body IS :body AND (SELECT c.url FROM callback c WHERE c.job = j.id) IS :callback
  FROM idempotency k JOIN job j ON j.id = k.job JOIN request r ON r.job = j.id
 WHERE k.scope = :scope AND k.caller = :caller AND k.key = :key;

-- name: front_attempts
-- Of a job that was started more than once, for whoever asks for it.
SELECT n, outcome, started_at, ended_at, again_at, error_name, error FROM attempt WHERE job = :job ORDER BY n;

-- name: front_callback_put
INSERT INTO callback (job, url, host) VALUES (:job, :url, :host);

-- name: front_callback
-- What became of it, for whoever asks for the job.
SELECT url, state, attempts, status, error,
       strftime('%Y-%m-%dT%H:%M:%fZ', iif(state = 'due', next_at, NULL) / 1000.0, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%fZ', tried_at / 1000.0, 'unixepoch')
  FROM callback WHERE job = :job;

-- name: callback_settle
-- Its job is done.  Whose job was never admitted was told so by the answer, and the host may be one that is refused.
UPDATE callback
   SET state = iif(j.admitted_at IS NULL, 'void', 'due'), next_at = iif(j.admitted_at IS NULL, NULL, j.done_at),
       done_at = iif(j.admitted_at IS NULL, j.done_at, NULL)
  FROM job j
 WHERE callback.job = :row AND callback.state = 'waiting' AND j.id = callback.job AND j.done_at IS NOT NULL;

-- name: front_key_put
INSERT OR REPLACE INTO idempotency (scope, caller, key, job, created_at) VALUES (:scope, :caller, :key, :job, :now);

-- name: front_token_same
SELECT 1 FROM request WHERE job = :job AND token = :token;

-- name: front_proof_ask
-- So many questions may be open.
INSERT INTO proof (token, caller, bell, asked_at) SELECT :token, :caller, :bell, :now
 WHERE (SELECT count(*) FROM (SELECT 1 FROM proof INDEXED BY proof_open WHERE done_at IS NULL LIMIT :most)) < :most;

-- name: front_proof_look
SELECT done_at IS NOT NULL, error_kind, error_name, error FROM proof WHERE id = :id AND token = :token;

-- name: front_proof_drop
DELETE FROM proof WHERE id = :id AND token = :token;

-- name: front_job_caller
SELECT caller FROM job WHERE id = :row AND nonce = :nonce;

-- name: front_load
-- Jobs not done; the count stops at its cap.
SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_open WHERE done_at IS NULL LIMIT :cap);

-- name: front_load_of
-- Of these an author's and a bundle's.
SELECT (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_open
                               WHERE done_at IS NULL AND author = :author LIMIT :cap)),
       (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_open
                               WHERE done_at IS NULL AND author = :author AND bundle = :bundle LIMIT :cap));

-- name: front_longest
-- How long calls ran lately, of an author, a bundle, or all: the longest of the newest rows.
SELECT max(done_at - started_at) FROM job
 WHERE id > (SELECT max(id) FROM job) - 200 AND done_at IS NOT NULL AND outcome = 'ok'
   AND (:author IS NULL OR author = :author) AND (:bundle IS NULL OR bundle = :bundle);

-- name: front_ends
-- When open calls end at the latest, and since when they run; some are enough.
SELECT started_at, lease_until, CASE mode WHEN 'sync' THEN created_mono + timeout_ms END
  FROM job INDEXED BY job_open WHERE done_at IS NULL LIMIT 256;

-- name: front_ends_of
-- The same of an author, or one of its bundles.
SELECT started_at, lease_until, CASE mode WHEN 'sync' THEN created_mono + timeout_ms END
  FROM job INDEXED BY job_open
 WHERE done_at IS NULL AND author = :author AND (:bundle IS NULL OR bundle = :bundle) LIMIT 256;

-- name: front_look_light
-- What somebody who waits wants to know first.
SELECT j.mode, j.state, j.outcome, j.start, j.created_at, j.admitted_at, j.started_at, j.done_at, j.timeout_ms,
       j.lease_until, j.error_kind, j.error_name, j.error, j.cancel, j.task, j.retry_at, r.streamed, r.status
  FROM job j LEFT JOIN result r ON r.job = j.id
 WHERE j.id = :row AND j.nonce = :nonce;

-- name: front_look
-- The first eighteen columns are those of front_look_light.
SELECT j.mode, j.state, j.outcome, j.start, j.created_at, j.admitted_at, j.started_at, j.done_at, j.timeout_ms,
       j.lease_until, j.error_kind, j.error_name, j.error, j.cancel, j.task, j.retry_at, r.streamed, r.status,
       j.author, j.bundle, j.version, j.endpoint, j.did, j.cid, j.runtime, j.wall, j.caller, j.attempt, r.headers_json,
       r.body, r.taken
  FROM job j LEFT JOIN result r ON r.job = j.id
 WHERE j.id = :row AND j.nonce = :nonce;

-- name: front_chunks
SELECT seq, data FROM chunk WHERE job = :row AND seq >= :seq ORDER BY seq;

-- name: front_taken
-- The caller has read all before this chunk: there is room for more.
UPDATE result SET taken = :seq WHERE job = :row;

-- name: front_taken_chunks
DELETE FROM chunk WHERE job = :row AND seq < :seq;

-- name: front_cancel
-- Somebody asked; a job that is done stays as it is.
UPDATE job SET cancel = 1 WHERE id = :row AND nonce = :nonce AND state <> 'done';

-- name: front_cancel_waiting
-- What was not started needs nobody to stop it.  A call that somebody waits for may run while its row says "queued": the
-- scheduler, which hears of it by the order, is the only one who knows.
UPDATE OR ROLLBACK job
   SET state = 'done', outcome = 'cancelled', done_at = :now, error_kind = 'denied', error_name = 'JobCancelled',
       error = 'cancelled before it started'
 WHERE id = :row AND (state = 'admitted' OR (state = 'queued' AND mode = 'async'));

-- name: front_cancel_order
-- So that the scheduler hears of it, wherever the job stands.
INSERT INTO orders (verb, args_json, created_at) VALUES ('cancel', json_object('job', :row), :now);

-- name: front_exists
SELECT 1 FROM job WHERE id = :row AND nonce = :nonce;

-- name: front_lapse
-- Nobody holds the lease any more: its time is over, or it was of another boot of the machine.  What is idempotent
-- waits for the next scheduler, which starts it again.
UPDATE OR ROLLBACK job
   SET state = 'done', outcome = 'lost', done_at = :now, error_kind = 'internal', error_name = 'RunnerFailed',
       error = 'the scheduler stopped while this ran; it was started and is not started again'
 WHERE id = :row AND nonce = :nonce AND state = 'running' AND idempotent = 0
   AND (lease_until < :mono OR NOT EXISTS (SELECT 1 FROM run WHERE run.id = job.run AND run.boot = :boot));

-- name: front_pulse
SELECT seen_at, draining, ended_at IS NOT NULL, seen_mono, boot FROM run ORDER BY id DESC LIMIT 1;

-- name: front_counts
SELECT (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_open
                               WHERE done_at IS NULL AND state IN ('queued', 'admitted') LIMIT 10000)),
       (SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_open
                               WHERE done_at IS NULL AND state = 'running' LIMIT 10000)),
       (SELECT count(*) FROM instance INDEXED BY instance_live WHERE ended_at IS NULL);

-- name: front_tally
SELECT value FROM meta WHERE key = 'tally';

-- name: front_runtimes
SELECT name, mime_json, version, wall FROM runtime ORDER BY name;

-- name: front_newest_job
SELECT coalesce(max(id), 0) FROM job;

-- name: front_jobs
-- Newest first, of a stretch of rows: those of an author or a caller.
SELECT id, id || '-' || nonce, mode, state, outcome, start, author, bundle, version, endpoint, caller,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%fZ', done_at / 1000.0, 'unixepoch'), error_name, error
  FROM job
 WHERE id < :before AND id >= :floor AND (:who IS NULL OR coalesce(did, author) = :who OR caller = :who)
   AND (:bundle IS NULL OR bundle = :bundle)
 ORDER BY id DESC LIMIT :limit;

-- name: front_newest_line
SELECT coalesce(max(id), 0) FROM log;

-- name: front_log_at
SELECT at FROM log WHERE id >= :floor ORDER BY id LIMIT 1;

-- name: front_logs
-- Newest first, of a stretch of rows: of an author's bundles, also what they said while they were loaded.
SELECT l.id, l.id, strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1000.0, 'unixepoch'), l.level, l.source, j.id || '-' || j.nonce,
       coalesce(j.bundle, b.name), j.version, j.endpoint, l.instance, l.text
  FROM log l LEFT JOIN job j ON j.id = l.job
       LEFT JOIN instance i ON l.job IS NULL AND i.id = l.instance LEFT JOIN bundle b ON b.cid = i.cid
 WHERE l.id < :before AND l.id >= :floor AND l.at >= :since
   AND (:who IS NULL OR coalesce(j.did, j.author, b.did) = :who)
   AND (:bundle IS NULL OR coalesce(j.bundle, b.name) = :bundle)
   AND CASE l.level WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END
       >= CASE coalesce(:level, 'debug') WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END
 ORDER BY l.id DESC LIMIT :limit;

-- name: front_logs_of_job
SELECT l.id, l.id, strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1000.0, 'unixepoch'), l.level, l.source, j.id || '-' || j.nonce,
       j.bundle, j.version, j.endpoint, l.instance, l.text
  FROM job j CROSS JOIN log l ON l.job = j.id
 WHERE j.id = :row AND j.nonce = :nonce AND l.job = :row AND l.id < :before AND l.at >= :since
   AND (:who IS NULL OR coalesce(j.did, j.author) = :who) AND (:bundle IS NULL OR j.bundle = :bundle)
   AND CASE l.level WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END
       >= CASE coalesce(:level, 'debug') WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END
 ORDER BY l.id DESC LIMIT :limit;

-- ---- the workshop: lib/store_work.c ----
-- OR ROLLBACK for a job: a change that the schema refuses is our own mistake and ends the transaction, and SQLite need not
-- keep copies of pages for taking back half a statement.

-- name: work_run_end_others
-- A new run begins: nobody else holds the lock, so whoever looks alive was killed.  A run that ended well was seen when it
-- ended; this one was not.
UPDATE run SET ended_at = max(:now, seen_at + 1) WHERE ended_at IS NULL;

-- name: work_run_start
INSERT INTO run (pid, boot, version, started_at, seen_at, seen_mono, first_job)
SELECT :pid, :boot, :version, :now, :now, :mono, coalesce(max(id), 0) + 1 FROM job;

-- name: work_boot_job
-- Jobs from here on were made in this boot of the machine.
SELECT min(first_job) FROM run WHERE boot = :boot AND first_job > 0;

-- name: work_run_beat
UPDATE run SET seen_at = :now, seen_mono = :mono, draining = :draining WHERE id = :run;

-- name: work_syncs
-- How often this run's acceptances waited for the disk: many calls share one when they come together.
INSERT OR REPLACE INTO meta (key, value) VALUES ('syncs', CAST(:n AS TEXT));

-- name: work_tally
-- Lines of Prometheus' text format, as /metrics shows them.
INSERT OR REPLACE INTO meta (key, value) VALUES ('tally', :text);

-- name: work_run_end
UPDATE run SET seen_at = :now, ended_at = :now WHERE id = :run;

-- name: work_queued
-- Oldest first, from where the last look ended.
SELECT j.id, j.nonce, j.mode, j.state, j.author, j.bundle, j.version, j.endpoint, j.method, j.caller, j.client, j.bell,
       j.did, j.cid, j.timeout_ms, j.created_at, j.attempt, j.lease, j.idempotent, j.cancel, j.created_mono,
       u.holds, u.bytes, j.trace, r.url, r.path, r.query, r.headers_json, r.body, r.token,
       (SELECT c.url FROM callback c WHERE c.job = j.id)
  FROM job j LEFT JOIN request r ON r.job = j.id LEFT JOIN upload u ON u.job = j.id
 WHERE j.id > :after AND j.state = 'queued'
 ORDER BY j.id LIMIT :max;

-- name: work_oldest_open
-- Nothing before it needs a look.
SELECT coalesce(min(id), (SELECT max(id) FROM job) + 1, 1) FROM job INDEXED BY job_open WHERE done_at IS NULL;

-- name: work_last
-- Lower than what was seen already: somebody has deleted rows, and ids come again.
SELECT coalesce(max(id), 0) FROM job;

-- name: work_job_load
-- The columns of work_queued.
SELECT j.id, j.nonce, j.mode, j.state, j.author, j.bundle, j.version, j.endpoint, j.method, j.caller, j.client, j.bell,
       j.did, j.cid, j.timeout_ms, j.created_at, j.attempt, j.lease, j.idempotent, j.cancel, j.created_mono,
       u.holds, u.bytes, j.trace, r.url, r.path, r.query, r.headers_json, r.body, r.token,
       (SELECT c.url FROM callback c WHERE c.job = j.id)
  FROM job j LEFT JOIN request r ON r.job = j.id LEFT JOIN upload u ON u.job = j.id
 WHERE j.id = :row;

-- name: work_token_nobody
UPDATE job SET caller = NULL WHERE id = :job;

-- name: work_spent
-- Whoever shows one of these again is refused.
SELECT job, issuer, nonce, until_at FROM spent WHERE until_at > :now;

-- name: work_spent_to
-- Up to this job they are all there.
SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'spent_to';

-- name: work_spent_after
-- And of these the tokens were taken too: whoever was not the issuer has no caller, and what is queued comes again.
SELECT j.id, r.token FROM job j JOIN request r ON r.job = j.id
 WHERE j.id > :after AND j.state <> 'queued' AND j.caller IS NOT NULL AND r.token IS NOT NULL ORDER BY j.id;

-- name: work_spent_put
INSERT INTO spent (job, issuer, nonce, until_at) VALUES (:job, :issuer, :nonce, :until_at);

-- name: work_spent_mark
INSERT OR REPLACE INTO meta (key, value) VALUES ('spent_to', CAST(:row AS TEXT));

-- name: work_proofs
SELECT id, token, caller, bell FROM proof INDEXED BY proof_open WHERE done_at IS NULL ORDER BY id LIMIT :max;

-- name: work_proof_done
-- An id may come again; with it comes another token.
UPDATE proof SET done_at = :now, error_kind = :error_kind, error_name = :error_name, error = :error
 WHERE id = :id AND token = :token AND done_at IS NULL;

-- name: work_prune_proofs
-- Whoever asked has gone.
DELETE FROM proof WHERE asked_at < :before OR asked_at > :after;

-- name: work_next_lane
-- The first admitted job of the next endpoint in byte order.
SELECT id FROM job INDEXED BY job_open
 WHERE done_at IS NULL AND (author, bundle, endpoint) > (:did, :bundle, :endpoint) AND state = 'admitted'
 ORDER BY author, bundle, endpoint, id LIMIT 1;

-- name: work_next_admitted_of
SELECT id FROM job INDEXED BY job_open
 WHERE done_at IS NULL AND author = :did AND bundle = :bundle AND endpoint = :endpoint AND id > :after
   AND state = 'admitted'
 ORDER BY id LIMIT 1;

-- name: work_admit
UPDATE OR ROLLBACK job
   SET state = 'admitted', did = :did, cid = :cid, runtime = :runtime, wall = :wall, timeout_ms = :timeout_ms,
       idempotent = :idempotent, admitted_at = :now, trace = coalesce(trace, :trace)
 WHERE id = :row AND state = 'queued';

-- name: work_admit_many
-- Neighbours that are admitted alike, as calls of one bundle come when many come.
UPDATE OR ROLLBACK job
   SET state = 'admitted', did = :did, cid = :cid, runtime = :runtime, wall = :wall, timeout_ms = :timeout_ms,
       idempotent = :idempotent, admitted_at = :now
 WHERE id >= :first AND id <= :last AND state = 'queued';

-- name: work_is_admitted
SELECT 1 FROM job WHERE id = :row AND state = 'admitted';

-- name: work_admit_author
-- The author by the one name that does not change.
UPDATE job SET author = :did WHERE id = :row AND author <> :did;

-- name: work_admit_task
-- Whoever waits for it is told 202, so that from now on nobody waits.
UPDATE job SET mode = 'async', task = 1 WHERE id = :row;

-- name: work_start
UPDATE OR ROLLBACK job
   SET state = 'running', run = :run, instance = :instance, start = :start, lease = lease + 1,
       lease_until = :lease_until, started_at = :now, attempt = attempt + 1
 WHERE id = :row AND state = 'admitted' AND lease = :lease;

-- name: work_again
UPDATE OR ROLLBACK job
   SET state = 'admitted', run = NULL, instance = NULL, start = NULL, lease_until = NULL, started_at = NULL
 WHERE id = :row AND state = 'running' AND lease = :lease;

-- name: work_done
UPDATE OR ROLLBACK job
   SET state = 'done', outcome = :outcome, done_at = :now, error_kind = :error_kind, error_name = :error_name,
       error = :error
 WHERE id = :row AND state = 'running' AND lease = :lease;

-- name: work_whole
-- A call that somebody waited for and that nobody else had to know of while it ran: all of it at once, at its end.
UPDATE job
   SET state = 'done', outcome = :outcome, author = :did, did = :did, cid = :cid, runtime = :runtime, wall = :wall,
       timeout_ms = :timeout_ms, run = :run, instance = :instance, start = :start, attempt = attempt + 1,
       lease = lease + 1, admitted_at = :started, started_at = :started, done_at = :now, error_kind = :error_kind,
       error_name = :error_name, error = :error
 WHERE id = :row AND state = 'queued';

-- name: work_drop
UPDATE OR ROLLBACK job
   SET state = 'done', outcome = :outcome, done_at = :now, error_kind = :error_kind, error_name = :error_name,
       error = :error, retry_at = :retry_at
 WHERE id = :row AND state IN ('queued', 'admitted');

-- name: work_result
-- Written again when a stream's head is followed by its end in a later turn.
INSERT OR REPLACE INTO result (job, status, headers_json, streamed, body)
VALUES (:row, :status, :headers_json, :streamed, :body);

-- name: work_chunk
INSERT INTO chunk (job, seq, data) VALUES (:row, :seq, :data);

-- name: work_unread
-- Bytes of a stream that nobody has read yet.
SELECT coalesce(sum(length(data)), 0) FROM chunk WHERE job = :row;

-- name: work_upload_allow
UPDATE upload SET allowed = :allowed WHERE job = :row;

-- name: work_upload_whole
-- Nothing of it is to come before all of it has.
UPDATE upload SET whole = 1 WHERE job = :row;

-- name: work_upload_fault
SELECT error_name, error FROM upload WHERE job = :row AND error IS NOT NULL;

-- name: work_pieces
SELECT seq, last, data FROM piece WHERE job = :row AND seq >= :seq ORDER BY seq;

-- name: work_pieces_drop
DELETE FROM piece WHERE job = :row AND seq < :seq;

-- name: work_upload_drop
DELETE FROM upload WHERE job = :row;

-- name: work_recover_pieces
-- Of jobs that are over by now: neither door nor scheduler was there to see it.
DELETE FROM piece WHERE job IN (SELECT u.job FROM upload u CROSS JOIN job j ON j.id = u.job WHERE j.state = 'done');

-- name: work_recover_uploads
DELETE FROM upload WHERE job IN (SELECT u.job FROM upload u CROSS JOIN job j ON j.id = u.job WHERE j.state = 'done');

-- name: work_log
INSERT INTO log (job, instance, at, level, source, text) VALUES (:row, :instance, :at, :level, :source, :text);

-- name: work_after_put
INSERT OR REPLACE INTO afterwork (job, works, failed, ms, outcome) VALUES (:row, :works, :failed, :ms, :outcome);

-- name: work_attempt_put
INSERT OR REPLACE INTO attempt (job, n, run, instance, started_at, ended_at, outcome, error_name, error, again_at)
VALUES (:row, :n, :run, :instance, :started_at, :ended_at, :outcome, :error_name, :error, :again_at);

-- name: work_attempts
SELECT (SELECT count(*) FROM attempt WHERE job = :row AND outcome IN ('killed', 'memory')),
       (SELECT again_at FROM attempt WHERE job = :row ORDER BY n DESC LIMIT 1);

-- name: work_rerun_job
INSERT INTO job (nonce, mode, author, bundle, version, endpoint, method, caller, client, timeout_ms, created_at,
                 created_mono)
SELECT :nonce, 'async', coalesce(j.did, j.author), j.bundle, j.version, j.endpoint, j.method, j.caller, j.client, :timeout_ms,
       :now, :mono
  FROM job j JOIN request r ON r.job = j.id WHERE j.id = :row AND j.state = 'done';

-- name: work_rerun_request
INSERT INTO request (job, url, path, query, headers_json, body)
SELECT :made, url, path, query, headers_json, body FROM request WHERE job = :row;

-- name: work_rerun_link
INSERT INTO rerun (job, of) VALUES (:made, :row);

-- name: work_rerun_callback
INSERT INTO callback (job, url, host) SELECT :made, url, host FROM callback WHERE job = :row;

-- name: work_is_rerun
SELECT 1 FROM rerun WHERE job = :row;

-- name: work_failed_to
-- The end of the next stretch of rows.
SELECT max(id) FROM (SELECT id FROM job WHERE id > :after ORDER BY id LIMIT :max);

-- name: work_failed
-- Of a stretch, what was accepted and did not end well.  fresh: and was not started again.
SELECT j.id FROM job j
 WHERE j.id > :after AND j.id <= :to AND j.mode = 'async' AND j.state = 'done'
   AND j.outcome NOT IN ('ok', 'cancelled', 'refused')
   AND (:author IS NULL OR j.did = :author OR j.author = :author) AND (:bundle IS NULL OR j.bundle = :bundle)
   AND (:outcome IS NULL OR j.outcome = :outcome) AND j.created_at >= :since AND j.created_at < :before
   AND (:poisoned OR j.error_name IS NOT 'JobPoisoned')
   AND NOT (:fresh AND EXISTS (SELECT 1 FROM rerun WHERE rerun.of = j.id))
 ORDER BY j.id;

-- name: work_purge_request
DELETE FROM request WHERE job = :row;

-- name: work_purge_result
DELETE FROM result WHERE job = :row;

-- name: work_purge_chunk
DELETE FROM chunk WHERE job = :row;

-- name: work_purge_receipt
DELETE FROM receipt WHERE job = :row;

-- name: work_purge_callback
DELETE FROM callback WHERE job = :row;

-- name: work_purge_log
DELETE FROM log WHERE job = :row;

-- name: work_purge_attempt
DELETE FROM attempt WHERE job = :row;

-- name: work_purge_after
DELETE FROM afterwork WHERE job = :row;

-- name: work_purge_rerun
DELETE FROM rerun WHERE job = :row;

-- name: work_purge_job
-- The newest stays, so that no id is given twice.
DELETE FROM job WHERE id = :row AND state = 'done' AND id < (SELECT max(id) FROM job);

-- name: work_recover_attempts
-- What a dead scheduler had running and may be started again has had an attempt.
INSERT OR REPLACE INTO attempt (job, n, run, instance, started_at, ended_at, outcome, error_name, error, again_at)
SELECT id, attempt, run, instance, started_at, :now, 'lost', 'RunnerFailed', 'the scheduler stopped while this ran', :now
  FROM job INDEXED BY job_open
 WHERE done_at IS NULL AND state = 'running' AND run <> :run AND idempotent = 1 AND cancel = 0;

-- name: work_recover_again
-- What a dead scheduler had running and may be started twice.
UPDATE OR ROLLBACK job
   SET state = 'admitted', run = NULL, instance = NULL, start = NULL, lease_until = NULL, started_at = NULL
 WHERE id IN (SELECT id FROM job INDEXED BY job_open WHERE done_at IS NULL)
   AND state = 'running' AND run <> :run AND idempotent = 1 AND cancel = 0;

-- name: work_recover_lost
-- And all else it had running.
UPDATE OR ROLLBACK job
   SET state = 'done', outcome = 'lost', done_at = :now, error_kind = 'internal', error_name = 'RunnerFailed',
       error = 'the scheduler stopped while this ran; it was started and is not started again'
 WHERE id IN (SELECT id FROM job INDEXED BY job_open WHERE done_at IS NULL)
   AND state = 'running' AND run <> :run;

-- name: work_recover_unwritten
-- Calls that somebody waits for are written when they end.  One that a killed scheduler (ended_at was set for it, later than
-- it was last seen) may have had in its hands is not started again.
UPDATE job
   SET state = 'done', outcome = 'lost', done_at = :now, error_kind = 'internal', error_name = 'RunnerFailed',
       error = 'the scheduler was killed while this waited or ran; it may have been started and is not started again'
 WHERE id IN (SELECT id FROM job INDEXED BY job_open WHERE done_at IS NULL)
   AND state = 'queued' AND mode = 'sync'
   AND (SELECT seen_at <> ended_at FROM run WHERE id < :run ORDER BY id DESC LIMIT 1);

-- name: work_callback_sweep
-- callback_settle for all: of jobs that a recovery has settled, or an older version.
UPDATE callback
   SET state = iif(j.admitted_at IS NULL, 'void', 'due'), next_at = iif(j.admitted_at IS NULL, NULL, j.done_at),
       done_at = iif(j.admitted_at IS NULL, j.done_at, NULL)
  FROM job j
 WHERE callback.done_at IS NULL AND callback.next_at IS NULL AND callback.state = 'waiting' AND j.id = callback.job
   AND j.done_at IS NOT NULL;

-- name: work_callback_next
-- The oldest that is due, but neither one that is under way nor one to a host that has enough to do.
SELECT job FROM (SELECT job, host FROM callback INDEXED BY callback_open WHERE done_at IS NULL AND next_at <= :now
                  ORDER BY next_at LIMIT 5000)
 WHERE job NOT IN (SELECT value FROM json_each(:jobs_json)) AND host NOT IN (SELECT value FROM json_each(:hosts_json))
 LIMIT 1;

-- name: work_callback_load
-- What there is to tell.  body: when it is not longer than :body_max.
SELECT c.url, c.host, c.attempts, j.nonce, j.outcome, j.author, j.bundle, j.version, j.endpoint, j.did, j.cid, j.caller,
       j.runtime, j.created_at, j.admitted_at, j.started_at, j.done_at, j.attempt, j.error_name, j.error, r.url, a.status,
       a.headers_json, a.streamed, length(a.body), iif(length(a.body) <= :body_max, a.body, NULL),
       (SELECT o.id || '-' || o.nonce FROM rerun x JOIN job o ON o.id = x.of WHERE x.job = j.id)
  FROM callback c JOIN job j ON j.id = c.job LEFT JOIN request r ON r.job = j.id LEFT JOIN result a ON a.job = j.id
 WHERE c.job = :row AND c.state = 'due';

-- name: work_callback_tried
-- One attempt is over: delivered, failed for good, or due again.
UPDATE callback
   SET state = :state, attempts = attempts + 1, next_at = :next_at, tried_at = :now, status = :status, error = :error,
       done_at = iif(:state = 'due', NULL, :now)
 WHERE job = :row AND state = 'due';

-- name: work_callback_again
-- A person wants it told once more, with all its attempts before it.
UPDATE callback SET state = 'due', attempts = 0, next_at = :now, done_at = NULL
 WHERE job = :row AND state IN ('due', 'delivered', 'failed');

-- name: work_callback_state
SELECT state FROM callback WHERE job = :row;

-- name: work_counts
SELECT (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'queued'),
       (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'admitted'),
       (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'running');

-- name: work_bundle_put
INSERT INTO bundle (cid, did, name, uri, runtime, code, bytes, dir, record_json, fetched_at, used_at, rev, commit_cid, proof)
VALUES (:cid, :did, :name, :uri, :runtime, :code, :bytes, :dir, :record_json, :now, :now, :rev, :commit_cid, :proof)
    ON CONFLICT (cid) DO UPDATE SET dir = excluded.dir, fetched_at = excluded.fetched_at, used_at = excluded.used_at,
       rev = excluded.rev, commit_cid = excluded.commit_cid, proof = excluded.proof;

-- name: work_rev_put
INSERT INTO repo (did, rev, seen_at) VALUES (:did, :rev, :now)
    ON CONFLICT (did) DO UPDATE SET rev = excluded.rev, seen_at = excluded.seen_at WHERE excluded.rev > repo.rev;

-- name: work_rev_get
SELECT rev FROM repo WHERE did = :did;

-- name: work_version_put
INSERT INTO version (did, name, version, cid, checked_at) VALUES (:did, :name, :version, :cid, :now)
    ON CONFLICT (did, name, version) DO UPDATE SET cid = excluded.cid, checked_at = excluded.checked_at;

-- name: work_bundle_get
SELECT b.cid, b.did, b.name, b.uri, b.runtime, b.code, b.dir, b.record_json, b.bytes, b.fetched_at, v.checked_at
  FROM version v JOIN bundle b ON b.cid = v.cid
 WHERE v.did = :did AND v.name = :name AND v.version = :version;

-- name: work_bundle_by_cid
-- A CID never changes its meaning: checked when it was fetched is checked for ever.
SELECT cid, did, name, uri, runtime, code, dir, record_json, bytes, fetched_at, fetched_at FROM bundle WHERE cid = :cid;

-- name: work_author_put
INSERT INTO author (handle, did, pds, checked_at) VALUES (:handle, :did, :pds, :now)
    ON CONFLICT (handle) DO UPDATE SET did = excluded.did, pds = excluded.pds, checked_at = excluded.checked_at;

-- name: work_author_get
SELECT did, checked_at FROM author WHERE handle = :handle;

-- name: work_graph_new
INSERT INTO graph (kind, source) SELECT :kind, :source
 WHERE NOT EXISTS (SELECT 1 FROM graph WHERE kind = :kind AND source = :source);

-- name: work_graph_get
SELECT id, reading, coalesce(checked_at, 0), owner FROM graph WHERE kind = :kind AND source = :source;

-- name: work_graph_reading
UPDATE graph SET reading = :reading, owner = :owner WHERE id = :id AND (reading <> :reading OR owner IS NOT :owner);

-- name: work_graph_meet
INSERT INTO member (graph, did, reading) VALUES (:graph, :did, :reading)
    ON CONFLICT (graph, did) DO UPDATE SET reading = excluded.reading;

-- name: work_graph_gone
-- Whom a whole reading did not meet.
DELETE FROM member WHERE graph = :graph AND reading < :reading;

-- name: work_graph_done
UPDATE graph SET name = :name, checked_at = :now, tried_at = :now, error = NULL WHERE id = :id;

-- name: work_graph_failed
UPDATE graph SET tried_at = :now, error = :why WHERE id = :id;

-- name: work_graph_has
SELECT 1 FROM member WHERE graph = :graph AND did = :did;

-- name: work_follower_get
SELECT follows, checked_at FROM follower WHERE did = :did AND operator = :operator;

-- name: work_follower_put
INSERT INTO follower (did, operator, follows, checked_at) VALUES (:did, :operator, :follows, :now)
    ON CONFLICT (did, operator) DO UPDATE SET follows = excluded.follows, checked_at = excluded.checked_at;

-- name: work_usage_put
INSERT INTO usage (day, kind, name, cpu_ms, egress_bytes) VALUES (:day, :kind, :name, :cpu_ms, :egress_bytes)
    ON CONFLICT (day, kind, name) DO UPDATE SET cpu_ms = excluded.cpu_ms, egress_bytes = excluded.egress_bytes;

-- name: work_usage_read
SELECT kind, name, cpu_ms, egress_bytes FROM usage WHERE day = :day;

-- name: work_open_callers
SELECT caller, client FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'admitted';

-- name: work_prune_usage
DELETE FROM usage WHERE day < :day;

-- name: work_traffic_add
INSERT INTO traffic (at, ok, error, timeout, memory, output, killed, refused, lost, expired, cancelled, unstarted, warm, blank,
                     cold, waited, sum_ms, ms_1, ms_2, ms_5, ms_10, ms_25, ms_50, ms_100, ms_250, ms_500, ms_1000, ms_2500,
                     ms_5000, ms_10000, ms_30000)
VALUES (:at, :ok, :error, :timeout, :memory, :output, :killed, :refused, :lost, :expired, :cancelled, :unstarted, :warm, :blank,
        :cold, :waited, :sum_ms, :ms_1, :ms_2, :ms_5, :ms_10, :ms_25, :ms_50, :ms_100, :ms_250, :ms_500, :ms_1000,
        :ms_2500, :ms_5000, :ms_10000, :ms_30000)
    ON CONFLICT (at) DO UPDATE
   SET ok = ok + excluded.ok, error = error + excluded.error, timeout = timeout + excluded.timeout,
       memory = memory + excluded.memory, output = output + excluded.output, killed = killed + excluded.killed,
       refused = refused + excluded.refused, lost = lost + excluded.lost, expired = expired + excluded.expired,
       cancelled = cancelled + excluded.cancelled, unstarted = unstarted + excluded.unstarted, warm = warm + excluded.warm,
       blank = blank + excluded.blank, cold = cold + excluded.cold, waited = waited + excluded.waited,
       sum_ms = sum_ms + excluded.sum_ms, ms_1 = ms_1 + excluded.ms_1, ms_2 = ms_2 + excluded.ms_2,
       ms_5 = ms_5 + excluded.ms_5, ms_10 = ms_10 + excluded.ms_10, ms_25 = ms_25 + excluded.ms_25,
       ms_50 = ms_50 + excluded.ms_50, ms_100 = ms_100 + excluded.ms_100, ms_250 = ms_250 + excluded.ms_250,
       ms_500 = ms_500 + excluded.ms_500, ms_1000 = ms_1000 + excluded.ms_1000, ms_2500 = ms_2500 + excluded.ms_2500,
       ms_5000 = ms_5000 + excluded.ms_5000, ms_10000 = ms_10000 + excluded.ms_10000,
       ms_30000 = ms_30000 + excluded.ms_30000;

-- name: work_traffic_author_add
INSERT INTO traffic_author (day, author, calls, failed, ran_ms) VALUES (:day, :author, :calls, :failed, :ran_ms)
    ON CONFLICT (day, author) DO UPDATE
   SET calls = calls + excluded.calls, failed = failed + excluded.failed, ran_ms = ran_ms + excluded.ran_ms;

-- name: work_prune_traffic
DELETE FROM traffic WHERE at < :before;

-- name: work_prune_traffic_author
DELETE FROM traffic_author WHERE day < :day;

-- name: front_traffic
-- Columns in the order of work_traffic_add.
SELECT at, ok, error, timeout, memory, output, killed, refused, lost, expired, cancelled, unstarted, warm, blank, cold,
       waited, sum_ms, ms_1, ms_2, ms_5, ms_10, ms_25, ms_50, ms_100, ms_250, ms_500, ms_1000, ms_2500, ms_5000,
       ms_10000, ms_30000
  FROM traffic WHERE at >= :since ORDER BY at;

-- name: work_instance_new
INSERT INTO instance (run, runtime, wall, state, pid, pid_start, started_at, used_at)
VALUES (:run, :runtime, :wall, 'starting', :pid, :pid_start, :now, :now);

-- name: work_instance_set
UPDATE instance SET state = :state, cid = coalesce(:cid, cid), calls = :calls, used_at = :now
 WHERE id = :id AND ended_at IS NULL;

-- name: work_instance_pid
-- The process that stands for it is another by now: the engine's command has left, the container's holder has come.
UPDATE instance SET pid = :pid, pid_start = :pid_start WHERE id = :id AND ended_at IS NULL;

-- name: work_instance_end
UPDATE instance SET state = 'ended', ended_at = :now, why = :why WHERE id = :id AND ended_at IS NULL;

-- name: work_instance_leftovers
SELECT id, wall, pid, pid_start FROM instance INDEXED BY instance_live WHERE ended_at IS NULL AND run <> :run ORDER BY id;

-- name: work_runtimes_clear
DELETE FROM runtime;

-- name: work_runtime_put
INSERT OR REPLACE INTO runtime (name, mime_json, version, wall, missing, concurrency)
VALUES (:name, :mime_json, :version, :wall, :missing, :concurrency);

-- name: work_orders
SELECT id, verb, args_json FROM orders INDEXED BY orders_open WHERE done_at IS NULL ORDER BY id;

-- name: work_order_done
UPDATE orders SET done_at = :now, note = :note WHERE id = :id AND done_at IS NULL;

-- name: work_sizes
-- Whose history how much is, job by job: bodies, headers, chunks and lines, and something for the rows themselves.
SELECT j.id, coalesce(j.did, j.author), j.state = 'done',
       512 + coalesce(length(r.url) + length(r.headers_json), 0) + coalesce(length(r.body), 0)
       + coalesce(length(a.headers_json), 0) + coalesce(length(a.body), 0)
       + (SELECT coalesce(sum(64 + length(c.data)), 0) FROM chunk c WHERE c.job = j.id)
       + (SELECT coalesce(sum(64 + length(l.text)), 0) FROM log l WHERE l.job = j.id)
  FROM job j LEFT JOIN request r ON r.job = j.id LEFT JOIN result a ON a.job = j.id
 WHERE j.id > :after ORDER BY j.id LIMIT :max;

-- name: work_shed_result
-- Before its chunks go one after the other: half a stream is none.
DELETE FROM result WHERE job = :row;

-- name: work_shed_chunk
DELETE FROM chunk WHERE job = :row AND seq IN (SELECT seq FROM chunk WHERE job = :row ORDER BY seq LIMIT 8);

-- name: work_log_sizes
SELECT max(id), sum(64 + length(text)) FROM (SELECT id, text FROM log WHERE id > :after ORDER BY id LIMIT :max);

-- name: work_log_drop
DELETE FROM log WHERE id <= :to;

-- name: work_prune_sync_to
-- The next stretch of jobs old enough to lose their bodies: ids grow with time.
SELECT max(id) FROM (SELECT id, created_at FROM job WHERE id > :after ORDER BY id LIMIT :max) WHERE created_at < :before;

-- name: work_prune_sync_request
DELETE FROM request WHERE job > :after AND job <= :to AND job IN
       (SELECT id FROM job WHERE id > :after AND id <= :to AND mode = 'sync' AND state = 'done');

-- name: work_prune_sync_result
DELETE FROM result WHERE job > :after AND job <= :to AND job IN
       (SELECT id FROM job WHERE id > :after AND id <= :to AND mode = 'sync' AND state = 'done');

-- name: work_prune_sync_chunk
DELETE FROM chunk WHERE (job, seq) IN
       (SELECT c.job, c.seq FROM job j CROSS JOIN chunk c ON c.job = j.id
         WHERE j.id > :after AND j.id <= :to AND j.mode = 'sync' AND j.state = 'done' LIMIT 32);

-- name: work_prune_to
-- The oldest jobs that are old enough to go.
SELECT max(id) FROM (SELECT id, created_at FROM job WHERE id > 0 ORDER BY id LIMIT :max) WHERE created_at < :before;

-- name: work_prune_request
DELETE FROM request WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_result
DELETE FROM result WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_chunk
-- Some of them: those of one job may be many, and large.
DELETE FROM chunk WHERE (job, seq) IN
       (SELECT c.job, c.seq FROM job j CROSS JOIN chunk c ON c.job = j.id WHERE j.id <= :to AND j.state = 'done' LIMIT 32);

-- name: work_prune_receipt
DELETE FROM receipt WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_callback
DELETE FROM callback WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_log_of
DELETE FROM log WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_attempt
DELETE FROM attempt WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_after
DELETE FROM afterwork WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_rerun
DELETE FROM rerun WHERE job IN (SELECT id FROM job WHERE id <= :to AND state = 'done');

-- name: work_prune_job
-- The newest stays, so that no id is given twice.
DELETE FROM job WHERE id <= :to AND state = 'done' AND id < (SELECT max(id) FROM job);

-- name: work_prune_log
-- Lines of no job, or of one that is gone.
DELETE FROM log WHERE id <= (SELECT max(id) FROM (SELECT id, at FROM log WHERE id > 0 ORDER BY id LIMIT :max)
                              WHERE at < :before);

-- name: work_prune_instance
DELETE FROM instance WHERE id IN (SELECT id FROM instance WHERE id > 0 ORDER BY id LIMIT :max) AND ended_at < :before;

-- name: work_prune_orders
DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE id > 0 ORDER BY id LIMIT :max) AND done_at < :before;

-- name: work_enrol
INSERT OR IGNORE INTO enrolment (did, bundle, created_at) VALUES (:did, :bundle, :now);

-- name: work_unenrol
DELETE FROM enrolment WHERE did = :did AND bundle = :bundle;

-- name: work_enrolments
SELECT did, bundle FROM enrolment ORDER BY did, bundle;

-- name: work_schedules
SELECT id, did, bundle, endpoint, cron, zone, overlap, missed, error, paused, next_at, coalesce(last_job, 0), queued
  FROM schedule ORDER BY did, bundle, endpoint;

-- name: work_schedule_put
INSERT INTO schedule (did, bundle, endpoint, cron, zone, overlap, missed, error, next_at, seen_at)
VALUES (:did, :bundle, :endpoint, :cron, :zone, :overlap, :missed, :error, :next_at, :now)
    ON CONFLICT (did, bundle, endpoint) DO UPDATE
   SET cron = excluded.cron, zone = excluded.zone, overlap = excluded.overlap, missed = excluded.missed,
       error = excluded.error, next_at = excluded.next_at, seen_at = excluded.seen_at;

-- name: work_schedule_drop
DELETE FROM schedule WHERE id = :id;

-- name: work_schedule_pause
UPDATE schedule SET paused = :paused, next_at = :next_at WHERE id = :id;

-- name: work_schedule_set
UPDATE schedule SET next_at = :next_at, queued = :queued WHERE id = :id;

-- name: work_schedule_fired
UPDATE schedule SET next_at = :next_at, queued = :queued, last_job = :job, last_at = :now WHERE id = :id;

-- name: work_firing
INSERT OR IGNORE INTO firing (schedule, due_at, what, at) VALUES (:schedule, :due_at, :what, :now);

-- name: work_firing_job
-- Of a time that nothing was started for yet.
UPDATE firing SET what = :what, job = :job
 WHERE schedule = :schedule AND due_at = :due_at AND job IS NULL AND (what = 'queued' OR what = :what);

-- name: work_firing_queued
SELECT due_at FROM firing WHERE schedule = :schedule AND what = 'queued' AND job IS NULL ORDER BY due_at LIMIT 1;

-- name: work_fire_job
INSERT INTO job (nonce, mode, author, bundle, version, endpoint, method, client, timeout_ms, created_at, created_mono)
VALUES (:nonce, 'async', :did, :bundle, 'latest', :endpoint, 'POST', 'schedule', :timeout_ms, :now, :mono);

-- name: work_fire_request
INSERT INTO request (job, url, path, query, headers_json) VALUES (:job, :url, '', '', :headers_json);

-- name: work_was_fired
SELECT 1 FROM firing WHERE job = :row;

-- name: work_is_open
SELECT 1 FROM job WHERE id = :row AND state <> 'done';

-- name: work_prune_firings
DELETE FROM firing WHERE id IN (SELECT id FROM firing ORDER BY id LIMIT :max) AND at < :before;

-- name: work_prune_keys
DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency ORDER BY id LIMIT :max) AND created_at < :before;

-- name: work_prune_spent
DELETE FROM spent WHERE id > :after AND id <= :to AND until_at <= :now;

-- name: work_prune_spent_to
-- The next stretch of such a walk; none left: NULL, and it begins anew.
SELECT max(id) FROM (SELECT id FROM spent WHERE id > :after ORDER BY id LIMIT :max);

-- name: work_prune_run
-- The newest stays: /ready reads it.  So does a run that a job still names.
DELETE FROM run WHERE id < (SELECT max(id) FROM run) AND ended_at < :before
   AND NOT EXISTS (SELECT 1 FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'running' AND job.run = run.id);

-- name: work_mark
-- Something to commit before a checkpoint.
INSERT OR REPLACE INTO meta (key, value) VALUES ('checkpoint_at', CAST(:now AS TEXT));

-- name: work_size
-- Bytes in use.
SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size;

-- name: work_free_pages
SELECT freelist_count FROM pragma_freelist_count;

-- name: work_shrink
-- Gives some free pages at the end back to the file system.
PRAGMA incremental_vacuum(256);

-- ---- the desk: lib/store_desk.c and whoever reads ----

-- name: desk_jobs
-- Newest first, below a row; NULL filters let everything through.
SELECT * FROM v_jobs
 WHERE row < coalesce(:before, 9223372036854775807)
   AND (:state IS NULL OR state = :state) AND (:outcome IS NULL OR outcome = :outcome)
   AND (:author IS NULL OR author = :author OR did = :author) AND (:bundle IS NULL OR bundle = :bundle)
 ORDER BY row DESC LIMIT coalesce(:limit, 50);

-- name: desk_job
-- :id is the public id or the row alone.
SELECT v.*, r.url, r.headers_json AS request_headers_json, length(r.body) AS request_bytes,
       a.status, a.headers_json AS response_headers_json, length(a.body) AS response_bytes,
       (SELECT sum(length(data)) FROM chunk c WHERE c.job = v.row) AS streamed_bytes,
       w.outcome AS after_outcome, w.works AS after_works, w.failed AS after_failed, w.ms AS after_ms,
       k.url AS callback, k.state AS callback_state, k.attempts AS callback_attempts, k.status AS callback_status,
       k.error AS callback_error,
       strftime('%Y-%m-%dT%H:%M:%fZ', iif(k.state = 'due', k.next_at, NULL) / 1000.0, 'unixepoch') AS callback_next_at
  FROM v_jobs v LEFT JOIN request r ON r.job = v.row LEFT JOIN result a ON a.job = v.row
  LEFT JOIN callback k ON k.job = v.row LEFT JOIN afterwork w ON w.job = v.row
 WHERE v.row = CAST(:id AS INTEGER) AND (:id = v.row OR :id = v.id);

-- name: desk_callbacks
-- Newest first.
SELECT * FROM v_callbacks WHERE row > 0 AND (:state IS NULL OR state = :state) ORDER BY row DESC LIMIT coalesce(:limit, 20);

-- name: desk_callback
SELECT * FROM v_callbacks WHERE row = CAST(:id AS INTEGER);

-- name: desk_queue
SELECT * FROM v_queue LIMIT coalesce(:limit, 100);

-- name: desk_logs
-- Lines after one, of one job.
SELECT * FROM v_log WHERE row = CAST(:id AS INTEGER) AND line > coalesce(:after, 0) ORDER BY line LIMIT coalesce(:limit, 1000);

-- name: desk_logs_all
-- Lines after one, of everything.
SELECT * FROM v_log WHERE line > coalesce(:after, 0) ORDER BY line LIMIT coalesce(:limit, 1000);

-- name: desk_logs_until
-- The newest line; for an outcome, that before the first line of a job which has none yet.
SELECT CASE WHEN :outcome IS NULL THEN (SELECT coalesce(max(id), 0) FROM log)
            ELSE coalesce((SELECT min(l.id) - 1 FROM job j INDEXED BY job_open CROSS JOIN log l ON l.job = j.id
                            WHERE j.done_at IS NULL), (SELECT coalesce(max(id), 0) FROM log)) END AS line;

-- name: desk_scan_logs
-- Lines after one, of the jobs asked for.
SELECT l.id AS line, strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1000.0, 'unixepoch') AS at, l.level, l.source, l.job AS row,
       j.id || '-' || j.nonce AS job, j.author || '/' || j.bundle || '/' || j.version || '/' || j.endpoint AS called,
       j.outcome, l.instance, l.text
  FROM log l LEFT JOIN job j ON j.id = l.job
 WHERE l.id > :after AND l.id <= :until
   AND (:author IS NULL OR j.author = :author OR j.did = :author) AND (:bundle IS NULL OR j.bundle = :bundle)
   AND (:outcome IS NULL OR j.outcome = :outcome)
   AND CASE l.level WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END >= :level
 ORDER BY l.id LIMIT :limit;

-- name: desk_scan_logs_last
-- The last of them: walks back from the newest.
SELECT * FROM (
SELECT l.id AS line, strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1000.0, 'unixepoch') AS at, l.level, l.source, l.job AS row,
       j.id || '-' || j.nonce AS job, j.author || '/' || j.bundle || '/' || j.version || '/' || j.endpoint AS called,
       j.outcome, l.instance, l.text
  FROM log l LEFT JOIN job j ON j.id = l.job
 WHERE l.id > :after AND l.id <= :until
   AND (:author IS NULL OR j.author = :author OR j.did = :author) AND (:bundle IS NULL OR j.bundle = :bundle)
   AND (:outcome IS NULL OR j.outcome = :outcome)
   AND CASE l.level WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warn' THEN 2 ELSE 3 END >= :level
 ORDER BY l.id DESC LIMIT :limit) ORDER BY line;

-- name: desk_logs_tail
-- Where the last lines begin: for "logs" without an id.
SELECT coalesce(min(line), 1) - 1 AS after FROM (SELECT id AS line FROM log WHERE id > 0 ORDER BY id DESC LIMIT coalesce(:limit, 50));

-- name: desk_instances
-- Live ones; :all = 1 also those lately ended.
SELECT * FROM v_instances WHERE instance > 0 AND (ended_at IS NULL OR :all = 1)
 ORDER BY instance DESC LIMIT coalesce(:limit, 100);

-- name: desk_pool
-- Live instances by runtime and state.
SELECT runtime, state, count(*) AS instances, sum(calls) AS calls
  FROM instance INDEXED BY instance_live WHERE ended_at IS NULL GROUP BY runtime, state ORDER BY runtime, state;

-- name: desk_runtimes
SELECT * FROM v_runtimes ORDER BY name;

-- name: desk_runs
SELECT * FROM v_runs WHERE run > 0 ORDER BY run DESC LIMIT coalesce(:limit, 10);

-- name: desk_bundles
SELECT * FROM v_bundles WHERE (:author IS NULL OR author = :author) AND (:name IS NULL OR name = :name)
 ORDER BY author, name LIMIT coalesce(:limit, 200);

-- name: desk_scan_integrity
-- Reads every page.  One row "ok", or one for each fault.
PRAGMA integrity_check(20);

-- name: desk_views
SELECT view, shows FROM v_views ORDER BY view;

-- name: desk_orders
SELECT * FROM v_orders WHERE row > 0 ORDER BY row DESC LIMIT coalesce(:limit, 20);

-- name: desk_tally
-- What the scheduler counts, in Prometheus' text format; no row before its first heartbeat.
SELECT value AS text FROM meta WHERE key = 'tally';

-- name: desk_status
-- One row about now.
SELECT u.id AS run, u.pid, u.version, u.draining, u.ended_at IS NOT NULL AS ended, u.seen_at AS seen_ms,
       strftime('%Y-%m-%dT%H:%M:%fZ', u.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', u.seen_at / 1000.0, 'unixepoch') AS seen_at,
       (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'queued') AS queued,
       (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'admitted') AS admitted,
       (SELECT count(*) FROM job INDEXED BY job_open WHERE done_at IS NULL AND state = 'running') AS running,
       (SELECT count(*) FROM instance INDEXED BY instance_live WHERE ended_at IS NULL) AS instances,
       (SELECT count(*) FROM callback INDEXED BY callback_open WHERE done_at IS NULL AND next_at IS NOT NULL) AS callbacks_due
  FROM run u ORDER BY u.id DESC LIMIT 1;

-- name: desk_scan_today
-- Walks through today's jobs.
SELECT * FROM v_today;

-- name: desk_scan_failed
SELECT * FROM v_failed
 WHERE (:author IS NULL OR author = :author) AND (:bundle IS NULL OR bundle = :bundle)
   AND (:outcome IS NULL OR outcome = :outcome)
 LIMIT coalesce(:limit, 50);

-- name: desk_schedules
SELECT * FROM v_schedules WHERE :author IS NULL OR author = :author ORDER BY next_at IS NULL, next_at;

-- name: desk_firings
-- Newest first.
SELECT * FROM v_firings WHERE :schedule IS NULL OR schedule = :schedule ORDER BY firing DESC LIMIT coalesce(:limit, 20);

-- name: desk_enrolments
SELECT did AS author, bundle, strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS since
  FROM enrolment ORDER BY did, bundle;

-- name: desk_attempts
-- Of one job.
SELECT * FROM v_attempts WHERE row = CAST(:id AS INTEGER) ORDER BY attempt;

-- name: desk_keys
SELECT * FROM v_keys ORDER BY use DESC, number DESC;

-- name: desk_secrets
SELECT * FROM v_secrets WHERE (:author IS NULL OR author = :author) ORDER BY author, bundle;

-- name: desk_order
INSERT INTO orders (verb, args_json, created_at) VALUES (:verb, :args_json, :now);

-- name: desk_order_look
SELECT done_at IS NOT NULL, note FROM orders WHERE id = :id;

-- name: desk_bundle
-- By the record's CID, or what was fetched last of an author (DID or handle) and a name.
SELECT v.*, b.used_at, b.record_json, b.proof
  FROM v_bundles v JOIN bundle b ON b.cid = v.cid
 WHERE v.cid = :cid
    OR (v.name = :name AND v.author = coalesce((SELECT a.did FROM author a WHERE a.handle = :author), :author))
 ORDER BY b.fetched_at DESC LIMIT 1;

-- name: desk_graph
SELECT * FROM v_graph;

-- name: desk_graph_of
-- Is somebody in a set: what access check wants to know.  read: was it ever read to its end.
SELECT g.checked_at IS NOT NULL AS read, g.owner,
       (SELECT 1 FROM member m WHERE m.graph = g.id AND m.did = :did) AS member
  FROM graph g WHERE g.kind = :kind AND g.source = :source;

-- name: desk_follower
SELECT follows FROM follower WHERE did = :did AND operator = :operator;

-- name: desk_handle
SELECT did FROM author WHERE handle = :handle;

-- name: desk_scan_outcomes
-- Today's calls (UTC) by outcome; those under way by state.
SELECT coalesce(outcome, state) AS outcome, count(*) AS calls
  FROM job WHERE created_at >= unixepoch('now', 'start of day') * 1000
 GROUP BY 1 ORDER BY 2 DESC;

-- name: front_keys
-- The public keys for the card and the DID document; of those for receipts also what is gone.
SELECT key, use, number, gone_at IS NOT NULL FROM runner_key WHERE gone_at IS NULL OR use = 'receipts'
 ORDER BY use DESC, number DESC LIMIT 32;

-- name: work_keys_gone
-- Before the keys that are there are put.
UPDATE runner_key SET gone_at = :now WHERE gone_at IS NULL;

-- name: work_key_put
INSERT INTO runner_key (key, use, number, made_at) VALUES (:key, :use, :number, :made_at)
    ON CONFLICT (key) DO UPDATE SET number = excluded.number, gone_at = NULL;

-- name: work_key_drop
-- Revoked: what it signed counts no more.
DELETE FROM runner_key WHERE key = :key;

-- name: work_sealed_put
INSERT INTO sealed (did, bundle, cid, record_json, fetched_at) VALUES (:did, :bundle, :cid, :record_json, :now)
    ON CONFLICT (did, bundle) DO UPDATE
   SET cid = excluded.cid, record_json = excluded.record_json, fetched_at = excluded.fetched_at
 WHERE sealed.cid <> excluded.cid;

-- name: work_sealed_drop
DELETE FROM sealed WHERE did = :did AND bundle = :bundle;

-- name: work_sealed_get
SELECT cid, record_json FROM sealed WHERE did = :did AND bundle = :bundle;

-- name: work_receipt_put
INSERT INTO receipt (job, text) VALUES (:job, :text);

-- name: front_receipt
SELECT text FROM receipt WHERE job = :job;
