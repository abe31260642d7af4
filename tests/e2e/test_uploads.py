"""Request bodies that reach the handler while they come, through the whole product behind four web servers.

Nothing is timed: who sends waits for what the handler says it has read, by files or by its answer.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
import fcgi_client as fcgi  # noqa: E402

PYTHON = '''
import hashlib, json, os, time
DIR = %(dir)r

def say(name, text='1'):
    with open(os.path.join(DIR, name + '.new'), 'w') as f:
        f.write(text)
    os.rename(os.path.join(DIR, name + '.new'), os.path.join(DIR, name))

def wait(name):
    while not os.path.exists(os.path.join(DIR, name)):
        time.sleep(0.005)

def take(request, ctx):
    """Says after each piece how much it has."""
    key, n, sha = request.query.get('key', 'none'), 0, hashlib.sha256()
    try:
        for piece in request.stream:
            n += len(piece)
            sha.update(piece)
            say(key, str(n))
    finally:
        say(key + '-end', str(n))
    return {'n': n, 'sha': sha.hexdigest(), 'length': request.headers.get('content-length')}

def echo(request, ctx):
    def flow():
        for piece in request.stream:
            yield piece
    return 200, {'content-type': 'text/event-stream'}, flow()

def stands(request, ctx):
    """Reads nothing until it may."""
    wait(request.query['key'] + '-go')
    return take(request, ctx)

def early(request, ctx):
    return 'no need to read ' + 'x' * int(request.query.get('n', '0'))

def whole(request, ctx):
    body = request.body
    return {'n': len(body), 'sha': hashlib.sha256(body).hexdigest()}

once = again = job = whole
hasty = take
'''


def wsgi():
    return '''
import hashlib, json
def app(environ, start_response):
    n, sha, at = 0, hashlib.sha256(), environ['wsgi.input']
    while piece := at.read(65536):
        n += len(piece)
        sha.update(piece)
    start_response('200 OK', [('content-type', 'application/json')])
    return [json.dumps({'n': n, 'sha': sha.hexdigest()}).encode()]
'''


ASGI = '''
import hashlib, json
async def app(scope, receive, send):
    n, sha = 0, hashlib.sha256()
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/event-stream')]})
    while True:
        m = await receive()
        n += len(m.get('body', b''))
        sha.update(m.get('body', b''))
        await send({'type': 'http.response.body', 'body': b'%%d\\n' %% n, 'more_body': True})
        if not m.get('more_body'):
            break
    await send({'type': 'http.response.body', 'body': json.dumps({'n': n, 'sha': sha.hexdigest()}).encode()})
'''.replace('%%', '%')

JS = '''
const query = (request) => new URL(request.url).searchParams;
const hex = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((b) => b.toString(16).padStart(2, '0')).join('');

export async function take(request) {
  let n = 0, sum = 0;
  for await (const piece of request.body) {
    n += piece.length;
    for (let i = 0; i < piece.length; i += 4096)
      sum = (sum * 31 + piece[i]) % 1000003;
  }
  return { n, length: request.headers.get('content-length') };
}
export function echo(request) {
  return new Response(request.body, { headers: { 'content-type': 'text/event-stream' } });
}
export async function whole(request) {
  const body = await request.arrayBuffer();
  return { n: body.byteLength, sha: await hex(body) };
}
'''

t = Cases()
where = scratch()
signs = os.path.join(where, 'signs')
os.makedirs(signs)
os.chmod(signs, 0o777)
bundles = os.path.join(where, 'bundles')
plain = {e: {} for e in 'take echo stands early whole'.split()}
for name, file, text, runtime, ends in (
        ('py', 'main.py', PYTHON % {'dir': signs}, 'application/python',
         plain | {'hasty': {'timeoutMs': 1500}, 'once': {'idempotent': True}, 'job': {'task': True}, 'again': {'idempotent': True, 'attempts': 3}}),
        ('less', 'main.py', PYTHON % {'dir': signs}, 'application/python', {'take': {}}),
        ('wsgi', 'main.py', wsgi(), 'application/python', {'app': {}}),
        ('asgi', 'main.py', ASGI, 'application/python', {'app': {}}),
        ('node', 'main.mjs', JS, 'application/javascript+node', {e: {} for e in ('take', 'echo', 'whole')}),
        ('deno', 'main.mjs', JS, 'application/javascript+deno', {e: {} for e in ('take', 'echo', 'whole')})):
    os.makedirs(os.path.join(bundles, name))
    with open(os.path.join(bundles, name, file), 'w') as f:
        f.write(text)
    with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
        json.dump({'runtime': runtime, 'entry': file, 'limits': {'timeoutMs': 60000} | ({'requestBytes': 1536 << 10} if name == 'less' else {}), 'endpoints': ends,
                   'permissions': {'write': [signs], 'read': [signs]}}, f)
runner = Runner(where, user='www-data', bundles=bundles,
                sections={'limits': {'timeout': '60s', 'request': '80M', 'response': '1G'}, 'pool': {'max': '8'},
                          'web': {'stream_requests': 'yes'}})
runner.conf_top['isolation'] = 'none'  # handlers and this program speak by files of the host
servers = {}
# Of these a body of unknown length gets 411; what begins to answer is not cut off from its request.
KNOWN = ('lighttpd',)
DUPLEX = ('lighttpd',)
WAL_PAGES = 8000
number = 0
MIB = 1 << 20


def key():
    global number
    number += 1
    return 'k%d' % number


def sign(name, text='1'):
    with open(os.path.join(signs, name), 'w') as f:
        f.write(text)


def seen(name):
    try:
        with open(os.path.join(signs, name)) as f:
            return f.read() or '0'
    except FileNotFoundError:
        return None


def target(bundle, endpoint, **query):
    return '/bundle/local/%s/latest/%s?%s' % (bundle, endpoint, urllib.parse.urlencode(query))


def rows(k):
    return runner.sql("SELECT j.id, j.state, j.outcome, j.error_name, j.error FROM job j JOIN request r ON r.job = j.id "
                      "WHERE r.query LIKE ?", '%%key=%s%%' % k)


def kept():
    return runner.sql('SELECT (SELECT count(*) FROM upload), (SELECT count(*) FROM piece)')[0]


class Sender:
    """A POST whose body goes out by hand; length None: chunked."""

    def __init__(self, base, path, length=None, headers=()):
        host, port, prefix = split(base)
        self.chunked = length is None
        self.s = socket.create_connection((host, port), timeout=60 * SLOW)
        lines = ['POST %s HTTP/1.1' % (prefix.rstrip('/') + path), 'Host: %s:%d' % (host, port), 'Content-Type: application/octet-stream',
                 'Connection: close'] + ['%s: %s' % h for h in headers]
        lines.append('Transfer-Encoding: chunked' if self.chunked else 'Content-Length: %d' % length)
        self.s.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
        self.f = self.s.makefile('rb')
        self.response = None

    def send(self, data):
        self.s.sendall(b'%x\r\n%s\r\n' % (len(data), data) if self.chunked else data)

    def end(self):
        if self.chunked:
            self.s.sendall(b'0\r\n\r\n')

    def head(self):
        """Status, once the answer has begun."""
        if self.response is None:
            self.response = http.client.HTTPResponse(self.s)
            self.response.begin()
        return self.response.status

    def read(self, n):
        self.head()
        got = b''
        while len(got) < n:
            piece = self.response.read1(n - len(got))
            check(piece, 'the answer ended after %d bytes of %d' % (len(got), n))
            got += piece
        return got

    def rest(self):
        self.head()
        return self.response.read()

    def leave(self):
        self.f.close()
        if self.response:
            self.response.close()
        self.s.close()


# ---- what streams ----

def start():
    runner.init().start()
    servers['serve'] = runner.url
    for name, fn in (('nginx', nginx), ('caddy', caddy), ('apache', apache), ('lighttpd', lighttpd)):
        try:
            servers[name] = fn(where, runner).url
        except Skipped as e:
            print('skip %s: %s' % (name, e), flush=True)


# What Caddy has of a body it passes on in blocks of this size.
BLOCK = 65536


def as_it_comes(server):
    """The handler has each piece before the next is sent."""
    k, n, sha = key(), 0, hashlib.sha256()
    piece = os.urandom(300000)
    s = Sender(servers[server], target('py', 'take', key=k), length=6 * len(piece) if server in KNOWN else None)
    for i in range(6):
        s.send(piece)
        sha.update(piece)
        n += len(piece)
        least = n - BLOCK if server == 'caddy' else n
        until(lambda: int(seen(k) or 0) >= least, 'piece %d reaches the handler' % i)
    s.end()
    same(s.head(), 200)
    a = json.loads(s.rest())
    same((a['n'], a['sha'], a['length']), (n, sha.hexdigest(), str(n) if server in KNOWN else None))
    s.leave()
    until(lambda: kept() == (0, 0), 'nothing of it is kept')


def duplex(server, bundle):
    """The answer to each piece has come before the next is sent."""
    s = Sender(servers[server], target(bundle, 'echo'), length=5 * MIB if server in KNOWN else None)
    for i in range(5):
        piece = os.urandom(MIB)
        s.send(piece)
        same(s.head(), 200)
        check(s.read(MIB) == piece, 'the echo of piece %d' % i)
    s.end()
    same(s.rest(), b'')


def begins_early(server, bundle):
    """Where the answer has to wait for the end of the request, a handler may begin it before all the same."""
    data = os.urandom(6 * MIB)
    s = Sender(servers[server], target(bundle, 'echo'), length=None)
    for at in range(0, len(data), MIB):
        s.send(data[at:at + MIB])
    s.end()
    same(s.head(), 200)
    check(s.rest() == data, 'the echo')


# ---- large, slow, cut, lying ----

def large(server, bundle, endpoint):
    """64 MiB, while neither door nor scheduler nor ledger holds more than some of it."""
    before = {p: rss(p) for p in daemons()}
    s = Sender(servers[server], target(bundle, endpoint, key=key()), length=64 * MIB if server in KNOWN else None)
    block, sha = os.urandom(MIB), hashlib.sha256()
    for _ in range(64):
        s.send(block)
        sha.update(block)
    s.end()
    same(s.head(), 200)
    text = s.rest().decode()
    a = json.loads(text[text.rindex('{'):])
    same(a['n'], 64 * MIB)
    same(a.get('sha', sha.hexdigest()), sha.hexdigest())
    for p, was in before.items():
        check(peak(p) - was < 16 * MIB, '%s grew from %d to %d' % (family(runner.p.pid)[p][0], was, peak(p)))
    size = os.path.getsize(runner.db) + os.path.getsize(runner.db + '-wal')
    check(size < 24 * MIB + 4096 * WAL_PAGES, 'the ledger has %d bytes' % size)


def daemons():
    return [p for p, words in family(runner.p.pid).items()
            if os.path.basename(words[0]) in ('at-rund.fcgi', 'at-rund-scheduler') and '--role' not in words]


def memory(pid, what):
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(r'%s:\s+(\d+)' % what, f.read()).group(1)) * 1024


def rss(pid):
    with open('/proc/%d/clear_refs' % pid, 'w') as f:
        f.write('5')  # the peak begins anew
    return memory(pid, 'VmRSS')


def peak(pid):
    return memory(pid, 'VmHWM')


def stands(server):
    """A handler that does not read stops its sender after a window and what sockets hold."""
    k = key()
    s = Sender(servers[server], target('py', 'stands', key=k), length=48 * MIB)
    s.s.settimeout(0.3)
    block, sent = bytes(MIB), 0
    try:
        while sent < 48 * MIB:
            sent += s.s.send(block)
    except socket.timeout:
        pass
    # lighttpd 1.4.69 now and then goes on, into its temporary files; that is its own affair.
    check(sent < 24 * MIB or server == 'lighttpd', 'it took %d bytes' % sent)
    pieces, most = runner.sql('SELECT count(*), coalesce(sum(length(data)), 0) FROM piece')[0]
    check(most <= 2 * MIB, 'the ledger holds %d bytes' % most)
    sign(k + '-go')
    s.s.settimeout(60 * SLOW)
    while sent < 48 * MIB:
        s.send(block[:min(MIB, 48 * MIB - sent)])
        sent += min(MIB, 48 * MIB - sent)
    same(s.head(), 200)
    same(json.loads(s.rest())['n'], 48 * MIB)


def leaves(server):
    """Whoever leaves in the middle of his request ends the job."""
    k = key()
    s = Sender(servers[server], target('py', 'take', key=k), length=20 * MIB)
    s.send(bytes(2 * MIB))
    until(lambda: int(seen(k) or 0) >= 2 * MIB - BLOCK, 'the handler has some of it')
    s.leave()
    until(lambda: rows(k)[0][1] == 'done', 'the job ends')
    same(rows(k)[0][2:4], ('cancelled', 'InvalidRequest'), rows(k))
    until(lambda: seen(k + '-end'), 'the handler is told')
    until(lambda: kept() == (0, 0), 'nothing of it is kept')


def lies(more):
    """A web server that sends less, or more, than it has announced."""
    k = key()
    with fcgi.Connection(runner.socket, 20 * SLOW) as c:
        c.begin()
        c.params(fcgi.environment('POST', target('py', 'take', key=k), CONTENT_LENGTH=str(2 * MIB)))
        c.stdin(bytes(2 * MIB + (100 if more else -100)))
        c.stdin(b'')
        a = c.answer()
    same((a.status, a.json()['error']), (400, 'InvalidRequest'), a.raw)
    check('Content-Length' in a.json()['message'], a.raw)
    until(lambda: rows(k)[0][1] == 'done', 'the job ends')
    same(rows(k)[0][2:4], ('cancelled', 'InvalidRequest'))
    check('Content-Length' in rows(k)[0][4], rows(k))


def records():
    """However the bytes are cut into records."""
    k, data = key(), os.urandom(MIB + 12345)
    with fcgi.Connection(runner.socket, 20 * SLOW) as c:
        c.begin()
        c.params(fcgi.environment('POST', target('py', 'take', key=k), HTTP_TRANSFER_ENCODING='chunked'))
        at = 0
        for size in (1, 7, 8, 9, 4095, 4096, 8184, 8192, 8193, 65535):
            c.stdin(data[at:at + size], padding=at % 8)
            at += size
            until(lambda: int(seen(k) or 0) == at, 'the handler has %d bytes' % at)
        wire = b''.join(fcgi.record(fcgi.STDIN, data[i:i + 65528], padding=i % 8) for i in range(at, len(data), 65528))
        wire += fcgi.record(fcgi.STDIN)
        for i in range(0, len(wire), 3001):
            c.send(wire[i:i + 3001])
        a = c.answer()
    same((a.status, a.json()['sha']), (200, hashlib.sha256(data).hexdigest()))


def too_large(server):
    """Of unknown length: the limit is met while it flows; announced: before anything runs."""
    k = key()
    s = Sender(servers[server], target('py', 'take', key=k), length=None)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(81):
            s.send(bytes(MIB))
        s.end()
    same(s.head(), 413)
    a = json.loads(s.rest())
    same(a['error'], 'PayloadTooLarge')
    check('limits.request = 80M' in a['message'], a)
    until(lambda: rows(k)[0][1] == 'done', 'the job ends')
    same(rows(k)[0][2:4], ('cancelled', 'PayloadTooLarge'))
    if server != 'nginx':
        return  # Apache and Caddy wait for the body before they say so
    k = key()
    a = call(servers[server] + target('py', 'take', key=k), 'POST', b'', [('Content-Length', str(81 * MIB))])
    same((a.status, rows(k)), (413, []), a)


def own_limit():
    a = call(runner.url + target('less', 'take'), 'POST', bytes(2 * MIB))
    same((a.status, a.error), (413, 'PayloadTooLarge'), a)
    check("limits.requestBytes = 1536K" in a.text, a)
    s = Sender(servers['apache'], target('less', 'take'), length=None)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(8):
            s.send(bytes(MIB))
        s.end()
    same(s.head(), 413)
    check("limits.requestBytes = 1536K" in s.rest().decode())


def deadline():
    """The time of a call runs while its body comes."""
    s = Sender(servers['nginx'], target('py', 'hasty', key=key()), length=None)
    s.send(bytes(1000))
    same(s.head(), 504)
    same(json.loads(s.rest())['error'], 'JobTimeout')


def early(server):
    """A handler that does not read its request: the answer comes, and the server does not hang."""
    for n in (0, 3 * MIB):
        a = call(servers[server] + target('py', 'early', n=n), 'POST', bytes(8 * MIB))
        same((a.status, len(a.body)), (200, n + len('no need to read ')), a)
    until(lambda: kept() == (0, 0), 'nothing of it is kept')


def refused(server):
    """Nothing is read for a call that is refused."""
    a = call(servers[server] + target('py', 'nowhere'), 'POST', bytes(8 * MIB))
    same((a.status, a.error), (404, 'EndpointNotFound'), a)


# ---- what has to be whole ----

def whole(endpoint, headers, status=200, server='apache'):
    """What may be started again, or is accepted, has its body in the ledger before it starts."""
    data = os.urandom(3 * MIB)
    s = Sender(servers[server], target('py', endpoint), length=None, headers=headers)
    for i in range(0, len(data), MIB):
        s.send(data[i:i + MIB])
    s.end()
    same(s.head(), status)
    a = json.loads(s.rest())
    job = s.response.getheader('at-run-job')
    if status == 202:
        a = until(lambda: (lambda r: r.status == 200 and r.json)(call('%s/job/%s/result' % (runner.url, job))), 'the result', 20)
    same((a['n'], a['sha']), (len(data), hashlib.sha256(data).hexdigest()))
    same(runner.sql('SELECT length(body) FROM request WHERE job = ?', int(job.split('-')[0]))[0][0], len(data))
    same(kept(), (0, 0))


def small():
    """One row, as it always was: also of unknown length when it comes at once."""
    for server in ('apache', 'nginx'):
        a = call(servers[server] + target('py', 'whole'), 'POST', b'x' * 70000, chunked=True)
        same((a.status, a.json['n']), (200, 70000), a)
    a = call(servers['apache'] + target('py', 'whole'), 'POST', b'x' * 900000)
    job = int(a.header('at-run-job').split('-')[0])
    same(runner.sql('SELECT length(body) FROM request WHERE job = ?', job)[0][0], 900000)


def whole_at_last(bundle):
    data = os.urandom(3 * MIB)
    a = call(runner.url + target(bundle, 'whole'), 'POST', data)
    same((a.status, a.json['n'], a.json['sha']), (200, len(data), hashlib.sha256(data).hexdigest()), a)


t.run('everything runs', start)
for server in [x for x in servers if x != 'serve']:
    t.run('each piece as it comes, behind %s' % server, as_it_comes, server)
    if server in DUPLEX:
        t.run('a duplex echo behind %s' % server, duplex, server, 'py')
    else:
        t.run('an answer that begins before its request has ended, behind %s' % server, begins_early, server, 'py')
    t.run('64 MiB behind %s' % server, large, server, 'py', 'take')
    t.run('a handler that does not read, behind %s' % server, stands, server)
    t.run('a sender that leaves, behind %s' % server, leaves, server)
    if server not in KNOWN:
        t.run('a body that is too large, behind %s' % server, too_large, server)
    t.run('an early answer behind %s' % server, early, server)
    t.run('a refusal behind %s' % server, refused, server)
for bundle in ('node', 'deno'):
    t.run('a duplex echo, %s' % bundle, duplex, 'lighttpd', bundle)
for bundle, endpoint in (('wsgi', 'app'), ('asgi', 'app'), ('node', 'take'), ('deno', 'take')):
    t.run('64 MiB, %s' % bundle, large, 'lighttpd', bundle, endpoint)
for bundle in ('py', 'node', 'deno'):
    t.run('a handler that wants it whole, %s' % bundle, whole_at_last, bundle)
t.run('records cut anyhow', records)
t.run('less than announced', lies, False)
t.run('more than announced', lies, True)
t.run("the bundle's own limit", own_limit)
t.run('the deadline', deadline)
t.run('a small body', small)
t.run('an idempotent endpoint', whole, 'once', [])
t.run('a task', whole, 'job', [], 202)
t.run('respond-async', whole, 'whole', [('Prefer', 'respond-async')], 202)
t.run('an Idempotency-Key', whole, 'whole', [('Idempotency-Key', 'k1')])
if runner.p:
    t.run('stop', lambda: same(runner.stop(), 0))
t.end()
