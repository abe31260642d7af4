"""The status page, and the operator's list of jobs, with a long history."""
import json
import os
import random
import sqlite3
import statistics
import subprocess
import time

from kit import Product, get, wait_url

FEW, MANY = 1000, 1_000_000
BOUNDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)
JOBS = '''INSERT INTO job (nonce, mode, state, outcome, author, bundle, version, endpoint, method, client, timeout_ms, did, cid,
 runtime, wall, start, attempt, created_at, admitted_at, started_at, done_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
SELECT lower(hex(randomblob(16))), 'async', 'done', iif(i % 50, 'ok', 'error'), 'did:plc:author' || (i % 200),
 'bundle' || (i % 700), 'latest', 'endpoint', 'POST', '127.0.0.1', 30000, 'did:plc:author' || (i % 200),
 'bafyreib2rxk3rh6kzwq' || (i % 700), 'node', 'none', 'warm', 1, :now - i, :now - i, :now - i, :now - i + 5 FROM n'''


def rolled_up(db, now):
    """A busy day: every five minutes have something to draw."""
    for i in range(288):
        n = random.randint(50, 5000)
        within = [int(n * min(1, (k + 1) / 12)) for k in range(len(BOUNDS))]
        db.execute('INSERT OR REPLACE INTO traffic VALUES (%s)' % ','.join('?' * (19 + len(BOUNDS) - 2)),
                   [now - now % 300000 - i * 300000, n, 5, 2, 1, 0, 0, 3, 1, 0, 1, 4, n, 7, 2, n, n * 9] + within)


def fill(product, rows):
    now = int(time.time() * 1000)
    db = sqlite3.connect(f'{product.home}/at-rund.db', timeout=300)
    db.execute('PRAGMA wal_autocheckpoint = 0')
    while rows > 0:
        with db:  # not so many at once that the scheduler's own transactions wait for long
            db.execute(JOBS.replace(':now', str(now)), (min(rows, 20000),))
            rolled_up(db, now)
        rows -= 20000
    db.close()
    time.sleep(3)  # a checkpoint


def ask(url, headers, rounds):
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        status, _, body = get(url, headers=headers)
        times.append((time.perf_counter() - began) * 1e3)
        if status != 200 or b'<main' not in body:
            raise SystemExit(f'bench: {url}: {status} {body[:300]}')
    return statistics.median(times)


def run(args, kids, table, work):
    product = Product(args, kids, 'node', work, extra='[scheduler]\nkeep_async = 30d\nkeep_size = 20G\n')
    wait_url(product.url)
    made = subprocess.run([os.path.join(args.build, 'at-rund'), '--home', product.home, 'page', 'token', '--json'],
                          capture_output=True, text=True, check=True)
    root = f'http://127.0.0.1:{product.port}'
    bearer = {'Accept': 'text/html', 'Authorization': 'Bearer ' + json.loads(made.stdout)['secret']}
    pages = (('the status page', root + '/', {'Accept': 'text/html'}), ('the list of jobs', root + '/operator', bearer))
    figures = {}
    for rows in (FEW, MANY):
        fill(product, rows)
        for _ in range(3):
            for name, url, headers in pages:
                figures.setdefault((name, rows), []).append(ask(url, headers, 100))
    for name, _, _ in pages:
        few, many = figures[(name, FEW)], figures[(name, MANY)]
        table.add(f'{name} with {MANY} jobs over with {FEW}', [m / statistics.median(few) for m in many], 2, 1.2,
                  detail=f'{statistics.median(many):.2f} ms against {statistics.median(few):.2f}')
    product.stop()
