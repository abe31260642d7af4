"""The first byte of a stream over that of the same answer whole; and calls while 100,000 old jobs are pruned."""
import re
import socket
import sqlite3
import statistics
import time

from kit import Product, runtime_command, wait_url, wrk

# One answer in three ways: whole; a stream that has ended when its first piece is read; one that ends well after that.
ENDPOINTS = 'whole flow later'
ANSWERS = {
    'node': '''
const BODY = '{"hello":"world"}', INIT = { headers: { 'content-type': 'application/json' } };
const stream = (end) => new Response(new ReadableStream({ start(c) {
  c.enqueue(new TextEncoder().encode(BODY));
  end(c);
} }), INIT);
export const whole = () => new Response(BODY, INIT);
export const flow = () => stream((c) => c.close());
export const later = () => stream((c) => setTimeout(() => c.close(), 5));
''',
    'python': '''
import time
BODY = b'{"hello":"world"}'


def pieces(seconds):
    yield BODY
    if seconds:
        time.sleep(seconds)


def whole(request, ctx):
    return BODY


def flow(request, ctx):
    return pieces(0)


def later(request, ctx):
    return pieces(0.005)
''',
}
OLD_MS = 30 * 86400000


class Reader:
    """One client on one kept connection that looks at when the first byte of a body comes."""

    def __init__(self, port):
        self.port, self.host = port, f'127.0.0.1:{port}'.encode()
        self.connect()

    def connect(self):
        self.s = socket.create_connection(('127.0.0.1', self.port))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self, buf):
        got = self.s.recv(65536)
        if not got:
            raise SystemExit(f'bench: the connection ended after {buf[:300]}')
        return buf + got

    def first_byte(self, path):
        """Milliseconds from the request to it; the rest is read, too."""
        began = time.perf_counter()
        self.s.sendall(b'GET /bundle/local/bench/latest/' + path + b' HTTP/1.1\r\nHost: ' + self.host + b'\r\n\r\n')
        buf = b''
        while (end := buf.find(b'\r\n\r\n')) < 0 or len(buf) == end + 4:
            buf = self.more(buf)
        ms = (time.perf_counter() - began) * 1e3
        head, size = buf[:end].lower(), re.search(rb'\ncontent-length: *(\d+)', buf[:end].lower())
        if not head.startswith(b'http/1.1 200'):
            raise SystemExit(f'bench: {buf[:300]}')
        while len(buf) < end + 4 + int(size.group(1)) if size else not buf.endswith(b'\r\n0\r\n\r\n'):
            buf = self.more(buf)
        if b'\nconnection: close' in head:
            self.s.close()
            self.connect()
        return ms


def warm(url):
    """Executors compile what is hot after some thousand calls."""
    calls = 0.0
    while calls < 10000:
        calls += 2 * wrk(url, 16, 2)['rate']


def streams(args, table, product, name):
    """Calls in turns, with a rest after each that is long enough for what follows an answer."""
    warm(product.base + 'bench/latest/whole')
    for path, calls, what in ((b'flow', 1000, 'first byte of a stream over that of the same answer whole'),
                              (b'later', 500, 'the same of a stream that ends 5 ms later')):
        ratios, detail = [], ''
        warm(product.base + 'bench/latest/' + path.decode())
        reader = Reader(product.port)
        for _ in range(args.rounds):
            took = {b'whole': [], path: []}
            for _ in range(calls):
                for p, times in took.items():
                    times.append(reader.first_byte(p))
                    time.sleep(0.001)
            whole, flow = (statistics.median(x) for x in took.values())
            ratios.append(flow / whole)
            detail = f'{flow:.3f} ms over {whole:.3f} ms'
        table.add(f'{name}: {what}', ratios, 1.2, 1.05, detail=detail)


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
            db.execute(f'''WITH RECURSIVE k (i) AS (SELECT {low - n + at} UNION ALL
                SELECT i + 1 FROM k WHERE i < {low - n + at + 999})
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
    for name in ANSWERS:
        if name in args.runtimes.split(',') and runtime_command(args, name):
            product = Product(args, kids, name, work, more=(ENDPOINTS, ANSWERS[name]))
            wait_url(product.url)
            streams(args, table, product, name)
            product.stop()
    product = Product(args, kids, 'node', work)
    wait_url(product.url)
    leave_room(product, args.backlog)
    wrk(product.url, 16, args.seconds)
    pruning(args, table, product)
    product.stop()
