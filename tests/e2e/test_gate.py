#!/usr/bin/env python3
"""
The way out of the walls (DESIGN 11): at-rund-gate inside bubblewrap, the egress process outside, and a world of the test's own.

How fast it is, tests/bench/part_gate.py says.
"""
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import BUILD, Cases, Process, check, clean_env, same, skip, until  # noqa: E402
from land import PUBLIC, Land, hits, why_not  # noqa: E402

GATE = os.path.join(BUILD, 'at-rund-gate')
SCHEDULER = os.path.join(BUILD, 'at-rund-scheduler')
PROBE = os.path.join(BUILD, 'tests', 'exits_probe')
MIB = 1 << 20
CONFIG = """
[egress]
resolver = 11.22.33.53
deny = ["denied.test", "*.bad.wild.test"]
connections = 6
connect_timeout = 3s
idle = 5s
total = 1m
"""


class Way(Land):
    """The land, and in it the egress process."""

    def __init__(self):
        super().__init__()
        self.n = 0
        self.events = queue.Queue()
        self.lines = []

    def start(self):
        super().start()
        self.config = os.path.join(self.dir, 'config.ini')
        with open(self.config, 'w') as f:
            f.write(CONFIG)
        self.probe = Process(['ip', 'netns', 'exec', self.host, PROBE, SCHEDULER, self.dir, self.config],
                             os.path.join(self.dir, 'probe.log'), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env())
        self.procs.append(self.probe.p)
        threading.Thread(target=self.listen, daemon=True).start()
        with open(os.path.join(self.dir, 'inside.conf'), 'w') as f:
            f.write('nameserver 127.0.0.1\noptions timeout:5\n')
        with open(os.path.join(self.dir, 'nsswitch.conf'), 'w') as f:
            f.write('passwd: files\ngroup: files\nhosts: files dns\n')

    def listen(self):
        for line in self.probe.p.stdout:
            self.events.put(json.loads(line))

    # --- the egress process

    def say(self, *words):
        self.probe.p.stdin.write((' '.join(str(w) for w in words) + '\n').encode())
        self.probe.p.stdin.flush()

    def event(self, fits, what, seconds=15):
        end = time.monotonic() + seconds
        for e in list(self.lines):
            if fits(e):
                self.lines.remove(e)
                return e
        while time.monotonic() < end:
            try:
                e = self.events.get(timeout=0.2)
            except queue.Empty:
                check(self.probe.alive(), self.probe.tail())
                continue
            if fits(e):
                return e
            self.lines.append(e)
        check(False, 'no', what, 'but', self.lines[-5:], self.probe.tail(600))

    def instance(self, *rules, size=1 << 40, bind=True):
        self.n += 1
        n, path = self.n, self.socket(self.n)
        os.mkdir(os.path.dirname(path))
        self.say('add', n, os.path.dirname(path))
        if bind:
            self.bind(n, *rules, size=size)
        else:
            until(lambda: os.path.exists(path), 'the socket')
        return n

    def socket(self, n):
        return os.path.join(self.dir, 'i%d' % n, 'out')

    def bind(self, n, *rules, size=1 << 40):
        self.say('allow', n, 'at://did:plc:x/hello', size, *rules)
        self.event(lambda e: e['event'] == 'ready' and e['instance'] == n, 'ready')
        self.say('job', n, 'job%d' % n)

    def line(self, n, what='a line', **wanted):
        return self.event(lambda e: e['event'] == 'connection' and e['instance'] == n and
                          all(e.get(k) == v for k, v in wanted.items()), (what, wanted))

    def hits(self, who='world'):
        return hits(self.dir, who)

    # --- inside

    def argv(self, n, *command, gate=(), caps=('CAP_NET_BIND_SERVICE',), more=()):
        a = ['ip', 'netns', 'exec', self.host, 'bwrap', '--unshare-all', '--die-with-parent', '--as-pid-1', '--ro-bind', '/', '/',
             '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/run', '--ro-bind', GATE, '/run/gate',
             '--bind', self.socket(n), '/run/egress.sock', '--cap-drop', 'ALL']
        for name, inside in (('inside.conf', 'resolv.conf'), ('nsswitch.conf', 'nsswitch.conf')):
            a += ['--ro-bind', os.path.join(self.dir, name), os.path.realpath('/etc/' + inside)]
        for c in caps:
            a += ['--cap-add', c]
        return a + list(more) + ['/run/gate', '--socket', '/run/egress.sock', *gate, '--', *command]

    def run(self, n, *command, timeout=60, **how):
        env = dict(clean_env(), HOME='/tmp', DENO_NO_UPDATE_CHECK='1', DENO_DIR='/tmp/deno')
        return subprocess.run(self.argv(n, *command, **how), capture_output=True, text=True, timeout=timeout, env=env)

    def python(self, n, code, **how):
        """The last expression's value, as JSON."""
        p = self.run(n, '/usr/bin/python3', '-c', 'import socket, sys, json, time, os\n' + code, **how)
        check(p.returncode == 0, p.returncode, p.stdout[-500:], p.stderr[-1500:])
        return json.loads(p.stdout.splitlines()[-1]), p.stderr


TRY = """
def attempt(host, port, send=b'GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n'):
    try:
        s = socket.create_connection((host, port), timeout=20)
        s.sendall(send)
        data = b''
        while (part := s.recv(65536)):
            data += part
        return 'open ' + data.partition(b'\\r\\n\\r\\n')[2].decode() if data else 'empty'
    except socket.gaierror as e:
        return 'noname'
    except OSError as e:
        return type(e).__name__ + ' ' + str(e.errno)
"""


def attempts(land, n, *targets, **how):
    got, err = land.python(n, TRY + 'print(json.dumps([attempt(h, p) for h, p in %r]))' % (list(targets),), **how)
    return got, err


# ---- clients ---------------------------------------------------------------------------------------------------

def clients(land, name):
    n = land.instance('public.test:80', 'public.test')
    url = 'http://public.test/'
    js = ("const a = await fetch('%s'); const b = await fetch('http://public.test:443/');"
          "const c = await fetch('http://other.test/').catch(e => ({json: () => 'refused'}));"
          "console.log(JSON.stringify([await a.json(), await b.json(), await c.json()]))" % url)
    if name == 'python':
        got, err = land.python(n, """
import urllib.request
get = lambda u: json.load(urllib.request.urlopen(u, timeout=20))
out = [get('%s'), get('http://public.test:443/')]
try: out.append(get('http://other.test/'))
except OSError: out.append('refused')
print(json.dumps(out))""" % url)
    else:
        program = shutil.which(name, path=clean_env()['PATH'])
        if not program:
            skip(name + ' is not here')
        if name == 'curl':
            p = land.run(n, 'sh', '-c', 'curl -sS %s; echo; curl -sS http://public.test:443/; echo; curl -sS http://other.test/ || echo \'"refused"\'' % url)
            got, err = [json.loads(x) for x in p.stdout.splitlines() if x], p.stderr
        else:
            program = os.path.realpath(program)
            argv = [program, '--input-type=module', '-e', js] if name == 'node' else ['/run/deno', 'eval', '--no-config', js]
            p = land.run(n, *argv, more=() if name == 'node' else ('--ro-bind', program, '/run/deno'))
            check(p.returncode == 0, p.stdout, p.stderr[-1500:])
            got, err = json.loads(p.stdout.splitlines()[-1]), p.stderr
    same([x if x == 'refused' else (x['to'], x['port']) for x in got], [(PUBLIC, 80), (PUBLIC, 443), 'refused'], name)
    check('other.test is not in permissions.net' in err, err)
    one = land.line(n, port=80)
    same((one['verdict'], one['job'], one['host'], one['address'], one['bundle']),
         ('open', 'job%d' % n, 'public.test', PUBLIC, 'at://did:plc:x/hello'), one)
    check(one['sent'] > 30 and one['received'] > 100 and one['end'] in ('closed', 'broken', 'egress.idle'), one)
    same(land.line(n, port=443)['verdict'], 'open')


# ---- doors -----------------------------------------------------------------------------------------------------

def unlisted(land):
    n = land.instance('public.test:80', 'host.wild.test')
    before = land.hits()
    got, err = attempts(land, n, ('other.test', 80), ('other.test.', 80), ('ublic.test', 80), ('xpublic.test', 80),
                        ('sub.public.test', 80), ('wild.test', 443), ('localhost.public.test', 80), ('test', 80))
    same(got, ['noname'] * 8)
    check('other.test is not in permissions.net' in err, err)
    got, err = attempts(land, n, ('public.test', 443), ('public.test', 8080), ('public.test', 9999), ('host.wild.test', 80))
    check(got[0].startswith(('ConnectionReset', 'empty', 'BrokenPipe')), got)
    check('public.test:443 is refused: public.test:443 is not in the bundle\'s permissions.net' in err, err)
    same(land.line(n, port=443, host='public.test')['verdict'], 'not-listed')
    same(got[1:3], ['ConnectionRefusedError 111'] * 2)
    check(got[3].startswith(('ConnectionReset', 'empty', 'BrokenPipe')), got)
    same(land.hits(), before, 'nobody was reached')


def dots_and_case(land):
    n = land.instance('public.test:80', 'private.test:80')
    got, _ = attempts(land, n, ('public.test.', 80), ('PUBLIC.Test', 80), ('private.test.', 80))
    check(got[0].startswith('open') and got[1].startswith('open'), got)
    check(not got[2].startswith('open'), got)
    same([land.line(n, host='public.test')['verdict'] for _ in range(2)], ['open', 'open'])
    same(land.line(n, host='private.test')['verdict'], 'private')


def inward(land):
    """Names that are allowed and lead inward, in every disguise."""
    names = ['private', 'meta', 'loop', 'zero', 'mixed', 'mapped', 'mapped-loop', 'mixed6', 'nat64', 'own', 'inward']
    n = land.instance(*['%s.test:80' % x for x in names])
    before, own = land.hits(), land.hits('own')
    got, err = attempts(land, n, *[('%s.test' % x, 80) for x in names])
    for x, g in zip(names, got):
        check(not g.startswith('open'), x, g)
        line = land.line(n, host='%s.test' % x)
        same((line['verdict'], line['end']), ('private', 'refused'), x)
        check('%s.test:80 is refused' % x in err and line['why'] in err, x, err)
    check("own.test has the address 11.22.33.1, which is the runner's own" in err, err)
    check('meta.test has the address 169.254.169.254, which is private or special' in err, err)
    same((land.hits(), land.hits('own')), (before, own), 'nobody was reached')


def rebinding(land):
    n = land.instance('rebind.test:80')
    before = len(land.hits())
    got, _ = attempts(land, n, *[('rebind.test', 80)] * 8)
    same([g.startswith('open') for g in got], [True, False] * 4)
    same({h[0] for h in land.hits()[before:]}, {PUBLIC}, 'who was reached')
    lines = [land.line(n) for _ in range(8)]
    same(sorted({(x['verdict'], x['address']) for x in lines}), [('open', PUBLIC), ('private', '10.9.0.2')])


def resolver_lies(land):
    n = land.instance('liar.test:80', 'torn.test:80', 'none.test:80', 'circle.test:80', 'gone.test:80', 'alias.test:80', 'two.test:80')
    got, err = attempts(land, n, *[(x + '.test', 80) for x in ('liar', 'torn', 'none', 'circle', 'gone', 'alias', 'two')])
    same([g.startswith('open') for g in got], [False] * 5 + [True, True], got)
    same([land.line(n, host=x + '.test')['verdict'] for x in ('torn', 'none', 'circle', 'gone', 'alias', 'two')],
         ['unresolved', 'unresolved', 'unresolved', 'unreachable', 'open', 'open'])
    same(land.line(n, host='liar.test')['verdict'], 'unresolved')
    check('liar.test' in err and 'egress.connect_timeout' in err or 'does not answer' in err, err)


def literals(land):
    n = land.instance('public.test:80')
    own = land.hits('own')
    got, _ = attempts(land, n, (PUBLIC, 80), ('10.9.0.2', 80), ('169.254.169.254', 80), ('185273100', 80), ('0xb16212c', 80), ('11.22.8492', 80),
                      ('::ffff:11.22.33.44', 80), ('::ffff:10.9.0.2', 80), ('2606:4700:ffff::44', 80), ('11.22.33.1', 80))
    for g in got:
        check(g in ('OSError 101', 'OSError 99', 'noname', 'ConnectionRefusedError 111'), got)
    got, _ = attempts(land, n, ('127.0.0.1', 80), ('127.64.0.9', 80), ('127.1', 443), ('::1', 80), ('localhost', 80))
    check(not any(g.startswith('open') for g in got), got)
    same(land.hits('own'), own, "the host's own services")
    # Listed literally they are reached, where the wall lets the gate own them, and judged like any other.
    n = land.instance(PUBLIC + ':80', '10.9.0.2:80', '[2606:4700:ffff::44]:80')
    got, err = attempts(land, n, (PUBLIC, 80), ('10.9.0.2', 80), ('2606:4700:ffff::44', 80), (PUBLIC, 443),
                        caps=('CAP_NET_BIND_SERVICE', 'CAP_NET_ADMIN'))
    check(got[0].startswith('open') and got[2].startswith('open') and not got[1].startswith('open') and
          not got[3].startswith('open'), got, err)
    same([land.line(n, host=h, port=80)['verdict'] for h in (PUBLIC, '10.9.0.2', '2606:4700:ffff::44')], ['open', 'private', 'open'])
    same(land.line(n, host=PUBLIC, port=443)['verdict'], 'not-listed')


SAY = """
def head(host, port, kind=b'C', version=1):
    host = host if isinstance(host, bytes) else host.encode()
    return kind + bytes([version]) + port.to_bytes(2, 'big') + bytes([len(host)]) + host
def out(data):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/run/egress.sock')
    s.sendall(data)
    r = s.recv(2)
    return r[0] if r else -1
"""


def forged(land):
    """Whoever speaks to the socket without the gate gets no further."""
    n = land.instance('public.test:80', '*.wild.test:80')
    before, own = land.hits(), land.hits('own')
    cases = [('public.test', 443, 2), ('other.test', 80, 2), ('10.9.0.2', 80, 2), (PUBLIC, 80, 2), ('::ffff:10.9.0.2', 80, 1),
             ('2130706433', 80, 1), ('0x7f.1', 80, 1), ('0x7f000001', 80, 1), ('127.1', 80, 1), ('017700000001', 80, 1), ('127.0.0.1', 80, 2),
             ('[::1]', 80, 2), ('::1', 80, 2), ('fe80::1%wire', 80, 1), ('public.test@10.9.0.2', 80, 1), ('public.test:80', 80, 1),
             ('public.test..', 80, 1), ('.public.test', 80, 1), ('public.test\\0.evil', 80, 1), ('public.test/', 80, 1), (' public.test', 80, 1),
             ('public.test', 0, 1), ('pub\\u013flic.test', 80, 1), ('xn--pblic-kva.test', 80, 2), ('*.wild.test', 80, 1), ('wild.test', 80, 2),
             ('a' * 64 + '.wild.test', 80, 1), ('a.' * 122 + 'wild.test', 80, 0), ('bad.wild.test', 80, 0), ('x.bad.wild.test', 80, 3),
             ('PUBLIC.TEST.', 80, 0), ('a_b.wild.test', 80, 1), ('-a.wild.test', 80, 1)]
    got, _ = land.python(n, SAY + 'print(json.dumps([out(head(h, p)) for h, p, _ in %r]))' % cases)
    for case, g in zip(cases, got):
        same(g, case[2], case)
    raw = [b'', b'X', b'C', b'C\x02', b'C\x01\0\x50\0', b'P\x01\0\0\x04abcd', b'GET / HTTP/1.1\r\n\r\n', b'\0' * 300, b'CONNECT public.test:80 HTTP/1.1\r\n\r\n']
    got, _ = land.python(n, SAY + """
def raw(data):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/run/egress.sock')
    try: s.sendall(data)
    except OSError: pass
    s.shutdown(1)
    try: r = s.recv(2)
    except OSError: return -2
    return r[0] if r else -1
print(json.dumps([raw(d) for d in %r]))""" % raw)
    check(all(g in (-2, -1, 1) for g in got), got)
    # A socket is taken from nobody but the gate: who keeps a copy could make it block.
    got, _ = land.python(n, SAY + """
import socket
def give(*fds):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/run/egress.sock')
    socket.send_fds(s, [head('public.test', 80)], fds)
    try: r = s.recv(2)
    except OSError: return -2
    return r[0] if r else -1
listening = socket.create_server(('127.0.0.1', 0))
tcp = socket.create_connection(listening.getsockname())
print(json.dumps([give(tcp.fileno()), give(os.open('/dev/zero', os.O_RDONLY)), give(socket.socketpair()[0].fileno()),
                  give(tcp.fileno(), tcp.fileno())]))""")
    same(got, [1, 1, 1, 1], 'a socket of the bundle')
    same({h[0] for h in land.hits()[len(before):]} - {PUBLIC}, set())
    same(land.hits('own'), own)


def operator_says(land):
    n = land.instance('denied.test:80', 'public.test:80', '*.wild.test:80', '*:80')
    got, err = attempts(land, n, ('denied.test', 80), ('public.test', 80), ('x.bad.wild.test', 80), ('a.b.wild.test', 80), ('other.test', 80))
    same([g.startswith('open') for g in got], [False, True, False, True, True])
    check("denied.test:80 is refused: the operator's egress.deny forbids denied.test:80" in err, err)
    same(land.line(n, host='denied.test')['verdict'], 'operator')


def wildcards(land):
    n = land.instance('*.wild.test:80')
    got, _ = attempts(land, n, *[('n%d.wild.test' % i, 80) for i in range(40)], ('wild.test', 80))
    check(all(g.startswith('open') for g in got[:40]), got)
    same(got[40], 'noname')
    seen, _ = land.python(n, "print(json.dumps([socket.gethostbyname('%s.wild.test' % x) for x in ('a', 'b', 'a', 'A')]))")
    same(seen, ['127.64.0.1', '127.64.0.2', '127.64.0.1', '127.64.0.1'])


def dns(land):
    """Questions of all kinds, by hand."""
    n = land.instance('public.test:80')
    got, _ = land.python(n, r"""
import struct
def q(name, kind=1, klass=1, tail=b'', flags=0x0100, counts=(1, 0, 0, 0)):
    return struct.pack('>HHHHHH', 77, flags, *counts) + b''.join(bytes([len(p)]) + p for p in name.split(b'.')) + b'\0' + struct.pack('>HH', kind, klass) + tail
def udp(data):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3); s.sendto(data, ('127.0.0.1', 53))
    try: r = s.recv(4096)
    except OSError: return None
    return [r[3] & 15, r[7], r[0] << 8 | r[1]]
opt = b'\0\0\x29\x10\0\0\0\0\0\0\0'
out = [udp(q(b'public.test')), udp(q(b'PuBlIc.TeSt')), udp(q(b'public.test', 28)), udp(q(b'public.test', 65)), udp(q(b'other.test')), udp(q(b'other.test', 28)),
       udp(q(b'public.test', tail=opt, counts=(1, 0, 0, 1))), udp(q(b'public.test', tail=opt + b'x', counts=(1, 0, 0, 1))), udp(q(b'public.test', tail=b'x')),
       udp(q(b'public.test', counts=(2, 0, 0, 0))), udp(q(b'public.test', counts=(0, 0, 0, 0))), udp(q(b'public.test', flags=0x2900)), udp(q(b'public.test', flags=0x8100)),
       udp(b'short'), udp(q(b'public.test')[:-1]), udp(q(b'public.test', klass=3)), udp(struct.pack('>HHHHHH', 77, 256, 1, 0, 0, 0) + b'\xc0\x0c\0\1\0\1'), udp(q(b'public.test') + b'\0' * 3000)]
s = socket.create_connection(('127.0.0.1', 53), timeout=5)
f = s.makefile('rb')
for name in (b'public.test', b'other.test'):
    m = q(name)
    s.sendall(struct.pack('>H', len(m))); s.sendall(m[:5]); s.sendall(m[5:])
    r = f.read(struct.unpack('>H', f.read(2))[0])
    out.append([r[3] & 15, r[7], r[0] << 8 | r[1]])
s.sendall(b'\xff\xff' + b'x' * 100)
try: out.append(len(s.recv(10)))
except ConnectionResetError: out.append(0)
idle = [socket.create_connection(('127.0.0.1', 53)) for _ in range(60)]
out.append(udp(q(b'public.test')))
print(json.dumps(out))""")
    fine, empty, none, form = [0, 1, 77], [0, 0, 77], [3, 0, 77], [1, 0, 77]
    same(got, [fine, fine, empty, empty, none, none, fine, form, form, form, form, [4, 0, 77], None, None, form, none, form, None, fine, none, 0, fine])


# ---- limits ----------------------------------------------------------------------------------------------------

def bytes_run_out(land):
    n = land.instance('public.test:80', size=3 * MIB)
    code = """
import urllib.request
def get(path):
    try: return len(urllib.request.urlopen('http://public.test' + path, timeout=20).read())
    except Exception as e: return type(e).__name__
print(json.dumps([get('/big?n=2000000'), get('/big?n=20000000'), get('/')]))"""
    got, err = land.python(n, code)
    same(got[0], 2000000)
    check(isinstance(got[1], str) and isinstance(got[2], str), got)
    over = land.event(lambda e: e['event'] == 'over' and e['instance'] == n, 'over')
    same((over['job'], over['why']), ('job%d' % n, 'the job sent or received more than limits.egress = 3M over the network'))
    cut = land.line(n, end='limits.egress')
    check(MIB < cut['received'] <= 3 * MIB - 2000000 + 1, cut)
    same(land.line(n, verdict='spent')['end'], 'refused')
    check('the job has used up its 3145728 bytes (limits.egress)' in err, err)
    land.say('job', n, 'next')
    got, _ = land.python(n, code.replace('20000000', '10'))
    same(got[0], 2000000)
    check(land.line(n, job='next', verdict='open'), 'a new job has new bytes')
    up, _ = land.python(n, TRY + "print(json.dumps(attempt('public.test', 80, b'POST /sink HTTP/1.0\\r\\nContent-Length: 9000000\\r\\n\\r\\n' + b'x' * 9000000)))")
    check(not up.startswith('open'), up)
    check(land.line(n, end='limits.egress')['sent'] > 2 * MIB, 'sent bytes count too')


def too_many(land):
    n = land.instance('public.test:80')
    got, err = land.python(n, TRY + """
held = []
for i in range(6):
    s = socket.create_connection(('public.test', 80)); s.sendall(b'GET /hold HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); s.recv(10); held.append(s)
over = attempt('public.test', 80)
import threading
queued = []
waiter = threading.Thread(target=lambda: queued.append(attempt('public.test', 80))); waiter.start()
for s in held: s.close()
waiter.join()
again = queued[0]
print(json.dumps([over, again]))""")
    check(not got[0].startswith('open') and got[1].startswith('open'), got)
    check('more than 6 connections at once for 3000 ms (egress.connections)' in err, err)
    same(land.line(n, verdict='busy')['host'], 'public.test')


def idle(land):
    n = land.instance('public.test:80')
    got, _ = land.python(n, """
s = socket.create_connection(('public.test', 80)); s.sendall(b'GET /hold HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
began = time.monotonic(); data = b''
try:
    while (part := s.recv(1000)): data += part
    how = 'end'
except OSError as e: how = type(e).__name__
print(json.dumps([how, time.monotonic() - began]))""")
    check(got[0] != 'open' and 4.9 < got[1] < 10, got)
    same(land.line(n, end='egress.idle')['verdict'], 'open')


def a_flood(land):
    """Thousands of connections to nowhere: taken at a bounded rate, and another instance does not notice."""
    n, other = land.instance('public.test:80'), land.instance('public.test:80')
    got, _ = land.python(n, SAY + """
began, i = time.monotonic(), 0
while time.monotonic() < began + 2:
    try: out(head('private.test', 80)); i += 1
    except OSError: pass
print(json.dumps(i))""")
    check(got <= 400 + 2.5 * 200, got)
    again, _ = attempts(land, other, ('public.test', 80))
    check(again[0].startswith('open'), again)


# ---- carrying --------------------------------------------------------------------------------------------------

def half_close(land):
    n = land.instance('public.test:7')
    got, _ = land.python(n, """
s = socket.create_connection(('public.test', 7)); s.settimeout(20)
s.sendall(b'x' * 5000000); s.shutdown(socket.SHUT_WR)
data = b''
while (part := s.recv(1000)): data += part
print(json.dumps(data.decode()))""")
    same(got, '5000000')
    line = land.line(n)
    same((line['sent'], line['received'], line['end']), (5000000, 7, 'closed'))


def back_pressure(land):
    """Whoever does not read is not sent to: the far side waits, and nothing is kept in our memory."""
    n = land.instance('public.test:80')
    got, _ = land.python(n, """
s = socket.create_connection(('public.test', 80)); s.settimeout(30)
s.sendall(b'GET /big?n=200000000 HTTP/1.0\\r\\n\\r\\n')
s.recv(1000)
def rss(pid): return int([l for l in open('/proc/%s/status' % pid) if l.startswith('VmRSS')][0].split()[1])
before = time.monotonic()
while time.monotonic() < before + 0.5: os.getloadavg()
gate = rss(1)
n = 0
while (part := s.recv(1 << 20)): n += len(part)
print(json.dumps([n, gate]))""")
    check(199999000 < got[0] <= 200000100 and got[1] < 8000, got)
    same(land.line(n)['end'], 'closed')


def many(land):
    n = land.instance('public.test:80', size=1 << 40)
    got, _ = land.python(n, """
import concurrent.futures, hashlib, urllib.request
def one(i): return len(urllib.request.urlopen('http://public.test/big?n=%d' % (i * 10007), timeout=30).read())
with concurrent.futures.ThreadPoolExecutor(5) as p: print(json.dumps(list(p.map(one, range(60)))))""")
    same(got, [i * 10007 for i in range(60)])


# ---- the life of an instance -----------------------------------------------------------------------------------

def blank(land):
    """A gate that began before its bundle was known learns the rules when it is bound, and never misses them."""
    n = land.instance(bind=False)
    land.say('allow', n, 'none', 0)
    land.event(lambda e: e['event'] == 'ready' and e['instance'] == n, 'ready')
    p = subprocess.Popen(land.argv(n, '/usr/bin/python3', '-uc', 'import socket, sys\n' + TRY + """
for line in sys.stdin: print(attempt(line.strip(), 80), flush=True)"""), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        def ask(name):
            p.stdin.write(name + '\n')
            p.stdin.flush()
            return p.stdout.readline()
        same(ask('public.test'), 'noname\n')
        land.bind(n, 'public.test:80')
        check(ask('public.test').startswith('open'), 'at once after ready')
        land.bind(n, 'other.test:80')
        check(ask('other.test').startswith('open'), 'and again')
        check(not ask('public.test').startswith('open'), 'what was allowed before is not any more')
        # The egress process dies: the next one takes over the sockets and the rules.
        old = egress_pid(land)
        os.kill(old, 9)
        until(lambda: egress_pid(land) not in (0, old), 'another egress process')
        until(lambda: ask('other.test').startswith('open'), 'the way out is open again')
        land.say('drop', n)
        until(lambda: not ask('other.test').startswith('open'), 'the way out is closed')
        check(not os.path.exists(land.socket(n)), 'the socket is gone')
    finally:
        p.kill()
        p.wait()


def egress_pid(land):
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % pid, 'rb') as f:
                words = f.read().split(b'\0')
        except OSError:
            continue
        if b'egress' in words and land.dir.encode() in words:
            return int(pid)
    return 0


def apart(land):
    """One instance's socket says nothing of another's rules."""
    a, b = land.instance('public.test:80'), land.instance('other.test:80')
    same([g.startswith('open') for g in attempts(land, a, ('public.test', 80), ('other.test', 80))[0]], [True, False])
    same([g.startswith('open') for g in attempts(land, b, ('public.test', 80), ('other.test', 80))[0]], [False, True])
    same(land.line(b)['host'], 'other.test')


def as_process_one(land):
    n = land.instance()
    p = land.run(n, 'sh', '-c', 'echo out; echo err >&2; exit 7')
    same((p.returncode, p.stdout, p.stderr), (7, 'out\n', 'err\n'))
    same(land.run(n, '/nonexistent').returncode, 127)
    same(land.run(n, 'sh', '-c', 'kill -9 $$').returncode, 137)
    got, _ = land.python(n, """
for _ in range(30):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
end = time.monotonic() + 10
def state(p):
    try: return open('/proc/%s/stat' % p).read().rpartition(')')[2].split()[0]
    except OSError: return 'gone'
zombies = lambda: [p for p in os.listdir('/proc') if p.isdigit() and state(p) == 'Z']
while zombies() and time.monotonic() < end: pass
status = dict(l.split(':\\t') for l in open('/proc/self/status').read().splitlines() if ':\\t' in l)
try: os.kill(1, 9)
except OSError: pass
print(json.dumps([zombies(), os.getppid(), status['CapEff'], status['CapPrm'], status['CapBnd'][-4:] , status['NoNewPrivs']]))""")
    same(got[:4] + got[5:], [[], 1, '0' * 16, '0' * 16, '1'], got)
    p = subprocess.Popen(land.argv(n, '/usr/bin/python3', '-c', """
import signal, time, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print('ready', flush=True)
signal.pause()"""), stdout=subprocess.PIPE, text=True)
    same(p.stdout.readline(), 'ready\n')
    inner = [int(x) for x in filter(str.isdigit, os.listdir('/proc')) if cmdline(x).startswith(b'/run/gate\0') and ('/i%d/out' % n) in mounts(x)]
    same(len(inner), 1)
    os.kill(inner[0], 15)
    same(p.wait(20), 42, 'SIGTERM is passed on')


def cmdline(pid):
    try:
        with open('/proc/%s/cmdline' % pid, 'rb') as f:
            return f.read()
    except OSError:
        return b''


def mounts(pid):
    try:
        with open('/proc/%s/mountinfo' % pid) as f:
            return f.read()
    except OSError:
        return ''


def no_rights_needed(land):
    """The same as an ordinary user: bubblewrap's own user namespace is enough."""
    n = land.instance('public.test:80')
    os.chmod(land.socket(n), 0o666)
    gate = os.path.join(land.dir, 'gate')
    shutil.copy2(GATE, gate)
    os.chmod(gate, 0o755)
    a = land.argv(n, '/usr/bin/python3', '-c', 'import socket, json\n' + TRY + "print(json.dumps([attempt('public.test', 80), attempt('other.test', 80)]))")
    a[a.index(GATE)] = gate
    i = a.index('bwrap')
    a[i:i + 1] = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'bwrap', '--uid', '0', '--gid', '0']
    p = subprocess.run(a, capture_output=True, text=True, timeout=60, env=clean_env())
    check(p.returncode == 0, p.stderr)
    got = json.loads(p.stdout)
    check(got[0].startswith('open') and got[1] == 'noname', got)


def fixed_rules(land):
    """--allow: the gate does not ask, the egress process judges all the same."""
    n = land.instance('public.test:80')
    got, _ = attempts(land, n, ('public.test', 80), ('other.test', 80), ('x.wild.test', 80), gate=('--allow', 'public.test:80,other.test:80'))
    same([g.split()[0] for g in got[:1]] + got[2:], ['open', 'noname'])
    check(not got[1].startswith('open'), got)
    same(land.line(n, host='other.test')['verdict'], 'not-listed')


def closed_in(land):
    """What the egress process could do if somebody took it over."""
    pid = egress_pid(land)
    with open('/proc/%d/status' % pid) as f:
        status = dict(x.split(':\t') for x in f.read().splitlines() if ':\t' in x)
    same(status['NoNewPrivs'], '1')
    fds = {os.readlink('/proc/%d/fd/%s' % (pid, x)) for x in os.listdir('/proc/%d/fd' % pid)}
    check(not any(x.startswith('/') and x != '/dev/null' and 'probe.log' not in x for x in fds), fds)
    with open('/proc/%d/limits' % pid) as f:
        limits = f.read()
    check('Max file size             0 ' in limits and 'Max core file size        0 ' in limits, limits)


def main():
    t = Cases()
    why = why_not() if shutil.which('bwrap') else 'bwrap is not here'
    if why is not None:
        t.run('gate', skip, why)
        t.end()
    with Way() as land:
        for name in ('python', 'curl', 'node', 'deno'):
            t.run('%s reaches what is allowed, unchanged' % name, clients, land, name)
        for name, fn in (('what is not listed does not exist', unlisted), ('a dot at the end and letter case change nothing', dots_and_case),
                         ('names that lead inward are refused', inward), ('a resolver that changes its answer', rebinding),
                         ('a resolver that lies', resolver_lies), ('address literals', literals),
                         ('heads forged at the socket', forged), ('the operator has the last word', operator_says),
                         ('wildcards', wildcards), ('DNS by hand', dns), ('bytes run out', bytes_run_out), ('too many connections', too_many),
                         ('an idle connection ends', idle), ('a flood of connections', a_flood), ('half of a connection ends', half_close), ('back-pressure', back_pressure),
                         ('many connections', many), ('a blank learns its rules; the egress process dies', blank),
                         ('instances are apart', apart), ('the first process', as_process_one), ('an ordinary user', no_rights_needed),
                         ('fixed rules', fixed_rules), ('the egress process is closed in', closed_in)):
            t.run(name, fn, land)
    t.end()


main()
