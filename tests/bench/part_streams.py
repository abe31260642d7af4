"""The first byte of a stream over that of the same answer whole; and calls while 100,000 old jobs are pruned."""
import http.client
import sqlite3
import statistics
import time

from kit import Product, wait_url, wrk

STREAM = '''
export function flow() {
  return new Response(new ReadableStream({ start(c) {
    c.enqueue(new TextEncoder().encode('{"hello":"world"}'));
    c.close();
  } }), { headers: { 'content-type': 'application/json' } });
}
'''
OLD_MS = 30 * 86400000


def first_byte(port, path, n):
    """Milliseconds from the request to the first byte of the body, of n calls."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    out = []
    for _ in range(n):
        began = time.perf_counter()
        c.request('GET', path)
        r = c.getresponse()
        r.read(1)
        out.append((time.perf_counter() - began) * 1e3)
        r.read()
    c.close()
    return out


def streams(args, table, product):
    path = '/bundle/local/bench/latest/'
    first_byte(product.port, path + 'flow', 500)
    ratios, detail = [], ''
    for _ in range(args.rounds):
        whole, flow = (statistics.median(first_byte(product.port, path + e, 1500)) for e in ('hello', 'flow'))
        ratios.append(flow / whole)
        detail = f'{flow:.3f} ms over {whole:.3f} ms'
    table.add('first byte of a stream over that of the same answer whole', ratios, 1.2, 1.05, detail=detail)


FIRST = 1000  # of the old jobs


def columns_of(db, table, key):
    return [r[1] for r in db.execute(f'PRAGMA table_info({table})') if r[1] != key]


def open_ledger(product):
    db = sqlite3.connect(product.home + '/at-rund.db', isolation_level=None, timeout=30)
    db.execute('PRAGMA wal_autocheckpoint = 0')
    return db


def leave_room(product, n):
    """The next job gets a number above those of n old ones."""
    db = open_ledger(product)
    columns = ', '.join(columns_of(db, 'job', 'id'))
    db.execute(f"INSERT INTO job (id, {columns}) SELECT {FIRST + n}, {columns} FROM job WHERE state = 'done' LIMIT 1")
    db.close()


def grow_old(product, n):
    """Copies of a job that is done, long ago, with all that hangs on it; the scheduler finds them at its next look."""
    db = open_ledger(product)
    columns = columns_of(db, 'job', 'id')
    db.execute(f'DELETE FROM job WHERE id < {FIRST}')
    row = db.execute("SELECT max(id) FROM job WHERE state = 'done' AND outcome = 'ok'").fetchone()[0]
    low = FIRST + n
    values = ', '.join('created_at - %d' % OLD_MS if c == 'created_at' else c for c in columns)
    for at in range(0, n, 1000):
        db.execute('BEGIN IMMEDIATE')
        db.execute(f'''WITH RECURSIVE k (i) AS (SELECT {low - n + at} UNION ALL SELECT i + 1 FROM k WHERE i < {low - n + at + 999})
            INSERT INTO job (id, {', '.join(columns)}) SELECT k.i, {values} FROM k, job WHERE job.id = {row}''')
        for table in ('request', 'result'):
            rest = columns_of(db, table, 'job')
            db.execute(f'''WITH RECURSIVE k (i) AS (SELECT {low - n + at} UNION ALL SELECT i + 1 FROM k WHERE i < {low - n + at + 999})
                INSERT INTO {table} (job, {', '.join(rest)}) SELECT k.i, {', '.join(rest)} FROM k, {table} WHERE job = {row}''')
        db.execute('COMMIT')
    db.close()
    return low


def pruning(args, table, product):
    wrk(product.url, 4, 2)
    without = statistics.median(wrk(product.url, 4, args.seconds)['p99'] for _ in range(args.rounds))
    low = grow_old(product, args.backlog)
    ratios, began = [], time.monotonic()
    while True:
        r = wrk(product.url, 4, args.seconds)
        db = product.db()
        left = db.execute('SELECT count(*) FROM job WHERE id < ?', (low,)).fetchone()[0]
        db.close()
        if left == 0:
            break
        ratios.append(r['p99'] / without)
        if time.monotonic() - began > 300:
            table.note('pruning', f'{left} jobs are left after 300 s')
            break
    table.add(f'pruning {args.backlog} old jobs while calls run: p99 over p99 without', ratios or [1.0], 2.0, 1.2,
              detail=f'{without:.2f} ms without; pruned in {time.monotonic() - began:.0f} s')


def run(args, kids, table, work):
    product = Product(args, kids, 'node', work, more=('flow', STREAM))
    wait_url(product.url)
    leave_room(product, args.backlog)
    wrk(product.url, 16, args.seconds)
    streams(args, table, product)
    pruning(args, table, product)
    product.stop()
