-- Statements of the operator's page (fcgi/page_*.c, by name, and lib/store_page.c), in blocks as in statements.sql.

-- name: page_token_put
INSERT INTO page_token (name, hash, made_at, until_at) VALUES (:name, :hash, :now, :until);

-- name: page_token_gone
UPDATE page_token SET gone_at = :now WHERE gone_at IS NULL AND (:id IS NULL OR id = :id);

-- name: page_token_out
-- Whoever is signed in with a token that is no more.
DELETE FROM page_session WHERE token IN (SELECT id FROM page_token WHERE gone_at IS NOT NULL);

-- name: page_token_get
SELECT hash FROM page_token WHERE id = :id AND gone_at IS NULL AND (until_at IS NULL OR until_at > :now);

-- name: page_token_used
UPDATE page_token SET used_at = :now WHERE id = :id;

-- name: page_session_put
INSERT INTO page_session (token, hash, made_at, until_at) VALUES (:token, :hash, :now, :until);

-- name: page_session_get
SELECT s.hash FROM page_session s JOIN page_token t ON t.id = s.token
 WHERE s.id = :id AND s.until_at > :now AND t.gone_at IS NULL AND (t.until_at IS NULL OR t.until_at > :now);

-- name: page_session_end
DELETE FROM page_session WHERE id = :id OR until_at <= :now;

-- name: page_wrong_get
SELECT since_at, tries FROM page_wrong WHERE client = :client AND since_at > :after;

-- name: page_wrong_add
INSERT INTO page_wrong (client, since_at, tries) VALUES (:client, :now, 1)
    ON CONFLICT (client) DO UPDATE
   SET tries = iif(since_at > :after, tries + 1, 1), since_at = iif(since_at > :after, since_at, :now);

-- name: page_wrong_old
DELETE FROM page_wrong WHERE since_at <= :after;

-- name: desk_tokens
SELECT * FROM v_tokens ORDER BY token;

-- name: page_jobs
-- Of a stretch of rows, newest first, those that fit.
SELECT s.id, s.id || '-' || s.nonce AS job, s.created_at, coalesce(s.started_at, s.done_at) - s.created_at AS waited,
       s.done_at - s.started_at AS ran, coalesce(s.did, s.author) AS author, s.bundle, s.version, s.endpoint, s.method, s.mode,
       s.state, s.outcome, s.start, s.error_name, s.cancel
  FROM (SELECT * FROM job WHERE id < :before ORDER BY id DESC LIMIT :stretch) s
 WHERE (:state IS NULL OR s.state = :state)
   AND (:outcome IS NULL OR s.outcome = :outcome OR (:outcome = 'failed' AND s.outcome <> 'ok'))
   AND (:author IS NULL OR s.did = :author OR s.author = :author) AND (:bundle IS NULL OR s.bundle = :bundle)
   AND (:since IS NULL OR s.created_at >= :since)
 LIMIT :limit;

-- name: page_jobs_end
-- Where that stretch ends, and whether it is older than asked for.
SELECT min(id), coalesce(min(created_at) < :since, 0)
  FROM (SELECT id, created_at FROM job WHERE id < :before ORDER BY id DESC LIMIT :stretch);

-- name: page_jobs_open
-- What is not done, newest first; the columns of page_jobs.
SELECT j.id, j.id || '-' || j.nonce AS job, j.created_at, j.started_at - j.created_at AS waited, NULL AS ran,
       coalesce(j.did, j.author) AS author, j.bundle, j.version, j.endpoint, j.method, j.mode, j.state, j.outcome, j.start,
       j.error_name, j.cancel
  FROM job j INDEXED BY job_open
 WHERE j.done_at IS NULL AND j.id < :before AND (:state = 'open' OR j.state = :state)
   AND (:author IS NULL OR j.did = :author OR j.author = :author) AND (:bundle IS NULL OR j.bundle = :bundle)
   AND (:since IS NULL OR j.created_at >= :since)
 ORDER BY j.id DESC LIMIT :limit;

-- name: page_job
-- Everything about one but its bodies and headers.
SELECT j.id, j.created_at, j.admitted_at, j.started_at, j.done_at, coalesce(j.did, j.author) AS author, j.bundle, j.version,
       j.endpoint, j.method, j.mode, j.state, j.outcome, j.start, j.error_name, j.error, j.cancel, j.caller, j.client, j.cid,
       j.runtime, j.wall, j.instance, j.run, j.attempt, j.idempotent, j.timeout_ms, j.task, r.path, r.query <> '' AS has_query,
       length(r.body) AS request_bytes, r.job IS NOT NULL AS has_request, a.status, a.streamed, length(a.body) AS answer_bytes,
       (SELECT sum(length(data)) FROM chunk c WHERE c.job = j.id) AS streamed_bytes,
       (SELECT 1 FROM receipt t WHERE t.job = j.id) AS has_receipt,
       (SELECT of FROM rerun x WHERE x.job = j.id) AS again_of, (SELECT max(job) FROM rerun x WHERE x.of = j.id) AS again_as,
       (SELECT count(*) FROM log l WHERE l.job = j.id) AS lines,
       k.host AS told_to, k.state AS told, k.attempts AS told_attempts, k.status AS told_status, k.error AS told_error
  FROM job j LEFT JOIN request r ON r.job = j.id LEFT JOIN result a ON a.job = j.id LEFT JOIN callback k ON k.job = j.id
 WHERE j.id = :row AND j.nonce = :nonce;

-- name: page_job_id
SELECT id || '-' || nonce FROM job WHERE id = :row;

-- name: page_authors
-- Whose bundles ran since a day, those with most calls first, and what is open of them now.
SELECT t.author, h.handle, sum(t.calls) AS calls, sum(t.failed) AS failed, sum(t.ran_ms) AS ran_ms,
       sum(iif(t.day = :today, t.calls, 0)) AS today, sum(iif(t.day = :today, t.failed, 0)) AS failed_today,
       u.cpu_ms, u.egress_bytes,
       (SELECT count(*) FROM job j INDEXED BY job_open WHERE j.done_at IS NULL AND j.author = t.author) AS open
  FROM traffic_author t LEFT JOIN usage u ON u.day = :today AND u.kind = 'author' AND u.name = t.author
  LEFT JOIN (SELECT did, min(handle) AS handle FROM author GROUP BY did) h ON h.did = t.author
 WHERE t.day >= :since GROUP BY t.author ORDER BY calls DESC, t.author LIMIT :limit;

-- name: page_author_bundles
SELECT did, name, count(*) AS records, max(fetched_at) AS fetched_at, max(used_at) AS used_at
  FROM bundle WHERE did = :did GROUP BY name ORDER BY name LIMIT :limit;

-- name: page_order
SELECT verb, args_json, done_at IS NOT NULL AS done, note FROM orders WHERE id = :id;

-- name: page_orders
SELECT id, verb, args_json, created_at, done_at, note FROM orders WHERE id > 0 ORDER BY id DESC LIMIT :limit;

-- name: page_instances
SELECT i.id, i.state, i.runtime, i.wall, i.pid, i.calls, i.started_at, i.used_at,
       (SELECT b.did || '/' || b.name FROM bundle b WHERE b.cid = i.cid) AS bundle
  FROM instance i INDEXED BY instance_live WHERE i.ended_at IS NULL ORDER BY i.id DESC LIMIT :limit;

-- name: page_ended
SELECT i.id, i.runtime, i.calls, i.started_at, i.ended_at, i.why FROM instance i
 WHERE i.id > 0 AND i.ended_at IS NOT NULL ORDER BY i.id DESC LIMIT :limit;
