"""
The kit of the end-to-end tests: the real programs, in a throw-away home, behind the real web servers and a real PDS.

Standard library only.  Everything listens on loopback, on ports that were free a moment ago; every wait is for
readiness and has a deadline; what was started is stopped by its pid, also when a test dies.

    t = Cases()                    # one line a case: ok / FAIL / skip, and the totals at the end
    with t.case('what is claimed'):
        check(answer.status == 200, answer)
    t.end()
"""
import atexit
import contextlib
import hashlib
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import string
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import urllib.parse
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('AT_RUND_BUILD', os.path.join(ROOT, 'build')))
DEPS = os.environ.get('AT_RUND_DEPS', os.path.join(os.path.expanduser('~'), '.cache', 'at-rund'))
COLLECTION = 'dev.at-run.bundle'
SLOW = float(os.environ.get('AT_RUND_SLOW', '1'))  # deadlines are multiplied by this
SOAK = os.environ.get('AT_RUND_SOAK') == '1'  # make soak: the endurance tests at full length


# ---- cases -----------------------------------------------------------------------------------------------------

class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(ok, *what):
    """A claim; what is shown when it does not hold."""
    if not ok:
        raise Failed(' '.join(str(w) for w in what) or 'claim does not hold')


def same(got, want, what=''):
    check(got == want, '%s: got %s, want %s' % (what or 'value', brief(got), brief(want)))


def brief(value, limit=400):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + '... (%d)' % len(text)


def skip(why):
    raise Skipped(why)


class Cases:
    """One line a case.  Arguments of the program pick cases whose name contains one of them."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.pick = [a for a in sys.argv[1:] if not a.startswith('-')]

    def wanted(self, name):
        return not self.pick or any(p in name for p in self.pick)

    @contextlib.contextmanager
    def _case(self, name):
        began = time.monotonic()
        try:
            yield
            self.passed += 1
            print('ok %s (%.1f s)' % (name, time.monotonic() - began), flush=True)
        except Skipped as e:
            self.skipped += 1
            print('skip %s: %s' % (name, e), flush=True)
        except Exception as e:  # a test that breaks has failed, whatever the reason
            self.failed += 1
            where = ''
            frames = [f for f in traceback.extract_tb(e.__traceback__) if os.path.basename(f.filename) != 'kit.py']
            if frames:
                where = ' (%s:%d)' % (os.path.basename(frames[-1].filename), frames[-1].lineno)
            text = str(e) if isinstance(e, Failed) else '%s: %s' % (type(e).__name__, e)
            print('FAIL %s: %s%s' % (name, text, where), flush=True)

    def run(self, name, fn, *args):
        if not self.wanted(name):
            return
        with self._case(name):
            fn(*args)

    def end(self):
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped), flush=True)
        stop_all()
        sys.exit(1 if self.failed or not self.passed + self.skipped else 0)


# ---- waiting ---------------------------------------------------------------------------------------------------

def until(fn, what, seconds=15.0, every=0.02):
    """fn() until it gives something true; its last exception or value says why it never did."""
    deadline = time.monotonic() + seconds * SLOW
    last = None
    while True:
        try:
            last = fn()
            if last:
                return last
        except (OSError, Failed, sqlite3.Error, http.client.HTTPException) as e:
            last = e
        if time.monotonic() > deadline:
            raise Failed('%s did not happen within %g s (%s)' % (what, seconds * SLOW, brief(last)))
        time.sleep(every)


_ports = set()


def free_port():
    while True:
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        if port not in _ports:
            _ports.add(port)
            return port


def listening(port):
    with socket.create_connection(('127.0.0.1', port), timeout=1):
        return True


# ---- processes -------------------------------------------------------------------------------------------------

_running = []
_dirs = []


class Process:
    """A program of ours in a session of its own, its output in a file."""

    def __init__(self, argv, log, env=None, cwd=None, user=None, stdin=subprocess.DEVNULL, stdout=None):
        self.argv, self.log = argv, log
        self.out = open(log, 'ab')
        kw = {}
        if user and os.geteuid() == 0:
            kw = {'user': user, 'group': user, 'extra_groups': []}
        self.p = subprocess.Popen(argv, stdin=stdin, stdout=stdout or self.out, stderr=self.out, env=env, cwd=cwd,
                                  start_new_session=True, close_fds=True, **kw)
        self.pid = self.p.pid
        _running.append(self)

    def alive(self):
        return self.p.poll() is None

    def tail(self, n=1500):
        try:
            with open(self.log, 'rb') as f:
                return f.read()[-n:].decode('utf-8', 'replace')
        except OSError:
            return ''

    def ready(self, fn, what, seconds=15.0):
        def one():
            if not self.alive():
                raise RuntimeError('%s ended with %s: %s' % (what, self.p.returncode, self.tail()))
            return fn()
        try:
            return until(one, what, seconds)
        except Failed as e:
            raise Failed('%s; its log ends: %s' % (e, self.tail()))

    def stop(self, sig=signal.SIGTERM, seconds=20.0):
        """Asks, waits, and only then kills; returns the exit status, -9 when it had to be killed."""
        if self.alive():
            self.p.send_signal(sig)
            try:
                self.p.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                pass
        killed = self.alive()
        if killed:
            self.p.kill()
            self.p.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it left in the session we made
        if self.p.stdin:
            with contextlib.suppress(OSError):
                self.p.stdin.close()
        if self in _running:
            _running.remove(self)
        self.out.close()
        return -9 if killed else self.p.returncode


def stop_all():
    for p in reversed(list(_running)):
        with contextlib.suppress(Exception):
            p.stop(seconds=10)
    if os.environ.get('AT_RUND_KEEP'):
        return
    while _dirs:
        shutil.rmtree(_dirs.pop(), ignore_errors=True)


def _on_signal(sig, _frame):
    stop_all()
    os._exit(128 + sig)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, _on_signal)
signal.signal(signal.SIGINT, _on_signal)


def scratch(prefix='at-rund-e2e-'):
    """A fresh directory that a web server of another user may enter; removed at the end."""
    d = tempfile.mkdtemp(prefix=prefix)
    os.chmod(d, 0o755)
    _dirs.append(d)
    return d


def processes_of(needle):
    """(pid, command line) of every live process whose command line, directory or environment names needle."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        if int(pid) == os.getpid():
            continue
        text = b''
        for name in ('cmdline', 'environ'):
            with contextlib.suppress(OSError):
                with open('/proc/%s/%s' % (pid, name), 'rb') as f:
                    text += f.read() + b'\0'
        with contextlib.suppress(OSError):
            text += os.readlink('/proc/%s/cwd' % pid).encode()
        try:
            with open('/proc/%s/stat' % pid) as f:
                dead = f.read().rpartition(')')[2].split()[0] in 'ZX'
        except OSError:
            continue
        if needle.encode() in text and not dead:
            cmd = text.split(b'\0\0')[0].replace(b'\0', b' ').decode('utf-8', 'replace')
            found.append((int(pid), cmd[:200]))
    return found


def family(pid):
    """pid -> command words of every live process below this one."""
    table = {}
    for p in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % p) as f:
                fields = f.read().rpartition(')')[2].split()
            with open('/proc/%s/cmdline' % p, 'rb') as f:
                table[int(p)] = (int(fields[1]), f.read().decode('utf-8', 'replace').split('\0'), fields[0])
        except (OSError, IndexError):
            continue
    ours, more = {pid}, True
    while more:
        new = {p for p, (parent, _, _) in table.items() if parent in ours} - ours
        more = bool(new)
        ours |= new
    return {p: table[p][1] for p in ours if p in table and p != pid and table[p][2] not in 'ZX'}


# ---- HTTP ------------------------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, body, seconds=0.0, cut=False):
        """cut: the connection ended before the body did."""
        self.status, self.headers, self.body, self.seconds, self.cut = status, headers, body, seconds, cut

    def header(self, name, default=None):
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failed('not JSON: %s' % self)

    @property
    def error(self):
        return self.json.get('error')

    def __repr__(self):
        return 'HTTP %s %s %s%s' % (self.status, self.headers, brief(self.body), ' (cut)' if self.cut else '')


def split(url):
    u = urllib.parse.urlsplit(url)
    return u.hostname, u.port or 80, (u.path or '/') + ('?' + u.query if u.query else '')


def call(url, method='GET', body=None, headers=None, timeout=60.0, chunked=False, path=None):
    """One request, nothing normalised.  path: sent instead of the URL's own, byte for byte."""
    host, port, target = split(url)
    c = http.client.HTTPConnection(host, port, timeout=timeout * SLOW)
    c._validate_path = lambda *_: None
    began = time.monotonic()
    try:
        c.putrequest(method, path or target, skip_accept_encoding=True)
        given = {k.lower() for k, _ in (headers or [])}
        for k, v in headers or []:
            c.putheader(k, v)
        if chunked:
            c.putheader('Transfer-Encoding', 'chunked')
            c.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for i in range(0, len(body), 50000):
                    piece = body[i:i + 50000]
                    c.send(b'%x\r\n' % len(piece) + piece + b'\r\n')
                c.send(b'0\r\n\r\n')
        else:
            if (body is not None or method in ('POST', 'PUT', 'PATCH')) and 'content-length' not in given:
                c.putheader('Content-Length', str(len(body or b'')))
            c.endheaders()
            if body:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    c.send(body)
        r = c.getresponse()
        cut = False
        try:
            data = r.read()
        except http.client.IncompleteRead as e:
            data, cut = e.partial, True
        return Answer(r.status, r.getheaders(), data, time.monotonic() - began, cut)
    finally:
        c.close()


def post_json(url, value, headers=None, **kw):
    return call(url, 'POST', json.dumps(value).encode(), [('Content-Type', 'application/json')] + (headers or []), **kw)


def stream(url, timeout=60.0, headers=None):
    """(Answer without body, [(when it arrived, bytes), ...])"""
    host, port, target = split(url)
    c = http.client.HTTPConnection(host, port, timeout=timeout * SLOW)
    try:
        c.request('GET', target, headers=dict(headers or []))
        r = c.getresponse()
        pieces = []
        while True:
            piece = r.read1(65536)
            if not piece:
                break
            pieces.append((time.time(), piece))
        return Answer(r.status, r.getheaders(), b''.join(p for _, p in pieces)), pieces
    finally:
        c.close()


def raw(port, data, timeout=20.0, host='127.0.0.1'):
    """Sends bytes as they are, reads until the other side closes; Answer, or None when nothing came."""
    with socket.create_connection((host, port), timeout=timeout * SLOW) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        got = b''
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
        except (ConnectionResetError, socket.timeout):
            pass
    m = re.match(rb'HTTP/1\.[01] (\d\d\d)[^\r\n]*\r\n', got)
    if not m:
        return None
    head, _, body = got.partition(b'\r\n\r\n')
    headers = [tuple(x.strip() for x in line.decode('latin-1').split(':', 1))
               for line in head.split(b'\r\n')[1:] if b':' in line]
    return Answer(int(m.group(1)), headers, body)


# ---- a real PLC directory and a real PDS -----------------------------------------------------------------------

def pds_node():
    """The node and the modules that contrib/setup.sh prepared, or None."""
    node = os.environ.get('AT_RUND_PDS_NODE')
    modules = os.environ.get('AT_RUND_PDS_MODULES', os.path.join(DEPS, 'test', 'node_modules'))
    if not node:
        for d in sorted(os.listdir(os.path.join(DEPS, 'node', 'node_modules'))) if os.path.isdir(
                os.path.join(DEPS, 'node', 'node_modules')) else []:
            candidate = os.path.join(DEPS, 'node', 'node_modules', d, 'bin', 'node')
            if os.access(candidate, os.X_OK):
                node = candidate
        node = node or shutil.which('node')
    if not node or not os.path.isdir(os.path.join(modules, '@atproto', 'pds')):
        return None
    return node, modules


class Pds:
    def __init__(self, where):
        found = pds_node()
        if not found:
            raise Skipped('no PDS here: run sh contrib/check.sh once')
        node, modules = found
        self.plc_port, self.port = free_port(), free_port()
        self.rotation = os.urandom(32).hex()  # the key with which the directory lets accounts be changed
        env = dict(os.environ, PLC_PORT=str(self.plc_port), PDS_PORT=str(self.port), AT_RUND_PDS_MODULES=modules,
                   PDS_ROTATION_KEY=self.rotation, TMPDIR=where, NODE_ENV='test', LOG_ENABLED='0')
        here = os.path.join(ROOT, 'tests', 'pds')
        self.p = Process([node, '--require', os.path.join(here, 'loopback.cjs'), os.path.join(here, 'start.mjs')],
                         os.path.join(where, 'pds.log'), env=env, stdin=subprocess.PIPE)
        self.url, self.plc = 'http://localhost:%d' % self.port, 'http://localhost:%d' % self.plc_port
        self.p.ready(lambda: call(self.url + '/xrpc/_health', timeout=5).status == 200, 'the PDS', 90)
        self.n = 0

    def xrpc(self, name, body=None, account=None, mime='application/json'):
        headers = [('Content-Type', mime)]
        if account:
            headers.append(('Authorization', 'Bearer ' + account.jwt))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        a = call('%s/xrpc/%s' % (self.url, name), 'POST', data, headers)
        check(a.status == 200, name, a)
        return a.json

    def account(self, handle):
        got = self.xrpc('com.atproto.server.createAccount',
                        {'email': handle.replace('.', '-') + '@example.test', 'handle': handle, 'password': 'hunter2-hunter2'})
        return Account(self, got['did'], handle, got['accessJwt'])


class People:
    """The atproto packages' own hands: people.mjs says what they can do.  people('key', curve='P-256')['multibase']"""

    def __init__(self, where):
        found = pds_node()
        if not found:
            raise Skipped('no atproto packages here: run sh contrib/check.sh once')
        node, modules = found
        self.p = Process([node, os.path.join(ROOT, 'tests', 'e2e', 'people.mjs')], os.path.join(where, 'people.log'),
                         env=dict(os.environ, AT_RUND_PDS_MODULES=modules), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.turn = threading.Lock()  # of two threads that read at once, one may wait for a line that the other has

    def __call__(self, op, **what):
        with self.turn:
            self.p.p.stdin.write(json.dumps(dict(what, op=op)).encode() + b'\n')
            self.p.p.stdin.flush()
            line = self.p.p.stdout.readline()
        answer = json.loads(line) if line else {'failed': self.p.tail()}
        check('failed' not in answer, op, answer)
        return answer


class Account:
    def __init__(self, pds, did, handle, jwt):
        self.pds, self.did, self.handle, self.jwt = pds, did, handle, jwt

    def upload(self, data, mime):
        return self.pds.xrpc('com.atproto.repo.uploadBlob', data, self, mime)['blob']

    def put(self, rkey, record, collection=COLLECTION):
        return self.pds.xrpc('com.atproto.repo.putRecord',
                             {'repo': self.did, 'collection': collection, 'rkey': rkey, 'record': record}, self)

    def deploy(self, name, data, mime, version='1.0.0', rkeys=None, **fields):
        """Blob and record; rkeys: default `name` and `name:version`.  Returns the record's CID."""
        blob = self.upload(data, mime)
        record = {'$type': COLLECTION, 'name': name, 'version': version, 'code': blob,
                  'createdAt': '2026-01-01T00:00:00.000Z'}
        record.update(fields)
        cid = None
        for rkey in rkeys or [name, '%s:%s' % (name, version)]:
            cid = self.put(rkey, record)['cid']
        return cid


def tar_gz(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as t:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in sorted(files.items()):
            z.writestr(name, data)
    return out.getvalue()


def cid_raw(data):
    """The CID of a blob: CIDv1, raw, sha2-256."""
    import base64
    return 'b' + base64.b32encode(b'\x01\x55\x12\x20' + hashlib.sha256(data).digest()).decode().lower().rstrip('=')


def source(name):
    with open(os.path.join(ROOT, 'tests', 'e2e', 'bundles', name), 'rb') as f:
        return f.read()


# ---- the runner ------------------------------------------------------------------------------------------------

def clean_env(**more):
    """What a program of ours gets: nothing of the caller's but a PATH that has deno and the system's own tools."""
    path = [os.path.join(DEPS, 'bin'), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
    deno = shutil.which('deno')
    if deno:
        path.insert(0, os.path.dirname(deno))
    env = {'PATH': ':'.join(path), 'LANG': 'C.UTF-8', 'HOME': os.path.expanduser('~')}
    for k in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS'):
        if k in os.environ:
            env[k] = os.environ[k]
    env.update(more)
    return env


def installed(where, user):
    """Programs, executors and deno where any user may read them."""
    build = os.path.join(where, 'build')
    if not os.path.isdir(build):
        os.makedirs(build)
        for name in ('at-rund', 'at-rund-scheduler', 'at-rund.fcgi', 'at-rund-gate'):
            shutil.copy2(os.path.join(BUILD, name), build)
        shutil.copytree(os.path.join(ROOT, 'backends', 'runtimes'), os.path.join(where, 'backends', 'runtimes'))
        shutil.copytree(os.path.join(ROOT, 'contrib', 'web'), os.path.join(where, 'contrib', 'web'))
        deno = shutil.which('deno', path=clean_env()['PATH'])
        if deno:
            deno = os.path.realpath(deno)
            try:
                os.link(deno, os.path.join(build, 'deno'))
            except OSError:
                shutil.copy2(deno, os.path.join(build, 'deno'))
    give(where, user)
    return build


class Runner:
    """A home, its config, and `at-rund serve` in it."""

    def __init__(self, where, config='', sections=None, name='home', dev=True, port=None, bundles=None, did=None,
                 handle=None, user=None):
        """user: who runs it all when the tests run as root; then on copies of the programs that it may read."""
        self.where = where
        self.user = user if os.geteuid() == 0 else None
        self.build = installed(where, self.user) if self.user else BUILD
        self.home = os.path.join(where, name)
        self.dev, self.bundles = dev, bundles
        self.port = free_port() if port is None else port
        self.url = 'http://127.0.0.1:%d' % self.port
        self.log = os.path.join(where, name + '.log')
        self.env = clean_env(AT_RUND_HOME=self.home, HOME=where)
        if self.user:
            self.env['PATH'] = self.build + ':/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
        self.p = None
        self.conf_top = {'did': did or 'did:plc:' + 'a' * 24, 'handle': handle or 'runner.test', 'port': str(self.port)}
        self.conf = {'web': {'listen_mode': '0666'}}
        for section, keys in (sections or {}).items():
            self.conf.setdefault(section, {}).update(keys)
        self.config_tail = config

    @property
    def socket(self):
        return self.conf['web'].get('listen') or os.path.join(self.home, 'run', 'fcgi.sock')

    def init(self):
        """at-rund init, then our config over the one it wrote, with the runtimes it found."""
        r = self.cli('init')
        check(r.returncode == 0, 'at-rund init:', r.stderr or r.stdout)
        written = os.path.join(self.home, 'config.ini')
        runtimes, inside = {}, False
        with open(written) as f:
            for line in f:
                if line.lstrip().startswith('['):
                    inside = line.strip() == '[runtimes]'
                elif inside and '=' in line and line.lstrip()[0] not in ';#':
                    k, v = line.split('=', 1)
                    runtimes[k.strip()] = v.split(';')[0].strip()
        self.conf.setdefault('runtimes', {k: v for k, v in runtimes.items()})
        self.write()
        return self

    def write(self):
        lines = ['%s = %s' % kv for kv in self.conf_top.items()]
        for section, keys in self.conf.items():
            lines.append('[%s]' % section)
            for k, v in keys.items():
                if isinstance(v, (list, tuple)):
                    v = '[' + ', '.join('"%s"' % x for x in v) + ']'
                lines.append('%s = %s' % (k, v))
        with open(os.path.join(self.home, 'config.ini'), 'w') as f:
            f.write('\n'.join(lines) + '\n' + self.config_tail + '\n')

    def start(self, wait=True, extra=()):
        argv = [os.path.join(self.build, 'at-rund'), 'serve']
        if self.dev:
            argv.append('--dev')
        if self.bundles:
            argv += ['--bundles', self.bundles]
        self.p = Process(argv + list(extra), self.log, env=self.env, cwd=self.where, user=self.user)
        if wait:
            self.p.ready(self.is_ready, 'at-rund serve', 30)
        return self

    def is_ready(self):
        return call(self.url + self.base + '/ready', timeout=5).status == 200

    @property
    def base(self):
        return self.conf['web'].get('base_path', '')

    def stop(self, seconds=40.0):
        rc = self.p.stop(seconds=seconds) if self.p else None
        self.p = None
        return rc

    def cli(self, *args, timeout=60.0, env=None, stdin=''):
        who = {'user': self.user, 'group': self.user, 'extra_groups': []} if self.user else {}
        return subprocess.run([os.path.join(self.build, 'at-rund')] + list(args), env={**self.env, **(env or {})}, cwd=self.where,
                              input=stdin, capture_output=True, text=True, timeout=timeout * SLOW, **who)

    @property
    def db(self):
        return os.path.join(self.home, 'at-rund.db')

    def sql(self, query, *args):
        """Rows, read-only, as a person with sqlite3 would see them."""
        c = sqlite3.connect('file:%s?mode=ro' % self.db, uri=True, timeout=10)
        try:
            return c.execute(query, args).fetchall()
        finally:
            c.close()

    def tail(self, n=3000):
        try:
            with open(self.log, 'rb') as f:
                return f.read()[-n:].decode('utf-8', 'replace')
        except OSError:
            return ''


# ---- web servers -----------------------------------------------------------------------------------------------

def program(*names):
    for n in names:
        p = shutil.which(n, path='/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin')
        if p:
            return p
    raise Skipped('%s is not installed' % names[0])


class Web:
    """A web server with a directory of its own, in front of a FastCGI socket (or starting the program itself)."""

    def __init__(self, kind, where, runner):
        self.kind, self.runner = kind, runner
        self.dir = tempfile.mkdtemp(prefix='web-%s-' % kind, dir=where)
        os.chmod(self.dir, 0o755)
        for d in ('', 'logs', 'www', 'tmp'):
            os.makedirs(os.path.join(self.dir, d), exist_ok=True)
        self.port = free_port()
        self.root = 'http://127.0.0.1:%d' % self.port
        self.url = self.root + runner.base
        self.p = None

    def snippet(self, name=None):
        """Exactly what `at-rund web-config` prints for this runner."""
        r = self.runner.cli('web-config', name or self.kind, env={'AT_RUND_WEB_PUBLIC_URL': self.root})
        check(r.returncode == 0 and not r.stderr, 'web-config', self.kind, r.stderr)
        return r.stdout

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def put(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)
        return self.path(name)

    def launch(self, argv, env=None, user=None):
        self.p = Process(argv, self.path('logs', 'out.log'), env=env or clean_env(HOME=self.dir), cwd=self.dir, user=user)
        # Apache listens before it has read its configuration to the end, so only an answer counts.
        self.p.ready(lambda: call(self.url + '/health', timeout=5).status, self.kind, 20)
        return self

    def stop(self):
        if self.p:
            self.p.stop(seconds=10)
            self.p = None


def lighttpd(where, runner):
    w = Web('lighttpd', where, runner)
    return w.launch([program('lighttpd'), '-D', '-f', w.put('lighttpd.conf', """
server.port = %d
server.bind = "127.0.0.1"
server.document-root = "%s"
server.errorlog = "%s"
server.pid-file = "%s"
server.upload-dirs = ( "%s" )
include "%s"
""" % (w.port, w.path('www'), w.path('logs', 'error.log'), w.path('pid'), w.path('tmp'),
       w.put('at-rund.conf', w.snippet())))])


def nginx(where, runner):
    w = Web('nginx', where, runner)
    w.put('at-rund.conf', w.snippet())
    for name in ('fastcgi_params', 'fastcgi.conf', 'mime.types'):
        if os.path.exists('/etc/nginx/' + name):
            os.symlink('/etc/nginx/' + name, w.path(name))
    return w.launch([program('nginx'), '-c', w.put('nginx.conf', """
daemon off;
%s
worker_processes 1;
pid %s;
error_log %s;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %s/body;
	proxy_temp_path %s/proxy;
	fastcgi_temp_path %s/fastcgi;
	uwsgi_temp_path %s/uwsgi;
	scgi_temp_path %s/scgi;
	server {
		listen 127.0.0.1:%d;
		root %s;
		include at-rund.conf;
	}
}
""" % ('user root;' if os.geteuid() == 0 else '', w.path('pid'), w.path('logs', 'error.log'), w.path('tmp'), w.path('tmp'),
       w.path('tmp'), w.path('tmp'), w.path('tmp'), w.port, w.path('www'))), '-e', w.path('logs', 'start.log')])


def caddy(where, runner):
    w = Web('caddy', where, runner)
    return w.launch([program('caddy'), 'run', '--adapter', 'caddyfile', '--config', w.put('Caddyfile', """
{
	admin off
	auto_https off
	default_bind 127.0.0.1
}
import %s
""" % w.put('at-rund.conf', w.snippet()))],
        env=clean_env(HOME=w.dir, XDG_DATA_HOME=w.path('tmp'), XDG_CONFIG_HOME=w.path('tmp')))


MODULES = '/usr/lib/apache2/modules'


def apache_preamble(w, modules):
    for m in modules:
        if not os.path.exists('%s/mod_%s.so' % (MODULES, m)):
            raise Skipped('apache has no mod_%s here' % m)
    return """
ServerRoot "%s"
ServerName localhost
Listen 127.0.0.1:%d
PidFile "%s"
ErrorLog "%s"
LogLevel warn
DefaultRuntimeDir "%s"
Mutex file:%s
DocumentRoot "%s"
Timeout 120
StartServers 1
<Directory />
	AllowOverride None
</Directory>
""" % (w.dir, w.port, w.path('pid'), w.path('logs', 'error.log'), w.path('tmp'), w.path('tmp'), w.path('www')) + ''.join(
        'LoadModule %s_module %s/mod_%s.so\n' % (m, MODULES, m) for m in modules) + (
        'TypesConfig /dev/null\n' if 'mime' in modules else '')


def start_apache(w, text, user=None):
    """user: who runs it when the tests run as root; without, Apache itself becomes www-data."""
    if os.geteuid() == 0 and not user:
        text = 'User www-data\nGroup www-data\n' + text
    return w.launch([program('apache2'), '-D', 'FOREGROUND', '-f', w.put('apache.conf', text)], user=user)


def apache(where, runner):
    """mod_proxy_fcgi."""
    w = Web('apache', where, runner)
    return start_apache(w, apache_preamble(w, ['mpm_event', 'authz_core', 'proxy', 'proxy_fcgi']) + w.snippet())


def shared_host(kind, where, runner, modules):
    """An Apache as a shared host has it: the server's own config loads modules and allows .htaccess; the snippet lies
    in the directory of the URL."""
    w = Web(kind, where, runner)
    site = w.path('www' + runner.base)
    os.makedirs(site, exist_ok=True)
    text = w.snippet()
    with open(os.path.join(site, '.htaccess'), 'w') as f:
        f.write(text)
    return w, site, text, apache_preamble(w, ['mpm_event', 'authz_core', 'mime', 'rewrite'] + modules) + """
<Directory "%s">
	AllowOverride All
	Require all granted
</Directory>
""" % w.path('www')


def starter(path, text):
    """The two lines that the comment of a snippet shows."""
    lines = re.findall(r'^#     (#!/bin/sh|exec .*)$', text, re.M)
    check(len(lines) == 2, text)
    with open(path, 'w') as f:
        f.write('\n'.join(lines) + '\n')
    os.chmod(path, 0o755)


def htaccess_proxy(where, runner):
    """The program runs already, mod_proxy_fcgi speaks to it."""
    w, _, _, text = shared_host('htaccess', where, runner, ['proxy', 'proxy_fcgi'])
    return start_apache(w, text)


def htaccess_fcgid(where, runner):
    """mod_fcgid starts the program.  Everything runs as the runner's user, as suexec would have it."""
    w, site, snippet, text = shared_host('htaccess-fcgid', where, runner, ['fcgid'])
    text += 'FcgidIPCDir "%s"\nFcgidProcessTableFile "%s"\nFcgidMaxRequestLen 16777216\n' % (
        w.path('tmp', 'ipc'), w.path('tmp', 'shm'))
    text += 'FcgidInitialEnv AT_RUND_DEV 1\n' if runner.dev else ''
    os.makedirs(w.path('tmp', 'ipc'))
    starter(os.path.join(site, 'at.fcgi'), snippet)
    give(w.dir, runner.user)
    return start_apache(w, text, runner.user)


def htaccess_cgi(where, runner):
    """Plain CGI from a directory of the user's."""
    w, site, snippet, text = shared_host('htaccess-cgi', where, runner, ['env', 'cgid'])
    text += 'ScriptSock "%s"\n' % w.path('tmp', 'cgid.sock') + ('SetEnv AT_RUND_DEV 1\n' if runner.dev else '')
    starter(os.path.join(site, 'at.cgi'), snippet)
    give(w.dir, runner.user)
    return start_apache(w, text, runner.user)


def apache_cgi(where, runner):
    """Plain CGI: a process a request."""
    w = Web('cgi', where, runner)
    text = apache_preamble(w, ['mpm_event', 'authz_core', 'env', 'alias', 'cgid']) + 'ScriptSock "%s"\n' % w.path(
        'tmp', 'cgid.sock') + ('SetEnv AT_RUND_DEV 1\n' if runner.dev else '') + w.snippet()
    give(w.dir, runner.user)
    return start_apache(w, text, runner.user)


def give(path, user):
    if os.geteuid() != 0 or not user:
        return
    import pwd
    p = pwd.getpwnam(user)
    for top, dirs, files in os.walk(path):
        os.chown(top, p.pw_uid, p.pw_gid)
        for f in files:
            os.lchown(os.path.join(top, f), p.pw_uid, p.pw_gid)


# ---- hostile or odd servers ------------------------------------------------------------------------------------

class Serve:
    """A small HTTP server of our own: handler(method, path, headers, body, send) in a thread for each connection.
    send(status, headers, body) answers; send.raw(bytes) writes as it is."""

    def __init__(self, handler):
        self.handler = handler
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.bind(('127.0.0.1', 0))
        self.s.listen(64)
        self.port = self.s.getsockname()[1]
        self.url = 'http://localhost:%d' % self.port
        self.seen = []
        self.closing = threading.Event()
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(c,), daemon=True).start()

    def _one(self, c):
        with contextlib.suppress(OSError), c:
            c.settimeout(60)
            got = b''
            while b'\r\n\r\n' not in got:
                piece = c.recv(65536)
                if not piece:
                    return
                got += piece
            head, _, body = got.partition(b'\r\n\r\n')
            lines = head.decode('latin-1').split('\r\n')
            method, path, _ = lines[0].split(' ', 2)
            headers = {k.strip().lower(): v.strip() for k, v in (x.split(':', 1) for x in lines[1:] if ':' in x)}
            while len(body) < int(headers.get('content-length', 0)):
                body += c.recv(65536)
            self.seen.append((method, path))

            def send(status, h=None, data=b''):
                if isinstance(data, (dict, list)):
                    data = json.dumps(data).encode()
                    h = dict(h or {}, **{'Content-Type': 'application/json'})
                out = ['HTTP/1.1 %d X' % status, 'Connection: close', 'Content-Length: %d' % len(data)]
                c.sendall('\r\n'.join(out + ['%s: %s' % kv for kv in (h or {}).items()]).encode() + b'\r\n\r\n' + data)
            send.raw = c.sendall
            self.handler(method, path, headers, body, send)

    def stop(self):
        self.closing.set()
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()


def word(n=8, seed=random.SystemRandom()):
    return ''.join(seed.choice(string.ascii_lowercase) for _ in range(n))
