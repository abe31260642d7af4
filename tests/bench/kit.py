"""What the parts of make bench share: processes, the two things measured (bare and the product), load, the table."""
import json
import os
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
THREADS, INSTANCES = 64, 4
DEPS = os.environ.get('AT_RUND_DEPS', os.path.expanduser('~/.cache/at-rund'))
os.environ['PATH'] += ':' + os.path.join(DEPS, 'bin')  # where contrib/setup.sh puts deno
# A home for nothing but images of runtimes, made once for all tests.
IMAGES = subprocess.run(['sh', os.path.join(ROOT, 'tests', 'images.sh')], capture_output=True, text=True, check=True).stdout.strip()
HANDLERS = {
    'node': ('main.mjs', 'export function hello() {\n  return { hello: "world" };\n}\n', 'application/javascript+node'),
    'deno': ('main.mjs', 'export function hello() {\n  return { hello: "world" };\n}\n', 'application/javascript+deno'),
    'python': ('main.py', 'def hello(request, ctx):\n    return {"hello": "world"}\n', 'application/python'),
}


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Children:
    """Processes started here; each is ended by pid, whatever happens."""

    def __init__(self):
        self.list = []

    def start(self, argv, **kw):
        p = subprocess.Popen(argv, **kw)
        self.list.append(p)
        return p

    def stop(self, p):
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.list.remove(p)

    def stop_all(self):
        for p in reversed(self.list[:]):
            self.stop(p)


def get(url, headers=None, method='GET', data=None, timeout=30):
    req = urllib.request.Request(url, headers=headers or {}, method=method, data=data)
    try:
        with urllib.request.urlopen(req, timeout=timeout) as r:
            return r.status, dict(r.headers), r.read()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), e.read()


def wait_url(url, deadline=30, want=200):
    end = time.monotonic() + deadline
    last = None
    while time.monotonic() < end:
        try:
            last = get(url, timeout=5)
            if last[0] == want:
                return last
        except OSError as e:
            last = e
        time.sleep(0.02)
    raise SystemExit(f'bench: {url} did not answer {want}: {last}')


def wrk(url, clients, seconds, headers=(), script=None):
    argv = ['wrk', f'-t{1 if clients < 16 else 2}', f'-c{clients}', f'-d{seconds}s', '--latency']
    for h in headers:
        argv += ['-H', h]
    if script:
        argv += ['-s', script]
    out = subprocess.run(argv + [url], capture_output=True, text=True, check=True).stdout
    unit = {'us': 1e-3, 'ms': 1.0, 's': 1e3}

    def percentile(p):
        m = re.search(rf'^\s*{p}%\s+([\d.]+)(us|ms|s)', out, re.M)
        return float(m.group(1)) * unit[m.group(2)]
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    errors = re.search(r'Socket errors: (.*)', out)
    return {'rate': float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1)), 'p50': percentile(50),
            'p99': percentile(99), 'bad': int(bad.group(1)) if bad else 0, 'errors': errors.group(1) if errors else ''}


def runtime_command(args, name):
    """Its program; a version manager's shim (a script) is passed over, as the product does."""
    override = os.environ.get('AT_RUND_' + name.upper())
    if override:
        return override
    for d in os.environ['PATH'].split(':'):
        path = os.path.join(d, {'python': 'python3'}.get(name, name))
        if os.access(path, os.X_OK) and os.path.isfile(path):
            with open(path, 'rb') as f:
                if f.read(2) != b'#!':
                    return path
    return None


def definition(args, name):
    """The executor's command line as backends/runtimes/NAME/NAME.ini has it."""
    text = open(os.path.join(ROOT, 'backends', 'runtimes', name, name + '.ini'), encoding='utf-8').read()
    flags = re.search(r'^flags\s*=\s*\[(.*?)\]', text, re.M | re.S)
    file = re.search(r'^file\s*=\s*"?([^"\s]+)', text, re.M)
    flags = [f.replace('{memory_mb}', '256') for f in re.findall(r'"([^"]*)"', flags.group(1))] if flags else []
    return flags, os.path.normpath(os.path.join(ROOT, 'backends', 'runtimes', name, file.group(1)))


def lighttpd_conf(path, port, sock, upload):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(f'''server.modules = ("mod_fastcgi")
server.document-root = "{upload}"
server.bind = "127.0.0.1"
server.port = {port}
server.stream-response-body = 2
server.upload-dirs = ("{upload}")
server.max-connections = 1024
fastcgi.server = ("/" => (("socket" => "{sock}", "check-local" => "disable")))
''')


class Bare:
    def __init__(self, args, kids, name, work):
        self.kids = kids
        entry, text, _ = HANDLERS[name]
        d = os.path.join(work, 'bare-' + name)
        os.makedirs(d)
        with open(os.path.join(d, entry), 'w', encoding='utf-8') as f:
            f.write(text)
        sock = os.path.join(work, f'bare-{name}.sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sock)
        listener.listen(1024)
        flags, executor = definition(args, name)
        command = [runtime_command(args, name)] + flags
        if name == 'deno':
            command += ['--allow-all']
        self.fcgi = kids.start([os.path.join(args.build, 'tests', 'bare'), '--threads', str(THREADS), '--instances',
                                str(INSTANCES), '--dir', d, '--entry', entry, '--'] + command + [executor],
                               stdin=listener, stdout=subprocess.DEVNULL)
        listener.close()
        self.port = free_port()
        conf = os.path.join(work, f'bare-{name}.conf')
        lighttpd_conf(conf, self.port, sock, work)
        self.web = kids.start(['lighttpd', '-D', '-f', conf], stderr=subprocess.DEVNULL)
        self.url = f'http://127.0.0.1:{self.port}/bundle/local/bench/latest/hello'
        wait_url(self.url)

    def stop(self):
        self.kids.stop(self.web)
        self.kids.stop(self.fcgi)


class Product:
    def __init__(self, args, kids, name, work, extra='', warm=0, bundles=1, wall='none', net=(), more=None, top=''):
        self.kids, self.home = kids, os.path.join(work, f'home-{name}-{time.monotonic_ns()}')
        os.makedirs(self.home)
        folder = os.path.join(self.home, 'src')
        entry, text, mime = HANDLERS[name]
        for i in range(bundles):
            d = os.path.join(folder, 'bench' if i == 0 else f'bench{i}')
            os.makedirs(d)
            with open(os.path.join(d, entry), 'w', encoding='utf-8') as f:
                f.write(text + (more[1] if more else '') + ('#' if name == 'python' else '//') + f' {i}\n')
            with open(os.path.join(d, 'bundle.json'), 'w', encoding='utf-8') as f:
                endpoints = ['hello'] + (more[0].split() if more else [])
                json.dump({'$type': 'dev.at-run.bundle', 'name': os.path.basename(d), 'runtime': mime, 'entry': entry,
                           'endpoints': {e: {} for e in endpoints}, 'permissions': {'net': list(net)},
                           'createdAt': '2026-01-01T00:00:00Z'}, f)
        env = dict(os.environ)
        env['PATH'] = os.path.dirname(runtime_command(args, name)) + ':' + env['PATH']
        subprocess.run([os.path.join(args.build, 'at-rund'), '--home', self.home, 'init'], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        if wall == 'container':
            os.rmdir(os.path.join(self.home, 'images'))
            os.symlink(os.path.join(IMAGES, 'images'), os.path.join(self.home, 'images'))
        self.port = free_port()
        with open(os.path.join(self.home, 'config.ini'), 'w', encoding='utf-8') as f:
            f.write(f'''port = {self.port}
{top}
isolation = {wall}
[access]
mode = open
[runtimes]
{name} = {name}.ini
[limits]
queue = 200000
per_author = 200000
per_bundle = 200000
timeout = 10m
[pool]
max = 16
per_bundle = {INSTANCES}
{f"warm.{name} = {warm}" if warm else ""}
[observability]
level = warn
[web]
threads = {THREADS}
[dev]
bundles = {folder}
{extra}
''')
        self.p = kids.start([os.path.join(args.build, 'at-rund'), '--home', self.home, 'serve', '--dev'], env=env,
                            stdout=subprocess.DEVNULL)
        self.base = f'http://127.0.0.1:{self.port}/bundle/local/'
        self.url = self.base + 'bench/latest/hello'
        wait_url(f'http://127.0.0.1:{self.port}/ready')

    def db(self):
        return sqlite3.connect(f'file:{self.home}/at-rund.db?mode=ro', uri=True)

    def pids(self):
        """serve and everything below it, but lighttpd and instances."""
        kids = {}
        for d in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{d}/stat', encoding='utf-8') as f:
                    s = f.read()
                kids.setdefault(int(s.rsplit(')', 1)[1].split()[1]), []).append((int(d), s[s.index('(') + 1:s.rindex(')')]))
            except OSError:
                pass
        found, todo = [(self.p.pid, 'at-rund serve')], [self.p.pid]
        while todo:
            for pid, comm in kids.get(todo.pop(), []):
                if comm.startswith('at-rund'):
                    found.append((pid, comm))
                    todo.append(pid)
        return found

    def stop(self):
        self.kids.stop(self.p)


def pss_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='utf-8') as f:
        return int(re.search(r'^Pss:\s+(\d+)', f.read(), re.M).group(1))


def start_ms(argv, n=15):
    times = []
    for _ in range(n):
        t = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])
        os.waitpid(pid, 0)
        times.append((time.perf_counter() - t) * 1e3)
    return times


class Table:
    def __init__(self):
        self.rows = []

    @staticmethod
    def spread(values):
        return f'{min(values):.3g}..{max(values):.3g}' if len(values) > 1 else ''

    def add(self, what, values, must, aim, lower=True, detail=''):
        v = statistics.median(values)
        ok = (lambda limit: v <= limit) if lower else (lambda limit: v >= limit)
        word = 'aim' if ok(aim) else 'must' if ok(must) else 'MISSED'
        self.rows.append((what, f'{v:.3g}', self.spread(values), f'{"<=" if lower else ">="} {must:g}',
                          f'{"<=" if lower else ">="} {aim:g}', word, detail))
        print('  '.join(self.rows[-1]), flush=True)

    def note(self, what, detail):
        self.rows.append((what, '', '', '', '', '', detail))
        print(f'{what}: {detail}', flush=True)

    def show(self):
        head = ('what', 'ratio', 'spread', 'must', 'aim', 'holds', 'figures')
        rows = [head] + self.rows
        width = [max(len(r[i]) for r in rows) for i in range(6)]
        print()
        for r in rows:
            print('  '.join(c.ljust(w) for c, w in zip(r, width)) + '  ' + r[6])


def timed_kind(url):
    t = time.perf_counter()
    status, headers, body = get(url)
    ms = (time.perf_counter() - t) * 1e3
    if status != 200:
        raise SystemExit(f'bench: {url}: {status} {body[:300]}')
    return ms, {k.lower(): v for k, v in headers.items()}.get('at-run-instance')


class Caller:
    """One client on one kept connection, of so little code that what is measured is the other side."""

    def __init__(self, url):
        self.host, _, path = url.removeprefix('http://').partition('/')
        self.request = f'GET /{path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n'.encode()
        self.s = None

    def connect(self):
        host, port = self.host.split(':')
        self.s = socket.create_connection((host, int(port)))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b''

    def call(self):
        """Milliseconds."""
        if self.s is None:
            self.connect()
        began = time.perf_counter()
        self.s.sendall(self.request)
        while (end := self.buf.find(b'\r\n\r\n')) < 0:
            self.more()
        head = self.buf[:end].lower()
        size = end + 4 + int(re.search(rb'\ncontent-length: *(\d+)', head).group(1))
        while len(self.buf) < size:
            self.more()
        ms = (time.perf_counter() - began) * 1e3
        if not head.startswith(b'http/1.1 200'):
            raise SystemExit(f'bench: {self.buf[:300]}')
        self.buf = self.buf[size:]
        if b'\nconnection: close' in head:
            self.s.close()
            self.s = None
        return ms

    def more(self):
        got = self.s.recv(65536)
        if not got:
            raise SystemExit('bench: the connection was closed')
        self.buf += got

    def p50(self, calls):
        return statistics.median(self.call() for _ in range(calls))


def timed(url):
    return timed_kind(url)[0]
