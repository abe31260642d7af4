"""Streams, work after the answer, and logs, through the whole product: events as they come behind four web servers, a slow
reader slows its handler, a reader that leaves ends its job.

Nothing is timed: the handler sends the next piece when a file says that the client has the last one.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

PYTHON = '''
import asyncio, os, time
DIR = %(dir)r

def say(name, text='1'):
    with open(os.path.join(DIR, name + '.new'), 'w') as f:
        f.write(text)
    os.rename(os.path.join(DIR, name + '.new'), os.path.join(DIR, name))

def wait(name):
    while not os.path.exists(os.path.join(DIR, name)):
        time.sleep(0.005)

def events(request, ctx):
    key = request.query['key']
    def flow():
        for i in range(4):
            if i:
                wait('%%s-%%d' %% (key, i - 1))
            yield 'id: %%d\\ndata: {"n": %%d}\\n\\n' %% (i, i)
    return 200, {'content-type': 'text/event-stream'}, flow()

def flood(request, ctx):
    key, n = request.query['key'], 0
    try:
        while n < int(request.query['n']):
            yield b'x' * 65536
            n += 65536
            say(key, str(n))
    finally:
        say(key + '-end', str(n))

async def aflood(request, ctx):
    key, n = request.query['key'], 0
    try:
        while n < int(request.query['n']):
            yield b'x' * 65536
            n += 65536
            say(key, str(n))
    finally:
        say(key + '-end', str(n))

def hangs(request, ctx):
    say(request.query['key'], ctx.job)
    time.sleep(60)

def after(request, ctx):
    key = request.query['key']
    def work():
        print('begins')
        wait(key + '-go')
        print('ends')
        say(key + '-done')
    ctx.wait_until(work)
    return 'answered'

def broken():
    raise ValueError('no')

def fails(request, ctx):
    for work in (broken, broken, time.time):
        ctx.wait_until(work)
    return 'answered'

def runs_on(request, ctx):
    ctx.wait_until(time.sleep, 60)
    return 'answered'

def logs(request, ctx):
    for level in ('debug', 'info', 'warn', 'error'):
        ctx.log(level, 'a', level)
    return 'logged'
'''
NODE = '''
import fs from 'node:fs';
const DIR = %(dir)s;
const say = (name, text = '1') => { fs.writeFileSync(`${DIR}/${name}.new`, text); fs.renameSync(`${DIR}/${name}.new`, `${DIR}/${name}`); };
const wait = async (name) => { while (!fs.existsSync(`${DIR}/${name}`)) await new Promise((r) => setTimeout(r, 5)); };
const query = (request) => new URL(request.url).searchParams;

export function events(request) {
  const key = query(request).get('key'), encoder = new TextEncoder();
  let i = 0;
  return new Response(new ReadableStream({ async pull(c) {
    if (i > 0)
      await wait(`${key}-${i - 1}`);
    c.enqueue(encoder.encode(`id: ${i}\\ndata: {"n": ${i}}\\n\\n`));
    if (++i === 4)
      c.close();
  } }), { headers: { 'content-type': 'text/event-stream' } });
}
export function flood(request) {
  const key = query(request).get('key'), most = Number(query(request).get('n'));
  let n = 0;
  return new Response(new ReadableStream({
    pull(c) {
      c.enqueue(new Uint8Array(65536));
      n += 65536;
      say(key, String(n));
      if (n >= most) {
        say(`${key}-end`, String(n));
        c.close();
      }
    },
    cancel() { say(`${key}-end`, String(n)); },
  }));
}
export async function hangs(request, env, ctx) {
  say(query(request).get('key'), ctx.job);
  await new Promise((done) => ctx.signal.addEventListener('abort', done));
  say(`${query(request).get('key')}-end`);
}
export function after(request, env, ctx) {
  const key = query(request).get('key');
  ctx.waitUntil((async () => {
    await null;
    console.log('begins');
    await wait(`${key}-go`);
    console.log('ends');
    say(`${key}-done`);
  })());
  return new Response('answered');
}
export function fails(request, env, ctx) {
  const later = (bad) => new Promise((done, failed) => setTimeout(bad ? failed : done, 20));
  for (const bad of [true, true, false])
    ctx.waitUntil(later(bad));
  return new Response('answered');
}
export function runs_on(request, env, ctx) {
  ctx.waitUntil(new Promise((done) => setTimeout(done, 60000)));
  return new Response('answered');
}
'''
WINDOW = 1 << 20
# Beside the window of the protocol: what the kernel's sockets and the web server's own buffers hold.
UNDER_WAY = 24 << 20

t = Cases()
where = scratch()
signs = os.path.join(where, 'signs')
os.makedirs(signs)
os.chmod(signs, 0o777)
bundles = os.path.join(where, 'bundles')
for name, file, text, runtime in (('py', 'main.py', PYTHON % {'dir': signs}, 'application/python'),
                                  ('js', 'main.mjs', NODE % {'dir': json.dumps(signs)}, 'application/javascript+node')):
    os.makedirs(os.path.join(bundles, name))
    with open(os.path.join(bundles, name, file), 'w') as f:
        f.write(text)
    with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
        json.dump({'runtime': runtime, 'entry': file, 'limits': {'timeoutMs': 60000},
                   'endpoints': {e: {} for e in 'events flood aflood hangs after fails logs'.split()} | {'runs_on': {'timeoutMs': 1000}},
                   'permissions': {'write': [signs], 'read': [signs]}}, f)
runner = Runner(where, user='www-data', bundles=bundles, sections={'limits': {'timeout': '60s', 'response': '1G'}, 'pool': {'max': '8'}, 'web': {'metrics': 'on'}})
runner.conf_top['isolation'] = 'none'  # handlers and this program speak by files of the host
servers = {}
number = 0


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


def signed():
    k = key()
    for i in range(4):
        sign('%s-%d' % (k, i))
    return k


def url(base, bundle, endpoint, **query):
    return '%s/bundle/local/%s/latest/%s?%s' % (base, bundle, endpoint, urllib.parse.urlencode(query))


def row(job):
    return dict(zip(('state', 'outcome', 'error_name', 'id'), runner.sql(
        "SELECT state, outcome, error_name, id FROM job WHERE id || '-' || nonce = ?", job)[0]))


class Reader:
    """A GET whose body is read by hand."""

    def __init__(self, address, headers=None):
        host, port, target = split(address)
        self.s = socket.create_connection((host, port), timeout=60)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        lines = ['GET %s HTTP/1.0' % target, 'Host: %s:%d' % (host, port)] + ['%s: %s' % h for h in headers or []]
        self.s.sendall(('\r\n'.join(lines) + '\r\n\r\n').encode())
        self.got, self.head = b'', None

    def more(self):
        piece = self.s.recv(65536)
        self.got += piece
        if self.head is None and b'\r\n\r\n' in self.got:
            head, _, self.got = self.got.partition(b'\r\n\r\n')
            self.head = head.decode('latin-1')
        return len(piece)

    def until(self, text):
        while self.head is None or text not in self.got:
            check(self.more() > 0, 'ended before %r: %s %r' % (text, self.head, self.got[-300:]))

    def header(self, name):
        found = re.search(r'(?im)^%s: *(.*?)\r?$' % re.escape(name), self.head)
        return found.group(1) if found else None

    def leave(self):
        self.s.close()


# ---- streams ----

def start():
    runner.init().start()
    servers['serve'] = runner.url
    for name, fn in (('nginx', nginx), ('caddy', caddy), ('apache', apache)):
        try:
            servers[name] = fn(where, runner).url
        except Skipped as e:
            print('skip %s: %s' % (name, e), flush=True)


def events(server, bundle):
    k = key()
    r = Reader(url(servers[server], bundle, 'events', key=k), [('Accept', 'text/event-stream')])
    for i in range(4):
        r.until(b'data: {"n": %d}\n\n' % i)
        sign('%s-%d' % (k, i))
    while r.more() > 0:
        pass
    check('text/event-stream' in r.header('content-type'), r.head)
    same(r.got.count(b'data: '), 4)
    until(lambda: row(r.header('at-run-job'))['outcome'] == 'ok', 'it is done')


def slow_reader(bundle, endpoint):
    """Some 100 MB to a reader who does not read: the handler stands still after what can be under way."""
    k = key()
    r = Reader(url(runner.url, bundle, endpoint, key=k, n=100 << 20))
    r.until(b'x' * 1000 if bundle == 'py' else bytes(1000))
    job = r.header('at-run-job')

    def stands():
        before = seen(k)
        time.sleep(0.3)
        return before is not None and seen(k) == before and int(before) > 0
    until(stands, 'the handler stands still', 30)
    made = int(seen(k))
    check(made < UNDER_WAY, 'the handler went on: %d bytes' % made)
    kept = runner.sql('SELECT coalesce(sum(length(data)), 0) FROM chunk WHERE job = ?', row(job)['id'])[0][0]
    check(kept <= 2 * WINDOW, 'the ledger holds %d bytes of it' % kept)
    # and goes on when the reader does
    read = 0
    while read < made + (8 << 20):
        n = len(r.s.recv(1 << 20))
        check(n > 0, 'it ended')
        read += n
    until(lambda: int(seen(k)) > made + (4 << 20), 'the handler goes on')
    kept = runner.sql('SELECT coalesce(sum(length(data)), 0) FROM chunk WHERE job = ?', row(job)['id'])[0][0]
    check(kept <= 2 * WINDOW, 'the ledger holds %d bytes of it' % kept)
    r.leave()
    until(lambda: row(job)['state'] == 'done', 'leaving ends it', 30)
    same(row(job)['outcome'], 'cancelled')
    until(lambda: seen(k + '-end'), 'the handler is told')
    a = call('%s/job/%s/result' % (runner.url, job))
    check(a.status in (404, 409), 'what was read is gone:', a.status)


def fast_reader(bundle, endpoint):
    k = key()
    r = Reader(url(runner.url, bundle, endpoint, key=k, n=30 << 20))
    total = 0
    while r.head is None:
        r.more()
    total += len(r.got)
    while n := len(r.s.recv(1 << 20)):
        total += n
    same(total, 30 << 20)
    same(row(r.header('at-run-job'))['outcome'], 'ok')


def leaves(server, bundle):
    """In the middle of a stream, and, where the web server tells of it, while nothing has come yet: lighttpd, Caddy and Apache
    find out when there is something to send."""
    k = key()
    r = Reader(url(servers[server], bundle, 'flood', key=k, n=1 << 30))
    r.until(b'x' * 1000 if bundle == 'py' else bytes(1000))
    job = r.header('at-run-job')
    r.leave()
    until(lambda: row(job)['state'] == 'done', 'leaving in the middle ends it', 30)
    same(row(job)['outcome'], 'cancelled')
    if server != 'nginx':
        return
    k = key()
    r = Reader(url(servers[server], bundle, 'hangs', key=k))
    job = until(lambda: seen(k), 'the handler runs')
    r.leave()
    until(lambda: row(job)['state'] == 'done', 'leaving ends it', 30)
    same(row(job)['outcome'], 'cancelled')


def async_stays():
    """Whoever reads an accepted job's stream may leave: the job goes on, and the answer is kept."""
    k = key()
    a = call(url(runner.url, 'py', 'events', key=k), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job = a.header('at-run-job')
    result = '%s/job/%s/result' % (runner.url, job)
    until(lambda: call(result + '?x', 'HEAD').status == 200, 'it streams')
    r = Reader(result)
    r.until(b'data: {"n": 0}')
    r.leave()
    for i in range(4):
        sign('%s-%d' % (k, i))
    until(lambda: row(job)['outcome'] == 'ok', 'it goes on to its end')
    same(call(result).body.count(b'data: '), 4)


# ---- work after the answer ----

def texts(job):
    return [r[0] for r in runner.sql('SELECT text FROM log WHERE job = ? ORDER BY id', row(job)['id'])]


def after(bundle):
    k = key()
    a = call(url(runner.url, bundle, 'after', key=k))
    same((a.status, a.text), (200, 'answered'), a)
    job = a.header('at-run-job')
    same(row(job)['outcome'], 'ok')
    until(lambda: 'begins' in texts(job), 'the work is logged with its job')
    instance = runner.sql('SELECT instance FROM job WHERE id = ?', row(job)['id'])[0][0]
    # Its instance is not free: the next call goes elsewhere.
    other = call(url(runner.url, bundle, 'after', key=k))
    check(runner.sql('SELECT instance FROM job WHERE id = ?', row(other.header('at-run-job'))['id'])[0][0] != instance,
          'the place stays busy')
    sign(k + '-go')
    until(lambda: any(x.startswith('work after the answer took ') for x in texts(job)), 'its end is logged')
    check('ends' in texts(job), texts(job))
    same(row(job)['outcome'], 'ok')
    same(after_of(job)[:3], ('ok', 1, 0))
    shown = json.loads(runner.cli('--json', 'job', 'show', job).stdout)
    same((shown['after_outcome'], shown['after_works'], shown['after_failed']), ('ok', 1, 0), shown)
    check(shown['after_ms'] > 0, shown)


def after_of(job):
    return runner.sql('SELECT outcome, works, failed, ran_ms FROM v_after WHERE row = ?', row(job)['id'])[0]


def counted(outcome):
    text = call(runner.url + '/metrics').text
    found = re.search(r'(?m)^at_rund_after_total\{outcome="%s"\} (\d+)$' % outcome, text)
    return int(found.group(1)) if found else 0


def after_fails(bundle):
    before = counted('error')
    job = call(url(runner.url, bundle, 'fails')).header('at-run-job')
    until(lambda: any('2 of 3 failed' in x for x in texts(job)), 'its end is logged')
    same(after_of(job)[:3], ('error', 3, 2))
    same(row(job)['outcome'], 'ok')
    until(lambda: counted('error') == before + 1, 'it is counted')


def after_late(bundle):
    a = call(url(runner.url, bundle, 'runs_on'))
    same((a.status, a.text), (200, 'answered'), a)
    job = a.header('at-run-job')
    line = until(lambda: [x for x in texts(job) if x.startswith('work after the answer was cut')], 'it is cut at the deadline', 20)
    check('timeoutMs' in line[0], line)
    same(after_of(job)[0], 'timeout')
    same(row(job)['outcome'], 'ok')
    same(call(url(runner.url, bundle, 'events', key=signed())).status, 200)


# ---- logs ----

def logs():
    job = call(url(runner.url, 'py', 'logs')).header('at-run-job')
    def lines(*more):
        r = runner.cli('--json', 'logs', '--bundle', 'py', '--limit', '900', *more)
        same(r.returncode, 0, r.stderr)
        return [(x['level'], x['text']) for x in json.loads(r.stdout)['logs'] if x['job'] == job]
    every = [(level, 'a ' + level) for level in ('debug', 'info', 'warn', 'error')]
    same(lines(), every)
    same(lines('--level', 'warn'), every[2:])
    same(lines('--author', 'local', '--outcome', 'ok'), every)
    same(lines('--outcome', 'error'), [])
    same(lines('--author', 'did:plc:nobody'), [])
    for wrong in (('--level', 'loud'), ('--outcome', 'fine'), ('--limit', '0')):
        same(runner.cli('logs', *wrong).returncode, 64)


def logs_follow():
    out = os.path.join(where, 'follow.out')
    with open(out, 'wb') as f:
        p = Process([os.path.join(runner.build, 'at-rund'), '--json', 'logs', '-f', '--level', 'error', '--limit', '1'],
                    os.path.join(where, 'follow.log'), env=runner.env, user=runner.user, stdout=f)

    def followed():
        with open(out) as f:
            return [json.loads(x) for x in f.read().splitlines() if x.endswith('}')]
    until(lambda: followed() or call(url(runner.url, 'py', 'logs')).status != 200, 'it shows the last line', 20)
    job = call(url(runner.url, 'py', 'logs')).header('at-run-job')
    line = until(lambda: [x for x in followed() if x['job'] == job], 'what is printed shows up')
    same([(x['level'], x['text'], x['called']) for x in line], [('error', 'a error', 'local/py/latest/logs')])
    p.stop()


t.run('everything runs', start)
for server in list(servers):
    for bundle in ('py', 'js') if server == 'serve' else ('py',):
        t.run('events as they come, %s behind %s' % (bundle, server), events, server, bundle)
        t.run('a reader that leaves, %s behind %s' % (bundle, server), leaves, server, bundle)
for bundle, endpoint in (('py', 'flood'), ('py', 'aflood'), ('js', 'flood')):
    t.run('a fast reader gets all, %s %s' % (bundle, endpoint), fast_reader, bundle, endpoint)
    t.run('a slow reader slows the handler, %s %s' % (bundle, endpoint), slow_reader, bundle, endpoint)
t.run('an accepted stream does not end with its reader', async_stays)
for bundle in ('py', 'js'):
    t.run('work after the answer, ' + bundle, after, bundle)
    t.run('work after the answer has the time of its job, ' + bundle, after_late, bundle)
    t.run('work after the answer that fails, ' + bundle, after_fails, bundle)
t.run('at-rund logs', logs)
t.run('at-rund logs -f', logs_follow)
if runner.p:
    t.run('stop', lambda: same(runner.stop(), 0))
t.end()
