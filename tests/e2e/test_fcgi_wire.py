#!/usr/bin/env python3
"""
The front door on the wire: at-rund.fcgi alone, spoken to by a FastCGI client that can misbehave.

The scheduler's side of the ledger is played by this program with sqlite3, so that every state of a job can be had
exactly and at any moment; tests with the real scheduler and real web servers stand in the other files here.
"""
import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
import time

import fcgi_client as fcgi
from kit import BUILD, ROOT, Cases, Process, check, same, scratch, until

PROGRAM = os.path.join(BUILD, 'at-rund.fcgi')
AUTHOR = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
URL = '/bundle/%s/hello/latest/list' % AUTHOR


def now():
    return int(time.time() * 1000)


def mono():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


class Home:
    """A home with a ledger; what a scheduler would write, written by hand."""

    def __init__(self, config=''):
        self.dir = scratch()
        self.run = os.path.join(self.dir, 'run')
        self.sock = os.path.join(self.run, 'fcgi.sock')
        self.db_path = os.path.join(self.dir, 'at-rund.db')
        self.config = os.path.join(self.dir, 'config.ini')
        os.mkdir(self.run)
        with open(self.config, 'w') as f:
            f.write(config)
        db = self.db()
        for name in ('schema.sql', 'views.sql'):
            with open(os.path.join(ROOT, 'schema', name)) as f:
                db.executescript(f.read())
        db.execute('PRAGMA application_id = 0x61747264')
        db.execute('PRAGMA user_version = %d' % schema_version())
        db.close()
        self.ringer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.door = None

    def db(self):
        db = sqlite3.connect(self.db_path, isolation_level=None, timeout=10, check_same_thread=False)
        db.execute('PRAGMA journal_mode = WAL')
        db.execute('PRAGMA wal_autocheckpoint = 0')
        db.row_factory = sqlite3.Row
        return db

    def start(self, *args, wait=True, env=None, stdin=subprocess.DEVNULL):
        e = {'PATH': os.environ['PATH'], 'AT_RUND_HOME': self.dir, **(env or {})}
        self.door = Process([PROGRAM, '--config', self.config, *(args or ('--listen', self.sock))],
                            os.path.join(self.dir, 'fcgi.log'), env=e, stdin=stdin)
        if wait:
            self.door.ready(lambda: self.get('/health').status == 200, 'at-rund.fcgi')
        return self

    def beat(self, db, draining=0):
        mono = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)
        db.execute('INSERT INTO run (id, pid, boot, version, started_at, seen_at, draining, seen_mono) '
                   'VALUES (1, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, '
                   'draining = excluded.draining, seen_mono = excluded.seen_mono',
                   (boot(), '0', now(), now(), draining, mono))
        db.execute('INSERT OR REPLACE INTO runtime (name, mime_json, version, wall, missing, concurrency) '
                   "VALUES ('node', '[]', 'v1', 'none', NULL, 1)")

    def ring(self, name):
        if name:
            with contextlib.suppress(OSError):
                self.ringer.sendto(b'!', os.path.join(self.run, name + '.bell'))

    def get(self, uri, headers=(), **kw):
        return fcgi.request(self.sock, 'GET', uri, headers, **kw)

    def post(self, uri, body=b'', headers=(), **kw):
        return fcgi.request(self.sock, 'POST', uri, headers, body, **kw)


def boot():
    with open('/proc/sys/kernel/random/boot_id') as f:
        return f.read().strip()


def schema_version():
    steps = [int(n.split('_')[0]) for n in os.listdir(os.path.join(ROOT, 'schema', 'migrate')) if n.endswith('.sql')]
    return max(steps + [1])


class Workshop:
    """Plays the scheduler: calls fn(workshop, job) for each queued job until stopped."""

    def __init__(self, home, fn):
        self.home, self.fn, self.stop = home, fn, threading.Event()
        self.db = home.db()
        home.beat(self.db)
        self.errors = []
        self.seen = set()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.db.close()
        check(not self.errors, self.errors)

    def loop(self):
        while not self.stop.is_set():
            try:
                for job in self.db.execute("SELECT * FROM job WHERE state = 'queued' ORDER BY id").fetchall():
                    if job['id'] not in self.seen:
                        self.seen.add(job['id'])
                        self.fn(self, job)
            except Exception as e:
                if self.db.in_transaction:
                    self.db.execute('ROLLBACK')
                # A caller that left in this very moment has cancelled it.
                if self.row(job)['outcome'] != 'cancelled':
                    self.errors.append(repr(e))
            self.stop.wait(0.002)

    def request(self, job):
        return self.db.execute('SELECT * FROM request WHERE job = ?', (job['id'],)).fetchone()

    def admit(self, job):
        self.db.execute("UPDATE job SET state = 'admitted', did = ?, cid = 'bafycid', runtime = 'node', wall = 'none', "
                        "admitted_at = ? WHERE id = ?", (job['author'], now(), job['id']))

    def begin(self, job, lease_ms=60000):
        self.admit(job)
        self.db.execute("UPDATE job SET state = 'running', started_at = ?, run = 1, lease = 1, attempt = 1, start = 'warm', "
                        "lease_until = ? WHERE id = ?", (now(), mono() + lease_ms, job['id']))

    def result(self, job, status=200, headers=(), body=b'', streamed=0):
        self.db.execute('INSERT INTO result (job, status, headers_json, streamed, body) VALUES (?, ?, ?, ?, ?)',
                        (job['id'], status, json.dumps([list(h) for h in headers]).replace(', ', ','), streamed,
                         None if streamed else body))

    def done(self, job, outcome='ok', kind=None, name=None, error=None):
        self.db.execute("UPDATE job SET state = 'done', outcome = ?, done_at = ?, error_kind = ?, error_name = ?, error = ? "
                        'WHERE id = ?', (outcome, now(), kind, name, error, job['id']))
        self.home.ring(job['bell'])

    def answer(self, job, *args, **kw):
        self.db.execute('BEGIN IMMEDIATE')
        self.begin(job)
        self.result(job, *args, **kw)
        self.db.execute("UPDATE job SET state = 'done', outcome = 'ok', done_at = ? WHERE id = ?", (now(), job['id']))
        self.db.execute('COMMIT')
        self.home.ring(job['bell'])

    def refuse(self, job, kind, name, text):
        self.done(job, 'refused', kind, name, text)

    def row(self, job):
        return self.db.execute('SELECT * FROM job WHERE id = ?', (job['id'],)).fetchone()


def echo(w, job):
    """Answers with the request as the handler would see it."""
    r = w.request(job)
    body = bytes(r['body'] or b'')
    facts = {'method': job['method'], 'url': r['url'], 'path': r['path'], 'query': r['query'],
             'headers': json.loads(r['headers_json']), 'bytes': len(body)}
    w.answer(job, 200, [('content-type', 'application/json'), ('x-facts', json.dumps(facts))], body)


def facts(answer):
    check(answer.status == 200, answer.raw[:500])
    return json.loads(answer.header('x-facts'))


# ---- without a scheduler ---------------------------------------------------------------------------------------

def own_routes(h):
    a = h.get('/')
    check(a.status == 200 and a.header('content-type').startswith('text/plain') and b'at-rund' in a.body, a.raw)
    a = h.get('/', {'accept': 'text/html'})
    check(a.header('content-type').startswith('text/html'), a.raw)
    same(h.get('/health').json(), {'status': 'ok'})
    for uri, status, error in (
            ('/nothing', 404, 'NotFound'), ('/xrpc/com.example.none', 501, 'MethodNotImplemented'),
            ('/xrpc/bad', 400, 'InvalidRequest'), ('/a/../b', 400, 'InvalidPath'), ('/a//b', 400, 'InvalidPath'),
            ('/%2e%2e/x', 400, 'InvalidPath'), ('/a%2Fb', 400, 'InvalidPath'), ('/a%00', 400, 'InvalidPath'),
            ('/bundle/did:x/n/latest/e', 400, 'InvalidDid'), ('/bundle/did:key:z/n/latest/e', 400, 'UnsupportedDidMethod'),
            ('/bundle/nohandle/n/latest/e', 400, 'InvalidHandle'), ('/bundle/a.b/n!/latest/e', 400, 'InvalidBundleName'),
            ('/bundle/local/n/latest/e', 400, 'InvalidHandle'), ('/bundle/%s/n' % AUTHOR, 400, 'InvalidRequest'),
            ('/job/1', 400, 'InvalidJobId'), ('/job/1-' + '0' * 32, 404, 'JobNotFound'),
            ('/xrpc/dev.at-run.getJob', 400, 'InvalidRequest'), ('/xrpc/dev.at-run.listJobs', 401, 'AuthMissing'),
            ('/xrpc/dev.at-run.getLogs', 401, 'AuthMissing'), ('/xrpc/dev.at-run.getLogs?level=loud', 400, 'InvalidRequest'),
            ('/xrpc/dev.at-run.getLogs?since=today', 400, 'InvalidRequest'), ('/xrpc/dev.at-run.getLogs?limit=0', 400, 'InvalidRequest'),
            ('/xrpc/dev.at-run.cancelJob?id=1', 400, 'InvalidRequest'), ('/' + 'x' * 9000, 414, 'UriTooLong')):
        a = h.get(uri)
        check(a.status == status and a.json()['error'] == error and a.json()['message'], uri[:60], a.raw[:300])
        check(a.reason, 'a status without its text')
    a = h.post('/health')
    check(a.status == 405 and a.header('allow') == 'GET, HEAD', a.raw)
    a = fcgi.request(h.sock, 'HEAD', '/health')
    check(a.status == 200 and a.body == b'' and int(a.header('content-length')) > 0, a.raw)
    for method in ('GE T', '', 'X' * 17, 'TRACE'):
        check(fcgi.request(h.sock, method, URL).status in (400, 405), method)


def no_scheduler(h):
    a = h.get(URL)
    check(a.status == 503 and a.json()['error'] == 'RunnerUnavailable' and a.header('retry-after'), a.raw)
    a = h.get('/ready')
    check(a.status == 503 and a.json()['ready'] is False and a.json()['reasons'], a.raw)
    db = h.db()
    same(db.execute('SELECT count(*) FROM job').fetchone()[0], 0)
    h.beat(db)
    a = h.get('/ready')
    check(a.status == 200 and a.json()['ready'] is True, a.raw)
    h.beat(db, draining=1)
    until(lambda: h.get('/xrpc/dev.at-run.describeRunner').json()['accepting'] is False, 'draining is seen', 5)
    a = h.get(URL)
    check(a.status == 503 and a.json()['error'] == 'RunnerDraining', a.raw)
    db.execute('DELETE FROM run')
    a = h.get('/xrpc/dev.at-run.describeRunner')
    card = a.json()
    check(a.status == 200 and card['limits']['timeoutMs'] == 2000 and 'runtimes' in card, a.raw)
    db.close()


def limits(h):
    many = {'X-%d' % i: 'v' for i in range(300)}
    a = h.get('/health', many)
    check(a.status == 431 and 'headers' in a.json()['message'], a.raw)
    a = h.get('/health', {'X-Long': 'v' * 70000})
    check(a.status == 431 and 'limits.header = 64K' in a.json()['message'], a.raw)
    a = h.get('/health', **{'P%d' % i: 'x' for i in range(600)})
    same(a.status, 431)
    a = h.get('/health', X_HUGE='y' * 400000)
    same(a.status, 431)


# ---- misbehaving peers -----------------------------------------------------------------------------------------

def well(h):
    same(h.get('/health').status, 200, 'health after that')


def garbage(h):
    for data in (b'GET / HTTP/1.1\r\n\r\n', b'\0' * 100, b'\x01' * 8, os.urandom(4096), fcgi.record(fcgi.BEGIN, b''),
                 fcgi.record(fcgi.BEGIN, struct.pack('!HB5x', 1, 0), version=9),
                 fcgi.record(fcgi.PARAMS, fcgi.pairs({'A': 'b'})),
                 fcgi.record(fcgi.BEGIN, struct.pack('!HB5x', 1, 0)) + fcgi.record(fcgi.PARAMS, b'\x84\0\0\0\x84\0\0\0'),
                 fcgi.record(fcgi.BEGIN, struct.pack('!HB5x', 1, 0)) + fcgi.record(fcgi.STDIN, b'x')):
        with fcgi.Connection(h.sock) as c:
            with contextlib.suppress(OSError):
                c.send(data)
                c.half_close()
            check(c.answer().status == 0, data[:20])
    well(h)


def odd_records(h):
    body = os.urandom(200000)
    for piece, padding in ((65535, 255), (65535, 0), (1000, 7), (8184, 8)):
        with fcgi.Connection(h.sock) as c:
            c.begin()
            c.params(fcgi.environment('POST', URL, {'X-Big': 'a' * 30000}, body), piece=piece, padding=padding)
            c.stdin(body, piece=piece, padding=padding)
            c.stdin(b'')
            a = c.answer()
            check(a.status == 200 and a.body == body and a.ended, piece, padding, a.raw[:300])


def one_byte_records(h):
    with fcgi.Connection(h.sock) as c:
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'hello'), piece=1)
        c.stdin(b'hello', piece=1)
        c.stdin(b'')
        same(c.answer().body, b'hello')


def duplicate_ids(h):
    with fcgi.Connection(h.sock) as c:
        c.begin(rid=1)
        c.begin(rid=2)  # multiplexing: refused by libfcgi, and the first goes on
        c.params(fcgi.environment('GET', '/health'))
        c.stdin(b'')
        kind, rid, content = c.next_record()
        check(kind == fcgi.END and rid == 2 and content[4] == 1, kind, rid, content)
        same(c.answer().status, 200)
    with fcgi.Connection(h.sock) as c:
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'x' * 10))
        c.begin()
        c.stdin(b'x' * 10)
        c.stdin(b'')
        check(c.answer().status in (0, 400), 'a second beginning of the same request')
    well(h)


def length_lies(h):
    for length, body, status in (('5', b'hello', 200), ('6', b'hello', 400), ('4', b'hello', 400), ('', b'hello', 200),
                                 ('-1', b'hello', 200), (None, b'hello', 200), ('0', b'', 200), ('9999999', b'', 413),
                                 ('99999999999999999999', b'hello', 200), ('5x', b'hello', 200)):
        with fcgi.Connection(h.sock) as c:
            c.begin()
            c.params(fcgi.environment('POST', URL, CONTENT_LENGTH=length))
            c.stdin(body)
            if body:
                c.stdin(b'')
            a = c.answer()
            same(a.status, status, 'CONTENT_LENGTH %r' % length)
            if status == 200 and body:
                same(a.body, b'hello')
            if status == 413:
                check('limits.request = 1M' in a.json()['message'], a.raw)
    a = h.post(URL, b'x' * (1 << 20) + b'y', CONTENT_LENGTH=None)
    check(a.status == 413 and a.json()['error'] == 'PayloadTooLarge', a.raw[:300])
    same(h.post(URL, b'x' * (1 << 20)).status, 200)


def slow_body(h):
    began = time.monotonic()
    with fcgi.Connection(h.sock) as c:
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'x' * 100))
        c.stdin(b'x' * 10)
        a = c.answer()
        check(a.status == 408 and 'web.body_timeout = 1s' in a.json()['message'], a.raw)
    with fcgi.Connection(h.sock) as c:  # a drip never stays silent for the whole second, and is cut all the same
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'x' * 1000))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40):
                c.stdin(b'x')
                time.sleep(0.1)
        a = c.answer()
        same(a.status, 408)
    check(time.monotonic() - began < 9, 'took too long')
    with fcgi.Connection(h.sock) as c:  # never says what it wants
        same(c.answer().status, 0)
    well(h)


def cut_body(h):
    for _ in range(5):
        with fcgi.Connection(h.sock) as c:
            c.begin()
            c.params(fcgi.environment('POST', URL, body=b'x' * 1000))
            c.stdin(b'x' * 10)
    with fcgi.Connection(h.sock) as c:  # the same, but it listens
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'x' * 1000))
        c.stdin(b'x' * 10)
        c.half_close()
        same(c.answer().status, 400)
    with fcgi.Connection(h.sock) as c:
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'x' * 1000))
        c.stdin(b'x' * 10)
        c.abort()
        same(c.answer().status, 400)
    well(h)


def half_close(h):
    with fcgi.Connection(h.sock) as c:
        c.begin()
        c.params(fcgi.environment('POST', URL, body=b'hello'))
        c.stdin(b'hello')
        c.stdin(b'')
        c.half_close()
        same(c.answer().body, b'hello')


def kept_connection(h):
    with fcgi.Connection(h.sock) as c:
        for i in range(3):
            body = b'%d' % i * (i * 1000)
            c.begin(keep=True, rid=i + 1)
            c.params(fcgi.environment('POST', URL, body=body), rid=i + 1)
            c.stdin(body, rid=i + 1)
            if body:
                c.stdin(b'', rid=i + 1)
            a = c.answer()
            check(a.ended and a.body == body, i, a.raw[:200])


def other_roles(h):
    with fcgi.Connection(h.sock) as c:
        c.begin(role=fcgi.AUTHORIZER)
        c.params(fcgi.environment('GET', URL))
        c.stdin(b'')
        same(c.answer().status, 0)
    well(h)


def no_place_for_params_to_override(h):
    a = h.get('/health', AT_RUND_HOME='/nowhere', AT_RUND_DEV='1')
    same(a.status, 200)
    same(h.get('/bundle/local/n/latest/e', AT_RUND_DEV='1').status, 400)


# ---- with a workshop -------------------------------------------------------------------------------------------

def what_arrives(h):
    body = bytes(range(256)) * 10
    a = h.post(URL + '/more/p%20a?x=%2F..&y', body, {'X-Thing': 'a"b', 'Proxy': 'evil', 'Cookie': 's=1',
               'Connection': 'close', 'Accept': '*/*'}, CONTENT_TYPE='application/octet-stream')
    f = facts(a)
    same(a.body, body)
    same(f['method'], 'POST')
    same(f['path'], '/more/p a')
    same(f['query'], 'x=%2F..&y')
    same(f['url'], 'http://runner.test' + URL + '/more/p%20a?x=%2F..&y')
    got = dict(map(tuple, f['headers']))
    same(got, {'host': 'runner.test', 'x-thing': 'a"b', 'accept': '*/*', 'content-type': 'application/octet-stream',
               'content-length': '2560'})
    check(a.header('at-run-job') and a.header('at-run-bundle') == 'bafycid' and a.header('at-run-instance') == 'warm', a.raw)
    check('queue;dur=' in a.header('server-timing') and 'run;dur=' in a.header('server-timing'), a.raw)
    check(a.header('content-security-policy') == 'sandbox allow-scripts allow-forms allow-popups', a.raw)
    same(a.header('x-content-type-options'), 'nosniff')
    f = facts(h.get(URL, HTTP_HOST='evil/../x', REQUEST_SCHEME='https'))
    same(f['url'], 'https://localhost' + URL)
    same(facts(h.get('/bundle/ALICE.Example.com/hello/1.2.0/list'))['path'], '')


def xrpc_invoke(h):
    q = '?author=%s&bundle=hello&endpoint=list&a=1&path=%%2Fmore%%20x&b=%%2F' % AUTHOR.replace(':', '%3A')
    f = facts(h.post('/xrpc/dev.at-run.invoke' + q, b'hi'))
    same((f['method'], f['path'], f['query'], f['bytes']), ('POST', '/more x', 'a=1&b=%2F', 2))
    same(f['url'], 'http://runner.test/bundle/%s/hello/latest/list/more%%20x?a=1&b=%%2F' % AUTHOR)
    for q, error in (('?bundle=x&endpoint=y', 'InvalidRequest'), ('?author=did:x&bundle=h&endpoint=y', 'InvalidDid'),
                     ('?author=%s&bundle=h&endpoint=y&path=x' % AUTHOR, 'InvalidPath'),
                     ('?author=%s&bundle=h&endpoint=y&path=/../x' % AUTHOR, 'InvalidPath'),
                     ('?author=%s&bundle=h&endpoint=y%%00z' % AUTHOR, 'InvalidEndpoint')):
        a = h.get('/xrpc/dev.at-run.invoke' + q)
        check(a.status == 400 and a.json()['error'] == error, q, a.raw[:200])


def answers(home):
    table = {
        '/204': (204, [('x-a', 'b')], b'not sent'), '/302': (302, [('location', '/x')], b''),
        '/200l': (200, [('location', '/server-status'), ('status', '500 x'), ('x-sendfile', '/etc/passwd'),
                        ('x-accel-redirect', '/x'), ('set-cookie', 'a=b'), ('connection', 'close'),
                        ('content-length', '999'), ('bad', 'a\r\nb: c'), ('ok', 'yes')], b'body'),
        '/418': (418, [], b'teapot'), '/999': (999, [], b''),
        '/own': (200, [('content-security-policy', "default-src 'none'")], b'x'),
    }

    def fn(w, job):
        w.answer(job, *table[w.request(job)['path']])
    with Workshop(home, fn):
        a = home.get(URL + '/204')
        check(a.status == 204 and a.body == b'' and a.header('content-length') is None and a.header('x-a') == 'b', a.raw)
        a = home.get(URL + '/302')
        check(a.status == 302 and a.header('location') == '/x', a.raw)
        a = home.get(URL + '/200l')
        names = {n for n, _ in a.headers}
        check(not names & {'location', 'status', 'x-sendfile', 'x-accel-redirect', 'set-cookie', 'connection', 'bad', 'b'},
              names)
        check(a.status == 200 and a.header('ok') == 'yes' and a.header('content-length') == '4' and a.body == b'body', a.raw)
        a = home.get(URL + '/418')
        check(a.status == 418 and a.body == b'teapot', a.raw)
        a = home.get(URL + '/999')
        check(a.status == 500 and a.json()['error'] == 'HandlerFailed', a.raw)
        a = home.get(URL + '/own')
        same([v for n, v in a.headers if n == 'content-security-policy'],
             ["default-src 'none'", 'sandbox allow-scripts allow-forms allow-popups'])
        a = fcgi.request(home.sock, 'HEAD', URL + '/418')
        check(a.status == 418 and a.body == b'' and a.header('content-length') == '6', a.raw)


def outcomes(home):
    rows = {
        '/a': (('error', None, 'TypeError', 'x is no function (main.js:3:9)'), 500, 'HandlerFailed'),
        '/b': (('timeout', None, None, 'limits.timeout = 2s'), 504, 'JobTimeout'),
        '/c': (('memory', None, None, None), 507, 'MemoryLimitExceeded'),
        '/d': (('output', None, None, None), 507, 'OutputLimitExceeded'),
        '/e': (('killed', None, None, None), 507, 'LimitExceeded'),
        '/f': (('lost', None, None, None), 502, 'RunnerFailed'),
        '/g': (('refused', 'notfound', 'BundleNotFound', 'no such bundle'), 404, 'BundleNotFound'),
        '/h': (('refused', 'denied', None, 'not allowed'), 403, 'Forbidden'),
        '/i': (('refused', 'remote', 'UpstreamFailure', 'the PDS lies'), 502, 'UpstreamFailure'),
        '/j': (('refused', 'internal', None, 'cannot open /home/op/secret'), 500, 'InternalServerError'),
        '/k': (('expired', None, None, None), 504, 'JobExpired'),
        '/l': (('cancelled', None, None, None), 409, 'JobCancelled'),
    }

    def fn(w, job):
        w.done(job, *rows[w.request(job)['path']][0])
    with Workshop(home, fn):
        for path, (row, status, error) in rows.items():
            a = home.get(URL + path)
            check(a.status == status and a.json()['error'] == error and a.header('at-run-job'), path, a.raw)
        check('main.js:3:9' in home.get(URL + '/a').json()['message'])
        check('secret' not in home.get(URL + '/j').raw.decode(), 'a path of this host went out')


def crowd(h):
    """Each gets its own answer, and the batches hold more than one row."""
    results = [None] * 48

    def one(i):
        body = b'%d' % i
        results[i] = h.post(URL, body).body == body
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(results))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(all(results), results)


def asynchronous(home):
    released = threading.Event()

    def fn(w, job):
        path = w.request(job)['path']
        if path == '/bad':
            w.refuse(job, 'notfound', 'BundleNotFound', 'none')
        elif path == '/now':
            w.answer(job, 200, [('x-a', 'b')], b'now')
        elif path == '/never':
            pass
        else:
            released.wait(5)
            w.admit(job)
            w.home.ring(job['bell'])
    prefer = {'Prefer': 'respond-async'}
    with Workshop(home, fn) as w:
        got = []
        t = threading.Thread(target=lambda: got.append(home.post(URL, b'x', prefer)))
        t.start()
        until(lambda: w.db.execute("SELECT 1 FROM job WHERE mode = 'async'").fetchone(), 'the row')
        check(not got, '202 before admission')
        released.set()
        t.join()
        a = got[0]
        check(a.status == 202 and a.header('preference-applied') == 'respond-async', a.raw)
        body = a.json()
        same(a.header('location'), '/job/' + body['id'])
        same(body['state'], 'admitted')
        a = home.get(body['location'])
        check(a.status == 200 and a.json()['state'] == 'admitted' and a.header('cache-control') == 'no-store', a.raw)
        check(b'<!doctype html>' in home.get(body['location'], {'Accept': 'text/html'}).body)
        a = home.get(body['location'] + '/result')
        check(a.status == 409 and a.json()['error'] == 'JobNotDone', a.raw)
        began = time.monotonic()
        a = home.get('/xrpc/dev.at-run.getJob?id=%s&wait=1' % body['id'])
        check(a.json()['state'] == 'admitted' and 0.9 < time.monotonic() - began < 4, a.raw)
        same(home.get('/xrpc/dev.at-run.getJob?id=%s&wait=26' % body['id']).status, 400)
        same(home.get('/job/' + body['id'][:-1] + ('1' if body['id'][-1] == '0' else '0')).status, 404)
        a = home.post('/xrpc/dev.at-run.cancelJob', json.dumps({'id': body['id']}).encode())
        check(a.status == 200 and a.json()['state'] == 'done' and a.json()['outcome'] == 'cancelled', a.raw)
        row = w.db.execute('SELECT * FROM job WHERE id = ?', (int(body['id'].split('-')[0]),)).fetchone()
        same((row['state'], row['outcome']), ('done', 'cancelled'))
        a = home.get(body['location'] + '/result')
        check(a.status == 409 and a.json()['error'] == 'JobCancelled', a.raw)
        a = home.post('/xrpc/dev.at-run.cancelJob', b'{"id":1}')
        same(a.status, 400)
        same(home.post('/xrpc/dev.at-run.cancelJob', b'[').status, 400)

        a = home.post(URL + '/bad', b'x', prefer)
        check(a.status == 404 and a.json()['error'] == 'BundleNotFound', a.raw)
        a = home.post(URL + '/now', b'x', prefer)
        same(a.status, 202)
        a = home.get(a.header('location') + '/result')
        check(a.status == 200 and a.body == b'now' and a.header('x-a') == 'b', a.raw)
        a = home.post(URL + '/now', b'x', {'Prefer': 'respond-async, wait=5'})
        check(a.status == 200 and a.body == b'now', a.raw)
        a = home.post(URL + '/never', b'x', prefer)
        check(a.status == 504 and a.json()['error'] == 'JobTimeout', a.raw)
        same(w.db.execute('SELECT outcome FROM job ORDER BY id DESC LIMIT 1').fetchone()[0], 'cancelled')


def gone(home):
    """A caller that leaves takes its job along."""
    def fn(w, job):
        w.begin(job)
    with Workshop(home, fn) as w:
        for leave in ('close', 'abort'):
            with fcgi.Connection(home.sock) as c:
                c.begin()
                c.params(fcgi.environment('GET', URL))
                c.stdin(b'')
                job = until(lambda: w.db.execute("SELECT * FROM job WHERE state = 'running' AND cancel = 0").fetchone(),
                            'the job')
                if leave == 'abort':
                    c.abort()
                    until(lambda: w.row(job)['cancel'] == 1, 'cancel after ' + leave, 1.5)
            until(lambda: w.row(job)['cancel'] == 1, 'cancel after ' + leave, 1.5)
            check(w.db.execute("SELECT 1 FROM orders WHERE verb = 'cancel' AND args_json LIKE '%%%d%%'" % job['id'])
                  .fetchone(), 'no order')
            w.done(job, 'cancelled')


def streams(home):
    go, go2 = threading.Event(), threading.Event()

    def fn(w, job):
        path = w.request(job)['path']
        w.begin(job)
        w.result(job, 200, [('content-type', 'text/plain'), ('content-length', '5')], streamed=1)
        w.db.execute('INSERT INTO chunk VALUES (?, 0, ?)', (job['id'], b'first '))
        w.home.ring(job['bell'])
        if path == '/gone':
            return
        go.wait(5)
        for i in range(1, 20):
            w.db.execute('INSERT INTO chunk VALUES (?, ?, ?)', (job['id'], i, b'%05d' % i * 4000))
        w.home.ring(job['bell'])
        go2.wait(5)
        w.done(job, *(('error', None, 'Error', 'broke') if path == '/bad' else ()))
    whole = b'first ' + b''.join(b'%05d' % i * 4000 for i in range(1, 20))
    with Workshop(home, fn) as w:
        with fcgi.Connection(home.sock) as c:
            c.begin()
            c.params(fcgi.environment('GET', URL))
            c.stdin(b'')
            raw = b''
            while b'first ' not in raw:
                raw += c.next_record()[2]
            check(b'X-Accel-Buffering: no' in raw and b'Content-Length' not in raw, raw)
            go.set()
            while len(raw.partition(b'\r\n\r\n')[2]) < len(whole):
                raw += c.next_record()[2]
            go2.set()
            a = c.answer()
            check(a.ended and (raw + a.raw).partition(b'\r\n\r\n')[2] == whole, len(raw))
        job = w.db.execute('SELECT * FROM job ORDER BY id DESC LIMIT 1').fetchone()
        a = home.get('/job/%d-%s/result' % (job['id'], job['nonce']))
        # Its caller has taken it, and what was taken makes room.
        check(a.status == 404 and a.json()['error'] == 'ResultGone', a.raw)
        a = home.get(URL + '/bad')
        check(a.status == 200 and not a.ended and a.body == whole, 'a cut stream looks whole')
        with fcgi.Connection(home.sock) as c:
            c.begin()
            c.params(fcgi.environment('GET', URL + '/gone'))
            c.stdin(b'')
            c.next_record()
        job = w.db.execute('SELECT * FROM job ORDER BY id DESC LIMIT 1').fetchone()
        until(lambda: w.row(job)['cancel'] == 1, 'cancel of the stream', 3)
        w.done(job, 'cancelled')


def late(home):
    """limits.timeout = 2s: what a scheduler that has stopped in the middle leaves behind."""
    def fn(w, job):
        if w.request(job)['path'] == '/lease':
            w.begin(job, lease_ms=500)
    with Workshop(home, fn) as w:
        a = home.get(URL + '/lease')
        check(a.status == 502 and a.json()['error'] == 'RunnerFailed', a.raw)
        row = w.db.execute('SELECT * FROM job ORDER BY id DESC LIMIT 1').fetchone()
        same((row['state'], row['outcome']), ('done', 'lost'))
        a = home.get(URL + '/queued')
        check(a.status == 504 and 'limits.timeout = 2s' in a.json()['message'], a.raw)
        # It may run while its row says queued: only a scheduler can say what became of it.
        row = w.db.execute('SELECT * FROM job ORDER BY id DESC LIMIT 1').fetchone()
        same((row['state'], row['cancel']), ('queued', 1))


def back_pressure():
    home = Home('[limits]\ntimeout = 20s\nqueue = 6\nper_author = 4\nper_bundle = 2\n[web]\nthreads = 16\n').start()
    with Workshop(home, lambda w, job: w.admit(job) or w.home.ring(job['bell'])) as w:
        def accepted(uri):
            a = home.post(uri, b'', {'Prefer': 'respond-async'})
            return a.status, a.json().get('error'), a
        base = '/bundle/%s/%s/latest/e'
        same([accepted(base % (AUTHOR, 'one'))[0] for _ in range(2)], [202, 202])
        status, error, a = accepted(base % (AUTHOR, 'one'))
        check((status, error) == (429, 'RateLimitExceeded') and 'limits.per_bundle = 2' in a.json()['message'] and
              a.header('retry-after'), a.raw)
        same([accepted(base % (AUTHOR, 'two'))[0] for _ in range(2)], [202, 202])
        status, error, a = accepted(base % (AUTHOR, 'three'))
        check(status == 429 and 'limits.per_author = 4' in a.json()['message'], a.raw)
        same([accepted(base % ('a.example.com', 'x'))[0] for _ in range(2)], [202, 202])
        status, error, a = accepted(base % ('b.example.com', 'x'))
        check((status, error) == (503, 'QueueFull') and 'limits.queue = 6' in a.json()['message'], a.raw)
        same(w.db.execute('SELECT count(*) FROM job').fetchone()[0], 6)
        for job in w.db.execute('SELECT * FROM job').fetchall():
            w.done(job, 'cancelled')
        same(accepted(base % (AUTHOR, 'one'))[0], 202)  # seen at once
    home.door.stop()


# ---- the process -----------------------------------------------------------------------------------------------

def ends_well():
    home = Home('[limits]\ntimeout = 10s\n').start()
    same(stat.S_IMODE(os.stat(home.sock).st_mode), 0o660)
    got = []

    def fn(w, job):
        w.begin(job)
    with Workshop(home, fn) as w:
        t = threading.Thread(target=lambda: got.append(home.get(URL)))
        t.start()
        job = until(lambda: w.db.execute("SELECT * FROM job WHERE state = 'running'").fetchone(), 'the job')
        os.kill(home.door.pid, signal.SIGTERM)
        def closed():
            with contextlib.suppress(OSError):
                with open(home.door.log) as f:
                    return 'ending' in f.read()
        until(closed, 'the signal is heard')
        check(home.door.alive(), 'ended with a request open')
        w.result(job, 200, [], b'still there')
        w.done(job)
        t.join()
        check(got[0].body == b'still there', got[0].raw)
    until(lambda: not home.door.alive(), 'the end', 5)
    same(home.door.p.returncode, 0)
    same([f for f in os.listdir(home.run) if f.endswith('.bell')], [], 'bells left')
    check(not os.path.exists(home.sock), 'socket left')
    home.door.stop()


def killed_and_swept():
    home = Home().start()
    with Workshop(home, echo):
        same(home.post(URL, b'x').status, 200)
    home.door.stop(signal.SIGKILL)
    check([f for f in os.listdir(home.run) if f.endswith('.bell')], 'no bell to sweep')
    home.start()
    until(lambda: not [f for f in os.listdir(home.run) if f.startswith('f') and f.endswith('.bell')], 'the sweep')
    home.door.stop()


def inherited_sockets():
    for how in ('descriptor 0', 'LISTEN_FDS'):
        home = Home()
        s = socket.socket(socket.AF_UNIX)
        s.bind(home.sock)
        s.listen(64)
        if how == 'descriptor 0':
            home.start('--dev', stdin=s)
        else:
            out = open(os.path.join(home.dir, 'fcgi.log'), 'ab')
            sh = 'exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" --config "$1"'
            home.door = Process(['/bin/sh', '-c', sh, PROGRAM, home.config], out.name, stdin=s, env=dict(os.environ))
            home.door.ready(lambda: home.get('/health').status == 200, how)
        same(home.get('/health').status, 200, how)
        same(home.door.stop(), 0, how)
        s.close()


def plain_cgi():
    home = Home()
    with Workshop(home, echo):
        def run(env, body=b''):
            r = subprocess.run([PROGRAM, '--config', home.config], input=body, capture_output=True, timeout=20,
                               env={'PATH': os.environ['PATH'], **env})
            return fcgi.Answer(r.stdout, r.returncode == 0)
        a = run(fcgi.environment('GET', '/health'))
        check(a.status == 200 and a.ended, a.raw)
        body = os.urandom(300000)
        a = run(fcgi.environment('POST', URL + '?q=1', {'X-A': 'b'}, body), body)
        check(a.body == body and facts(a)['query'] == 'q=1' and ['x-a', 'b'] in facts(a)['headers'], a.raw[:300])
        a = run(fcgi.environment('POST', URL, {'Transfer-Encoding': 'chunked'}), b'no length')
        same(a.body, b'no length')
        a = run(fcgi.environment('POST', URL, body=b'12345'), b'123')
        same(a.status, 400)
        a = run(fcgi.environment('GET', '/a/../b'))
        same(a.status, 400)
        # Apache's mod_cgid makes standard input and output one socket; unread bytes would reset it, and the answer be lost.
        for body in (b'x', bytes(100000), bytes(3 << 20)):
            ours, its = socket.socketpair()
            p = subprocess.Popen([PROGRAM, '--config', home.config], stdin=its, stdout=its, stderr=subprocess.DEVNULL,
                                 env={'PATH': os.environ['PATH'], **fcgi.environment('POST', '/nothing', {}, body)})
            its.close()
            with ours:
                ours.sendall(body)
                ours.shutdown(socket.SHUT_WR)
                same(p.wait(20), 0)
                a = fcgi.Answer(b''.join(iter(lambda: ours.recv(65536), b'')), True)
            same(a.status, 404, a.raw)


def refuses_to_start():
    home = Home('[web]\nthreads = 500\n')
    r = subprocess.run([PROGRAM, '--config', home.config, '--listen', home.sock], capture_output=True, timeout=20)
    check(r.returncode == 71 and b'web.threads = 500' in r.stderr, r)
    home = Home()
    r = subprocess.run([PROGRAM, '--config', home.config], capture_output=True, timeout=20, stdin=subprocess.DEVNULL,
                       env={'PATH': os.environ['PATH']})
    check(r.returncode == 64 and b'--listen' in r.stderr, r)
    r = subprocess.run([PROGRAM, '--config', os.path.join(home.dir, 'none.ini')], capture_output=True, timeout=20)
    check(r.returncode == 78, r)
    home.start()
    r = subprocess.run([PROGRAM, '--config', home.config, '--listen', home.sock], capture_output=True, timeout=20)
    check(r.returncode == 64 and b'already' in r.stderr, r)
    home.door.stop()


def without_a_ledger():
    home = Home()
    os.unlink(home.db_path)
    for end in ('-wal', '-shm'):
        with contextlib.suppress(OSError):
            os.unlink(home.db_path + end)
    home.start()
    a = home.get(URL)
    check(a.status == 503 and a.json()['error'] == 'RunnerUnavailable' and home.dir not in a.raw.decode(), a.raw)
    same(home.get('/ready').status, 503)
    home.door.stop()


def main():
    t = Cases()
    home = Home('[limits]\ntimeout = 2s\nrequest = 1M\n[web]\nthreads = 64\nbody_timeout = 1s\n').start()
    t.run('own routes answer, and errors are JSON with the names of their statuses', own_routes, home)
    t.run('without a scheduler calls are 503 before anything is stored', no_scheduler, home)
    t.run('too many and too large headers are 431', limits, home)
    t.run('parameters override no setting', no_place_for_params_to_override, home)
    t.run('garbage ends its connection only', garbage, home)
    with Workshop(home, echo):
        t.run('records of 65535 bytes and padding arrive whole', odd_records, home)
        t.run('records of one byte arrive whole', one_byte_records, home)
        t.run('a second begin is refused', duplicate_ids, home)
        t.run('content lengths are hints, and lies are 400', length_lies, home)
        t.run('slow bodies are 408', slow_body, home)
        t.run('cut bodies are 400', cut_body, home)
        t.run('half a close still gets its answer', half_close, home)
        t.run('a kept connection serves several requests', kept_connection, home)
        t.run('other roles than responder get nothing', other_roles, home)
        t.run('the handler sees the request as it was sent', what_arrives, home)
        t.run('dev.at-run.invoke is the same call', xrpc_invoke, home)
        t.run('48 callers at once get their own answers', crowd, home)
    t.run('answers go out filtered', answers, home)
    t.run('each outcome has its own name', outcomes, home)
    t.run('202 comes after admission and not before', asynchronous, home)
    t.run('a caller that leaves takes its job along', gone, home)
    t.run('streams come as they are written, and a cut one shows', streams, home)
    t.run('a scheduler that stopped is noticed at the deadline', late, home)
    well(home)
    same(home.door.stop(), 0)
    t.run('full queues are 429 and 503 before anything is stored', back_pressure)
    t.run('SIGTERM lets requests finish and leaves nothing', ends_well)
    t.run('bells of a killed process are swept', killed_and_swept)
    t.run('sockets of parents are taken', inherited_sockets)
    t.run('plain CGI is the same', plain_cgi)
    t.run('what cannot work is refused at the start', refuses_to_start)
    t.run('without a ledger it says 503 and no path', without_a_ledger)
    t.end()


if __name__ == '__main__':
    main()
