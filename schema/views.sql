-- What people read: sqlite3 -readonly at-rund.db 'select * from v_jobs'.  These names and columns are stable.
-- Times are ISO 8601 in UTC, durations milliseconds.  What a view is for stands in its first line, which the database keeps:
-- `at-rund sql` lists them by it, and at-rund.db(5) tells of every column.

CREATE VIEW v_jobs AS -- Every call, oldest first.
SELECT j.id AS row,
       j.id || '-' || j.nonce AS id,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1000.0, 'unixepoch') AS asked_at,
       coalesce(j.caller, 'anonymous') AS asked_by,
       j.client AS asked_from,
       j.author || '/' || j.bundle || '/' || j.version || '/' || j.endpoint AS called,
       j.method,
       j.mode,
       j.state,
       j.outcome,
       j.start,
       coalesce(j.started_at, j.done_at) - j.created_at AS waited_ms,
       j.done_at - j.started_at AS ran_ms,
       j.attempt AS starts,
       j.author, j.bundle, j.version, j.endpoint, j.did, j.cid, j.runtime, j.wall, j.instance,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.done_at / 1000.0, 'unixepoch') AS done_at,
       j.error_name || ': ' || j.error AS error,
       substr(j.trace, 1, 32) AS trace
  FROM job j;

CREATE VIEW v_queue AS -- What is not done, in order of acceptance.
SELECT j.id AS row,
       j.id || '-' || j.nonce AS id,
       j.state,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1000.0, 'unixepoch') AS asked_at,
       CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) - j.created_at AS age_ms,
       j.timeout_ms,
       j.author || '/' || j.bundle || '/' || j.version || '/' || j.endpoint AS called,
       j.mode, j.runtime, j.instance, j.cancel AS cancelled
  FROM job j INDEXED BY job_open WHERE j.done_at IS NULL ORDER BY j.id;

CREATE VIEW v_failed AS -- What did not end well, newest first.
SELECT v.row, v.id, v.asked_at, v.called, v.outcome, v.error, v.waited_ms, v.ran_ms, v.mode, v.starts,
       coalesce(v.did, v.author) AS author, v.bundle,
       (SELECT max(r.job) FROM rerun r WHERE r.of = v.row) AS again_as
  FROM v_jobs v WHERE v.state = 'done' AND v.outcome <> 'ok' ORDER BY v.row DESC;

CREATE VIEW v_callbacks AS -- Where the ends of jobs are told, and how that went.
SELECT c.job AS row,
       j.id || '-' || j.nonce AS id,
       c.state, c.url, c.host, c.attempts, c.status, c.error,
       strftime('%Y-%m-%dT%H:%M:%fZ', iif(c.state = 'due', c.next_at, NULL) / 1000.0, 'unixepoch') AS next_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.tried_at / 1000.0, 'unixepoch') AS tried_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', c.done_at / 1000.0, 'unixepoch') AS done_at,
       coalesce(j.outcome, j.state) AS job_outcome
  FROM callback c LEFT JOIN job j ON j.id = c.job;

CREATE VIEW v_schedules AS -- What comes by itself, and when.
SELECT s.id AS schedule, s.did AS author, s.bundle, s.endpoint,
       s.did || '/' || s.bundle || '/' || s.endpoint AS called,
       s.cron, s.zone, s.overlap, s.missed,
       iif(s.paused, 'paused', iif(s.error IS NOT NULL, 'broken', 'active')) AS state,
       iif(s.paused OR s.next_at = 0, NULL, strftime('%Y-%m-%dT%H:%M:%fZ', s.next_at / 1000.0, 'unixepoch')) AS next_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.last_at / 1000.0, 'unixepoch') AS last_at,
       s.last_job AS last_row,
       (SELECT coalesce(j.outcome, j.state) FROM job j WHERE j.id = s.last_job) AS last_outcome,
       s.queued, s.error
  FROM schedule s;

CREATE VIEW v_firings AS -- Each time a schedule came, and what became of it.
SELECT f.id AS firing, f.schedule,
       strftime('%Y-%m-%dT%H:%M:%fZ', f.due_at / 1000.0, 'unixepoch') AS due_at,
       f.what,
       strftime('%Y-%m-%dT%H:%M:%fZ', f.at / 1000.0, 'unixepoch') AS at,
       f.job AS row,
       coalesce(j.outcome, j.state) AS outcome,
       j.done_at - j.started_at AS ran_ms,
       s.did || '/' || s.bundle || '/' || s.endpoint AS called
  FROM firing f LEFT JOIN job j ON j.id = f.job LEFT JOIN schedule s ON s.id = f.schedule;

CREATE VIEW v_attempts AS -- Starts of jobs that were started more than once.
SELECT a.job AS row, a.n AS attempt, a.outcome,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at / 1000.0, 'unixepoch') AS started_at,
       a.ended_at - a.started_at AS ran_ms,
       a.instance, a.run,
       a.error_name || ': ' || a.error AS error,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.again_at / 1000.0, 'unixepoch') AS again_at
  FROM attempt a;

CREATE VIEW v_after AS -- Work after answers (ctx.waitUntil), when it was over.
SELECT a.job AS row,
       j.author || '/' || j.bundle || '/' || j.version || '/' || j.endpoint AS called,
       a.outcome, a.works, a.failed, a.ms AS ran_ms
  FROM afterwork a LEFT JOIN job j ON j.id = a.job;

CREATE VIEW v_today AS -- Today (UTC) by bundle and endpoint.
SELECT author || '/' || bundle || '/' || endpoint AS called,
       count(*) AS calls,
       sum(outcome = 'ok') AS ok,
       sum(outcome = 'error') AS errors,
       sum(outcome IN ('timeout', 'memory', 'output', 'killed')) AS limits_hit,
       sum(outcome IN ('refused', 'expired', 'cancelled')) AS not_run,
       sum(outcome = 'lost') AS lost,
       sum(state <> 'done') AS open,
       round(avg(coalesce(started_at, done_at) - created_at), 1) AS mean_waited_ms,
       round(avg(done_at - started_at), 1) AS mean_ran_ms,
       max(done_at - started_at) AS longest_ms
  FROM job WHERE created_at >= unixepoch('now', 'start of day') * 1000
 GROUP BY author, bundle, endpoint ORDER BY calls DESC;

CREATE VIEW v_log AS -- What handlers printed.
SELECT l.id AS line,
       l.job AS row,
       strftime('%Y-%m-%dT%H:%M:%fZ', l.at / 1000.0, 'unixepoch') AS at,
       l.level, l.source, l.instance, l.text
  FROM log l;

CREATE VIEW v_bundles AS -- Bundles that were fetched, and which versions mean them at the moment.
SELECT b.did AS author, b.name,
       (SELECT group_concat(v.version, ', ') FROM version v
         WHERE v.did = b.did AND v.name = b.name AND v.cid = b.cid) AS versions,
       b.runtime, b.bytes, b.uri, b.cid, b.code, b.dir,
       strftime('%Y-%m-%dT%H:%M:%fZ', b.fetched_at / 1000.0, 'unixepoch') AS fetched_at, b.rev, b.commit_cid
  FROM bundle b;

CREATE VIEW v_instances AS -- Runtime processes, containers and microVMs: live ones, and those that lately ended and why.
SELECT i.id AS instance, i.state, i.runtime, i.wall, i.pid, i.calls, i.cid,
       (SELECT b.did || '/' || b.name FROM bundle b WHERE b.cid = i.cid) AS bundle,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.used_at / 1000.0, 'unixepoch') AS used_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.ended_at / 1000.0, 'unixepoch') AS ended_at,
       i.why, i.run
  FROM instance i;

CREATE VIEW v_runs AS -- Each time a scheduler ran.
SELECT r.id AS run, r.pid, r.version,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.seen_at / 1000.0, 'unixepoch') AS seen_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.ended_at / 1000.0, 'unixepoch') AS ended_at,
       r.draining
  FROM run r;

CREATE VIEW v_runtimes AS -- What can run here, and why the rest cannot.
SELECT t.name,
       (SELECT group_concat(m.value, ', ') FROM json_each(t.mime_json) m) AS mime_types,
       t.version, t.wall, t.missing, t.concurrency
  FROM runtime t;

CREATE VIEW v_orders AS -- What was asked of the scheduler, and what it said.
SELECT o.id AS row, o.verb, o.args_json,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.created_at / 1000.0, 'unixepoch') AS asked_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.done_at / 1000.0, 'unixepoch') AS done_at,
       o.note
  FROM orders o;

CREATE VIEW v_keys AS -- The runner's public keys: which one authors seal for, which receipts are signed with, which are gone.
SELECT k.key, k.use, k.number,
       CASE WHEN k.gone_at IS NOT NULL THEN 'gone'
            WHEN k.number = (SELECT max(o.number) FROM runner_key o WHERE o.use = k.use AND o.gone_at IS NULL) THEN 'current'
            ELSE 'old' END AS state,
       strftime('%Y-%m-%dT%H:%M:%fZ', k.made_at / 1000.0, 'unixepoch') AS made_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', k.gone_at / 1000.0, 'unixepoch') AS gone_at
  FROM runner_key k;

CREATE VIEW v_secrets AS -- Whose sealed secrets lie here, for which key, and until when they say they are good.
SELECT s.did AS author, s.bundle,
       s.record_json ->> '$.key' AS key, s.record_json ->> '$.expiresAt' AS expires_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', s.fetched_at / 1000.0, 'unixepoch') AS fetched_at, s.cid
  FROM sealed s;

CREATE VIEW v_graph AS -- Sets of people that access modes ask for, and how they were read.
SELECT g.kind, g.source, g.name, g.owner,
       (SELECT count(*) FROM member m WHERE m.graph = g.id) AS members,
       strftime('%Y-%m-%dT%H:%M:%fZ', g.checked_at / 1000.0, 'unixepoch') AS checked_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', g.tried_at / 1000.0, 'unixepoch') AS tried_at,
       g.error
  FROM graph g;

CREATE VIEW v_people AS -- Who is in which set, and who follows back as far as that was asked.
SELECT m.did, g.kind, g.source,
       (SELECT f.follows FROM follower f WHERE f.did = m.did AND f.operator = g.owner AND g.kind = 'follows') AS follows_back
  FROM member m JOIN graph g ON g.id = m.graph;

CREATE VIEW v_usage AS -- What authors, bundles and callers used by the day, where a limit asks for it.
SELECT strftime('%Y-%m-%d', u.day * 86400, 'unixepoch') AS day, u.kind, u.name, u.cpu_ms, u.egress_bytes
  FROM usage u;

CREATE VIEW v_traffic AS -- What ended, by five minutes: outcomes, starts, and how long callers waited.
SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at,
       ok + error + timeout + memory + output + killed + refused + lost + expired + cancelled AS calls,
       ok, error AS errors, timeout + memory + output + killed AS limits_hit, refused + expired + cancelled AS not_run, lost,
       warm, blank, cold, waited, round(1.0 * sum_ms / waited, 1) AS mean_ms,
       CASE WHEN waited = 0 THEN NULL
            WHEN ms_1 * 2 >= waited THEN 1 WHEN ms_2 * 2 >= waited THEN 2 WHEN ms_5 * 2 >= waited THEN 5
            WHEN ms_10 * 2 >= waited THEN 10 WHEN ms_25 * 2 >= waited THEN 25 WHEN ms_50 * 2 >= waited THEN 50
            WHEN ms_100 * 2 >= waited THEN 100 WHEN ms_250 * 2 >= waited THEN 250 WHEN ms_500 * 2 >= waited THEN 500
            WHEN ms_1000 * 2 >= waited THEN 1000 WHEN ms_2500 * 2 >= waited THEN 2500 WHEN ms_5000 * 2 >= waited THEN 5000
            WHEN ms_10000 * 2 >= waited THEN 10000 WHEN ms_30000 * 2 >= waited THEN 30000 END AS p50_ms,
       CASE WHEN waited = 0 THEN NULL
            WHEN ms_1 * 20 >= waited * 19 THEN 1 WHEN ms_2 * 20 >= waited * 19 THEN 2 WHEN ms_5 * 20 >= waited * 19 THEN 5
            WHEN ms_10 * 20 >= waited * 19 THEN 10 WHEN ms_25 * 20 >= waited * 19 THEN 25
            WHEN ms_50 * 20 >= waited * 19 THEN 50 WHEN ms_100 * 20 >= waited * 19 THEN 100
            WHEN ms_250 * 20 >= waited * 19 THEN 250 WHEN ms_500 * 20 >= waited * 19 THEN 500
            WHEN ms_1000 * 20 >= waited * 19 THEN 1000 WHEN ms_2500 * 20 >= waited * 19 THEN 2500
            WHEN ms_5000 * 20 >= waited * 19 THEN 5000 WHEN ms_10000 * 20 >= waited * 19 THEN 10000
            WHEN ms_30000 * 20 >= waited * 19 THEN 30000 END AS p95_ms
  FROM traffic;

CREATE VIEW v_authors AS -- Whose bundles ran, by the day, and what they used as far as a limit asks for it.
SELECT strftime('%Y-%m-%d', t.day * 86400, 'unixepoch') AS day, t.author, t.calls, t.failed, t.ran_ms, u.cpu_ms, u.egress_bytes
  FROM traffic_author t LEFT JOIN usage u ON u.day = t.day AND u.kind = 'author' AND u.name = t.author;

CREATE VIEW v_tokens AS -- Who may see the operator's page.
SELECT t.id AS token, t.name,
       CASE WHEN t.gone_at IS NOT NULL THEN 'revoked'
            WHEN t.until_at <= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) THEN 'expired' ELSE 'good' END AS state,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.made_at / 1000.0, 'unixepoch') AS made_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.until_at / 1000.0, 'unixepoch') AS until_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.used_at / 1000.0, 'unixepoch') AS used_at,
       (SELECT count(*) FROM page_session s WHERE s.token = t.id) AS browsers
  FROM page_token t;

CREATE VIEW v_views AS -- These views, and what each is for.
SELECT name AS view,
       rtrim(substr(sql, instr(sql, '-- ') + 3, instr(sql, char(10)) - instr(sql, '-- ') - 3), '.') AS shows
  FROM sqlite_schema WHERE type = 'view';
