#!/usr/bin/env python3
"""
The contract of the walls: one suite of doors over every wall, one line a door and wall.

    tests/contract/contract.py [--wall none|sandbox|container] [--user NAME] [--engine podman|docker] [--runtime crun|runc|runsc] [WORD...]

Doors are tried by a program in C (inmate.c) and by bundles in Python and JavaScript (yard/), the latter behind node and deno.
Behind `none` the suite says which doors stand open and fails only when the runner suffers; behind every other wall an open
door is a failure.  All of it lives in the namespaces of tests/e2e/land.py, where also the "private" and the "public" addresses
are its own; without the right to make them network doors are skipped.  Exits 77 when the wall does not work here.
"""
import argparse
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from docker import Docker  # noqa: E402
from land import META, OWN, PRIVATE, PUBLIC, Land, hits, why_not  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument('--wall', default='sandbox')
options.add_argument('--user', default='')
options.add_argument('--engine', default='podman')
options.add_argument('--runtime', default='auto')
options.add_argument('words', nargs='*')
options = options.parse_args()
LAND = os.environ.get('AT_RUND_LAND')
# A home for nothing but images, which are made once for all tests.
IMAGES = subprocess.run(['sh', os.path.join(ROOT, 'tests', 'images.sh')], capture_output=True, text=True, check=True).stdout.strip()
if options.wall == 'container' and LAND is None:
    # While there is a network.  Made from the same definitions before, it takes no time.
    r = subprocess.run([os.path.join(os.environ.get('AT_RUND_BUILD', os.path.join(ROOT, 'build')), 'at-rund'), '--home', IMAGES,
                        'build'], capture_output=True, text=True)
    if r.returncode != 0:
        print('skip container: %s' % (r.stderr.strip().splitlines() or ['no images'])[-1])
        print('0 passed, 0 failed, 1 skipped')
        sys.exit(77)
if LAND is None and options.engine == 'docker' and 'DOCKER_HOST' not in os.environ:
    with Docker() as docker:
        if docker.why:
            print('skip docker: ' + docker.why)
            print('0 passed, 0 failed, 1 skipped', flush=True)
            rc = 77
        else:
            rc = subprocess.run([sys.executable, *sys.argv], env={**os.environ, 'DOCKER_HOST': docker.host}).returncode
    os._exit(rc)
if LAND is None and why_not() is None:
    with Land() as land:
        p = subprocess.run(land.at_home(sys.executable, *sys.argv), env={**os.environ, 'AT_RUND_LAND': land.dir})
    os._exit(p.returncode)
sys.argv = sys.argv[:1] + options.words
from kit import *  # noqa: E402,F403

WALL, HARD = options.wall, options.wall != 'none'
BOOKS = {'python': 'yard', 'node': 'yard-node', 'deno': 'yard-deno'}  # language → bundle
# Doors that `none` has no hinge for, and that would hurt who opens them there.
BOMBS = ('forks', 'memory', 'files', 'disk', 'cpu')
# What the bundles `way*` may reach.
WAY = ['public.test:80', 'private.test:80', 'meta.test:80', 'loop.test:80', 'own.test:80', 'mapped.test:80', 'mixed.test:80',
       'rebind.test:80', PUBLIC + ':8080']
# What is not as elsewhere where a kernel in user space stands between: part of a case's name, and why.
GVISOR = {'c-read-sys-': 'what is in /sys is of its own kernel', 'c-read-proc-1-': 'of the gate, which has the same user id there and '
          'nothing to hide', 'oom_score_adj': 'it is of its own kernel', 'c-device-node': 'devices are of its own kernel',
          'python-descriptors': 'descriptors from outside have other names there', 'literal-listed': 'its loopback takes no addresses',
          'bomb-files': 'what is in /tmp is counted as memory, not as files', '-daemon': 'its processes are not in our /proc',
          'kill-9': 'its processes are not in our /proc'}


class Doors(Cases):
    def run(self, name, fn, *args):
        why = [GVISOR[w] for w in GVISOR if options.runtime == 'runsc' and w in name]
        super().run(name, skip if why else fn, *(why[:1] or args))


t = Doors()
tempfile.tempdir = '/var/tmp'  # not /tmp: every wall lets a bundle have that
where = scratch('at-rund-contract-')
secret = os.path.join(where, 'secret')
granted = os.path.join(where, 'granted')
mark = 'inmate-' + word(12)
runner = runtime_dir = None


# ---- the bundles -----------------------------------------------------------------------------------------------

def bundle(top, name, kind, inmate, endpoints, limits=None, **permissions):
    d = os.path.join(top, name)
    os.makedirs(d)
    entry = 'main.py' if 'python' in kind else 'main.mjs'
    shutil.copy2(os.path.join(ROOT, 'tests', 'contract', 'yard', entry), d)
    shutil.copy2(inmate, os.path.join(d, 'inmate'))
    permissions = {**{'net': [], 'read': [], 'write': [], 'env': []}, **permissions}
    if HARD and 'deno' in kind:
        permissions['run'] = ['*']
    with open(os.path.join(d, 'bundle.json'), 'w') as f:
        json.dump({'$type': 'dev.at-run.bundle', 'name': name, 'version': '1.0.0', 'runtime': kind, 'entry': entry,
                   'endpoints': {e: {} for e in endpoints.split()}, 'limits': limits or {}, 'permissions': permissions}, f)


def bundles():
    top, inmate = os.path.join(where, 'bundles'), os.path.join(where, 'inmate')
    subprocess.run(['gcc', '-std=c11', '-D_GNU_SOURCE', '-O1', '-static', '-o', inmate,
                    os.path.join(ROOT, 'tests', 'contract', 'inmate.c')], check=True)
    both = 'hello inmate read write connect exchange abstract forks memory descriptors disk files cpu late plant daemon'
    own = {'python': both + ' shared planted opened lie frames flood huge env', 'node': both + ' flood huge', 'deno': both + ' flood huge'}
    kinds = {'python': 'application/python', 'node': 'application/javascript+node', 'deno': 'application/javascript+deno'}
    for l, k in kinds.items():
        bundle(top, BOOKS[l], k, inmate, own[l], {'timeoutMs': 40000})
        bundle(top, 'short-' + l, k, inmate, own[l], {'timeoutMs': 1500})
        bundle(top, 'way-' + l, k, inmate, own[l], {'timeoutMs': 20000}, net=WAY)
        shutil.copytree(os.path.join(ROOT, 'contrib', 'examples', 'hello-' + l), os.path.join(top, 'hello-' + l))
    bundle(top, 'other', kinds['python'], inmate, own['python'])
    bundle(top, 'small', kinds['python'], inmate, own['python'], {'memoryMb': 64, 'processes': 20, 'cpuMs': 1000})
    bundle(top, 'thirsty', kinds['python'], inmate, own['python'], {'egressBytes': 200000}, net=['public.test:80'])
    bundle(top, 'guest', kinds['python'], inmate, own['python'], read=[granted + '/in'], write=[granted + '/out'], env=['AT_HOME'])
    bundle(top, 'stranger', kinds['python'], inmate, own['python'], read=[granted + '/in'])
    bundle(top, 'curious', kinds['python'], inmate, own['python'], env=['SECRET_TOKEN'])
    for d in ('in', 'out'):
        os.makedirs(os.path.join(granted, d))
        os.chmod(os.path.join(granted, d), 0o777)
    with open(os.path.join(granted, 'in', 'word'), 'w') as f:
        f.write('granted')
    return top


def url(name, endpoint, **query):
    q = '?' + urllib.parse.urlencode(query) if query else ''
    return '%s/bundle/local/%s/latest/%s%s' % (runner.url, name, endpoint, q)


# ---- doors -----------------------------------------------------------------------------------------------------

def well():
    """The runner still answers, and answers others."""
    a = call(url('other', 'hello'), timeout=30)
    check(a.status == 200 and a.text == 'hello', 'the runner is not well:', a, runner.tail())


def told(name, text, is_open):
    line = ' '.join(text.split()) or 'nothing said'
    print('%s %s %s: %s' % ('open' if is_open else 'shut', WALL, name, line[:200]), flush=True)
    check(not (is_open and HARD), 'the door is open:', line)


def answered(name, a):
    """Of a handler that tries a door: {status, text}, or the runner ended it and named why."""
    if a.status == 200 and a.text.startswith('{'):
        told(name, a.json['text'], a.json['status'] != 0)
        check(a.json['status'] in (0, 1), 'the inmate did not come to an end:', a.json)
    else:
        check(a.status >= 400, 'no verdict:', a)
        told(name, 'ended: ' + a.text, False)
    well()


def inmate(label, *args, languages=('python',), book=None):
    """A door of the C program, started by a bundle."""
    for l in languages:
        called = label if l == 'python' else label.replace('c-', 'c-from-%s-' % l, 1)

        def run(l=l, called=called):
            answered(called, call(url(book or BOOKS[l], 'inmate'), 'POST', json.dumps(args).encode(), timeout=40))
        t.run('%s %s' % (WALL, called), run)


def script(label, endpoint, **query):
    """A door that each language tries by itself."""
    for l, b in BOOKS.items():
        t.run('%s %s-%s' % (WALL, l, label),
              lambda l=l, b=b: answered('%s-%s' % (l, label), call(url(b, endpoint, **query), timeout=40)))


def everybody(label, how, target, endpoint, **query):
    inmate('c-' + label, how, target)
    script(label, endpoint, **query)


def files():
    for name, path in (('read-shadow', '/etc/shadow'), ('read-secret', secret), ('read-database', runner.db),
                       ('read-keys', os.path.join(runner.home, 'keys')), ('read-config', os.path.join(runner.home, 'config.ini')),
                       ('read-other-bundle', os.path.join(where, 'bundles', 'other', 'main.py')),
                       ('read-instances', os.path.join(runner.home, 'run', 'i')), ('read-home', runner.home),
                       ('read-granted-to-others', os.path.join(granted, 'in', 'word')),
                       ('read-host-init', '/proc/%d/cmdline' % os.getpid())):
        everybody(name, 'read', path, 'read', path=path)
    # An engine makes /sys and /run in every container: what of the host would be in them, is not.
    made = ('/sys/kernel', '/sys/fs/cgroup', '/run/lock', '/run/systemd') if WALL == 'container' else ('/sys', '/run')
    for d in ('/root', '/home', '/var', '/opt', '/srv', '/boot', '/etc/ssl/private', '/usr/local', *made, '/dev/kmsg', '/dev/mem',
              '/dev/kvm', '/dev/fuse', '/dev/net/tun', '/dev/vda', '/dev/ptmx', '/proc/kcore', '/proc/kmsg', '/proc/1/environ',
              '/proc/1/mem', '/proc/1/fd/0', '/proc/1/maps', '/proc/1/root/tmp'):
        if d.startswith('/proc') or os.path.exists(d):
            inmate('c-read' + d.replace('/', '-'), 'read', d)
    everybody('write-bundle', 'overwrite', '{bundle}/' + 'main.py', 'write', path='{bundle}/{entry}')
    everybody('write-beside-bundle', 'write', '{bundle}/new', 'write', path='{bundle}/new')
    inmate('c-write-package', 'overwrite', '{bundle}/../package.json')
    for d in ('/x', '/usr/x', '/etc/x', '/dev/x', '/job/x', '/runtime/x'):
        everybody('write' + d.replace('/', '-'), 'write', d, 'write', path=d)
    for d in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/oom_score_adj', '/etc/passwd'):
        inmate('c-write' + d.replace('/', '-'), 'overwrite', d)
    inmate('c-device-node', 'device', '/tmp/inmate-sda')


def kernel():
    three = tuple(BOOKS)
    for n in ('host-processes', 'host-arguments', 'host-environment'):
        inmate('c-' + n, {'host-processes': 'commands', 'host-arguments': 'commands', 'host-environment': 'environments'}[n],
               'at-rund-scheduler' if n == 'host-processes' else runner.home, languages=three)
    inmate('c-lock-shared-file', 'lock', '/usr/bin/env')
    inmate('c-ask-shared-lock', 'ask-lock', '/usr/bin/env')
    for n in ('memory-of', 'ptrace', 'setuid', 'capabilities', 'terminal', 'mount', 'clone', 'foreign', 'raw') + (('kill-gate',) if HARD else ()):
        inmate('c-' + n, n, '', languages=three)
    for n in ('io_uring_setup', 'keyctl', 'add_key', 'bpf', 'perf_event_open', 'userfaultfd', 'personality', 'unshare_user',
              'unshare_net', 'chroot', 'name_to_handle_at', 'memfd_create', 'fsopen', 'clone3', 'pidfd_getfd', 'setns'):
        inmate('c-' + n, 'syscall', n, languages=three)
    for n, number in (('netlink', 16), ('packet', 17), ('alg', 38), ('vsock', 40), ('key', 15), ('bluetooth', 31),
                      ('xdp', 44), ('tipc', 30), ('can', 29)):
        inmate('c-family-' + n, 'family', str(number), languages=three)
    t.run('%s python-descriptors' % WALL, lambda: answered('python-descriptors', call(url('yard', 'opened'))))


def between():
    """Two instances of two bundles at one time."""
    def run(directory):
        a = call(url('yard', 'shared', dir=directory, word='seen'))
        check(a.status in (200, 500, 502), a)
        answered('between' + directory.replace('/', '-'), call(url('other', 'shared', dir=directory)))
    for d in ('/tmp', '/dev/shm'):
        t.run('%s between%s' % (WALL, d.replace('/', '-')), run, d)


# ---- the network -----------------------------------------------------------------------------------------------

def reach(language, name, host, port, wanted=False):
    """A whole exchange with somebody out there, from a bundle that may reach what WAY says."""
    def run():
        a = call(url('way-' + language, 'exchange', host=host, port=port), timeout=30)
        check(a.status == 200, a)
        if wanted:
            print('%s %s %s-%s: %s' % ('goes' if a.json['status'] else 'FAIL', WALL, language, name, a.json['text'][:120]), flush=True)
            check(a.json['status'] == 1, 'what is allowed is not reached:', a.json, runner.tail(800))
        else:
            told('%s-%s' % (language, name), a.json['text'], a.json['status'] != 0)
    t.run('%s %s-%s' % (WALL, language, name), run)


def network():
    if LAND is None:
        t.run('%s network' % WALL, lambda: skip('no network namespace of our own can be made here'))
        return
    held = socket.socket(socket.AF_UNIX)
    held.bind('\0' + mark)
    held.listen(16)
    for n, a in (('loopback', '127.0.0.1'), ('own', OWN), ('private', PRIVATE), ('metadata', META), ('public', PUBLIC)):
        everybody('connect-' + n, 'connect', a + ':80', 'exchange', host=a, port=80)
        inmate('c-mapped-' + n, 'mapped', a + ':80')
    everybody('connect-own-web-server', 'connect', '127.0.0.1:%d' % runner.port, 'exchange', host='127.0.0.1', port=runner.port)
    everybody('abstract-socket', 'abstract', mark, 'abstract', socket=mark)
    inmate('c-name-not-allowed', 'name', 'public.test:80')
    inmate('c-name-private', 'name', 'private.test:80', book='way-python')
    for l in BOOKS:
        reach(l, 'name-allowed', 'public.test', 80, True)
        reach(l, 'name-allowed-dot', 'public.test.', 80, True)
        if options.engine == 'docker':
            t.run('%s %s-literal-listed' % (WALL, l), lambda: skip('docker gives nobody but root rights over the network: no own addresses'))
        else:
            reach(l, 'literal-listed', PUBLIC, 8080, True)
        for n, host, port in (('name-private', 'private.test', 80), ('name-private-dot', 'private.test.', 80), ('name-metadata', 'meta.test', 80),
                              ('name-loopback', 'loop.test', 80), ('name-runner', 'own.test', 80), ('name-mapped', 'mapped.test', 80),
                              ('name-half-private', 'mixed.test', 80), ('name-not-listed', 'other.test', 80),
                              ('name-not-listed-dot', 'other.test.', 80), ('name-other-port', 'public.test', 9999),
                              ('name-web-port', 'public.test', 443), ('literal-not-listed', PRIVATE, 80),
                              ('literal-other-port', PUBLIC, 80), ('mapped-not-listed', '::ffff:' + PRIVATE, 80),
                              ('loopback-by-name', 'localhost', 80)):
            reach(l, n, host, port)
    t.run('%s name-that-changes' % WALL, rebinding)
    t.run('%s nobody else was reached' % WALL, reached)
    held.close()


def rebinding():
    """Public when it is looked at first, private afterwards: only the public one may ever be reached."""
    got = [call(url('way-python', 'exchange', host='rebind.test', port=80), timeout=30).json for _ in range(6)]
    told('name-that-changes', ', '.join(g['text'][:40] for g in got), any(PRIVATE in g['text'] for g in got))


def reached():
    own, world = hits(LAND, 'own'), {tuple(h) for h in hits(LAND)}
    told('nobody-else-was-reached', '%d at the host, %s in the world' % (len(own), sorted(world)),
         bool(own) or not world <= {(PUBLIC, '80'), (PUBLIC, '8080')})


def sockets():
    run = os.path.join(runner.home, 'run')
    for n in sorted(os.listdir(run)):
        if stat.S_ISSOCK(os.lstat(os.path.join(run, n)).st_mode):
            inmate('c-socket-' + ('fcgi-waiter' if n.startswith('w') else n.split('.')[0]), 'socket', os.path.join(run, n))
    inmate('c-socket-of-another-instance', 'socket', '/job/sock')


# ---- limits ----------------------------------------------------------------------------------------------------

def ended(name, key, book, a, status=None):
    """What ended it names the limit, its value and its key: to the caller, in the job's row and in the log."""
    told(name, a.text, a.status == 200)
    check(key in a.text, 'does not name', key, a)
    check(status is None or a.status == status, a)
    row = runner.sql("SELECT error FROM job WHERE bundle = ? AND state = 'done' ORDER BY rowid DESC LIMIT 1", book)
    check(row and key in (row[0][0] or ''), 'the row does not name', key, row)
    check(key in runner.tail(20000), 'the log does not name', key)


def bomb(name, key, language, book, endpoint, *args, status=None):
    def run():
        if not HARD and name in BOMBS:
            skip('nothing behind none would stop it')
        if language == 'c':
            a = call(url(book, 'inmate'), 'POST', json.dumps([endpoint, *args]).encode(), timeout=60)
        else:
            a = call(url(book, endpoint, n=args[0] if args else 0), timeout=60)
        label = '%s-bomb-%s' % (language, name)
        if a.status == 200 and a.text.startswith('{'):  # the kernel refused it, and nobody had to be killed
            told(label, a.json['text'], a.json['status'] != 0)
        elif HARD:
            ended(label, key, book, a, status)
        else:
            told(label, a.text, a.status == 200)
        well()
    t.run('%s %s-bomb-%s' % (WALL, language, name), run)


def cut(language, book):
    """An answer of a gigabyte: its head may be out already when it is cut; the row says why."""
    try:
        a = call(url(book, 'huge'), timeout=60)
        n, text = len(a.body), a.text if a.status != 200 else ''
    except http.client.IncompleteRead as e:
        n, text = len(e.partial), ''
    row = until(lambda: runner.sql("SELECT error FROM job WHERE bundle = ? AND endpoint = 'huge' AND state = 'done' "
                                   'ORDER BY rowid DESC LIMIT 1', book), 'the end of the job')
    told(language + '-huge-answer', 'refused after %d bytes: %s' % (n, row[0][0] or text), n >= 1 << 30)
    check('limits.response' in (row[0][0] or ''), 'does not name limits.response', row)
    well()


def flood(language, book):
    before = runner.sql('SELECT coalesce(sum(length(text)), 0) FROM log')[0][0]
    a = call(url(book, 'flood'), timeout=90)
    kept = runner.sql('SELECT coalesce(sum(length(text)), 0) FROM log')[0][0] - before
    said = runner.sql("SELECT count(*) FROM log WHERE text LIKE '%limits.log%'")[0][0]
    told(language + '-flood-stdout', 'refused: %d bytes kept of 1 GiB, the call: %d' % (kept, a.status), kept > 1 << 20)
    check(said > 0, 'nobody says that the log was cut by limits.log')
    well()


def bombs():
    for l, b in (('c', 'yard'),) + tuple(BOOKS.items()):
        bomb('forks', 'limits.processes', l, b, 'forks', '300')
        bomb('memory', 'limits.memory', l, b, 'memory', '700', status=507)
        bomb('descriptors', 'limits.files', l, b, 'descriptors', '5000')
        bomb('disk', 'limits.scratch', l, b, 'disk', '200')
        bomb('files', 'limits.scratch', l, b, 'files', '60000')
        bomb('cpu', 'limits.cpu', l, b, 'burn' if l == 'c' else 'cpu', '10', status=504)
    for l in BOOKS:
        bomb('late', 'timeoutMs', l, 'short-' + l, 'late', '60', status=504)
        t.run('%s %s-huge-answer' % (WALL, l), cut, l, BOOKS[l])
        t.run('%s %s-flood-stdout' % (WALL, l), flood, l, BOOKS[l])
    bomb('late', 'timeoutMs', 'c', 'short-python', 'linger', '60', status=504)
    t.run('%s large-request' % WALL, lambda: told('large-request', call(url('other', 'hello'), 'POST', b'x' * (7 << 20)).text, False))
    if HARD:
        bomb('memory-at-once', 'limits.memory', 'c', 'yard', 'memory-at-once', '700', status=507)
        bomb('memory', 'memoryMb', 'c', 'small', 'memory', '150', status=507)
        bomb('forks', 'limits.processes', 'c', 'small', 'forks', '40')
        bomb('cpu', 'cpuMs', 'python', 'small', 'cpu', '12', status=504)
        if LAND:
            t.run('%s egress-bytes' % WALL, lambda: ended('egress-bytes', 'egressBytes', 'thirsty', call(
                url('thirsty', 'exchange', host='public.test', port=80, path='/big?n=5000000'), timeout=40)))


# ---- grants ----------------------------------------------------------------------------------------------------

def grants():
    def guest():
        check(call(url('guest', 'read', path=granted + '/in/word')).json['status'] == 1, 'what is granted cannot be read')
        a = call(url('guest', 'write', path=granted + '/out/word'))
        check(a.json['status'] == 1 and os.path.exists(granted + '/out/word'), 'what is granted cannot be written', a)
        check(call(url('guest', 'env')).json.get('AT_HOME') == where, 'what is exported cannot be seen')
        answered('write-what-is-granted-to-read', call(url('guest', 'write', path=granted + '/in/new')))
        answered('read-above-what-is-granted', call(url('guest', 'read', path=secret)))

    def refused(name, permission):
        a = call(url(name, 'hello'))
        check(a.status == 403 and a.error == 'PermissionNotGranted' and 'permissions.' + permission in a.text, a)
        told('not-granted-' + permission, 'refused: ' + a.json['message'], False)
    t.run('%s grants' % WALL, guest)
    t.run('%s not-granted-read' % WALL, refused, 'stranger', 'read')
    t.run('%s not-granted-env' % WALL, refused, 'curious', 'env')


# ---- the far end lies, and what is left behind -----------------------------------------------------------------

def lies():
    a = call(url('yard', 'lie'), timeout=30)
    told('lying-frame', 'refused: ' + a.text, a.status == 200)
    well()
    a = call(url('yard', 'frames'), timeout=30)
    told('ten-thousand-frames', 'refused: %d, log bounded' % a.status, False)
    well()


def empty():
    runner.cli('pool', 'drain')
    until(lambda: not os.listdir(os.path.join(runner.home, 'run', 'i')), 'the instances are cleaned up', 20)


def planted():
    before = sorted(os.listdir(where))
    for b in BOOKS.values():
        a = call(url(b, 'plant', target=secret))
        check(a.status == 200, a)
    empty()
    with open(secret) as f:
        check(f.read() == 'secret' and sorted(os.listdir(where)) == before, 'files of the host are gone')
    told('planted-files', 'refused: nothing followed, nothing left', False)
    well()


def daemon(language):
    m = mark + language
    a = call(url(BOOKS[language], 'daemon', mark=m), timeout=30)
    if a.status != 200 or not a.json['status']:
        told(language + '-daemon', a.text, False)
        return
    until(lambda: processes_of(m), 'the daemon starts')
    runner.cli('pool', 'drain')
    until(lambda: not processes_of(m), 'the daemon is gone with its instance', 20)
    told(language + '-daemon', 'refused: it went with its instance', False)
    well()


def ours(pid):
    try:
        with open('/proc/%d/environ' % pid, 'rb') as f:
            return runner.home in f.read().decode('utf-8', 'replace')
    except OSError:
        return False


def groups():
    """Control groups of ours on this machine; other runners' are told by the hash of their home."""
    h = 2166136261
    for byte in runner.home.encode():
        h = (h ^ byte) * 16777619 & 0xffffffff
    found = subprocess.run(['find', '/sys/fs/cgroup', '-type', 'd', '-name', 'at-rund.%08x.*' % h], capture_output=True, text=True)
    return set(found.stdout.split())


def left():
    check(not processes_of(mark), 'processes', processes_of(mark))
    check(not os.listdir(os.path.join(runner.home, 'run', 'i')), 'directories of instances')
    check(not groups(), 'control groups', groups())
    with open('/proc/self/mountinfo') as f:
        check(runner.home not in f.read(), 'mounts')


def nobody_listens():
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', runner.port)) != 0


def killed():
    """kill -9 of everything that is ours at once: the next start finds what is left of it, and only that."""
    call(url('yard', 'daemon', mark=mark + 'k'), timeout=30)
    until(lambda: processes_of(mark + 'k'), 'the daemon starts')
    stranger = Process(['sleep', '1000'], os.path.join(where, 'stranger.log'))
    found = [p for n in ('at-rund', 'bwrap', 'conmon', 'podman', 'docker') for p, _ in processes_of(n) if ours(p)]
    check(found, 'nothing to kill')
    for p in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(p, signal.SIGKILL)
    runner.stop()
    until(nobody_listens, 'the web server has gone with it')
    runner.start()
    until(lambda: not processes_of(mark + 'k'), 'what it started is gone', 20)
    until(lambda: call(url('other', 'hello'), timeout=10).text == 'hello', 'the runner answers again', 30)
    check(stranger.alive(), 'somebody else was killed')
    stranger.stop()
    check(groups() <= {g for g in groups() if g.endswith(tuple('.%s' % n for n in os.listdir(os.path.join(runner.home, 'run', 'i'))))},
          'control groups of the dead are left', groups())
    told('kill-9', 'refused: nothing outlived the scheduler', False)


def samples():
    for l in BOOKS:
        a = call('%s/bundle/local/hello-%s/latest/hello?name=x' % (runner.url, l), timeout=30)
        check(a.status == 200 and a.json['runtime'] == l, a, runner.tail())


def take_images():
    """Of root's podman, as they are; anybody else gets copies, and loads them into an engine of his own."""
    mine, made = os.path.join(runner.home, 'images'), os.path.join(IMAGES, 'images')
    os.rmdir(mine)
    if not runner.user and options.engine == 'podman':
        os.symlink(made, mine)
        return
    shutil.copytree(made, mine, ignore=shutil.ignore_patterns('root', '.*', '*.log'))
    if runner.user:
        subprocess.run(['chown', '-R', runner.user + ':', mine], check=True)
    r = runner.cli('build')
    check(r.returncode == 0, r.stderr)


def own_runtime_dir():
    """For an ordinary user's podman, whose helper process would outlive us where it is everybody's.  Short: sockets lie in it."""
    d = tempfile.mkdtemp(prefix='ar-', dir='/tmp')
    give(d, runner.user)
    runner.env['XDG_RUNTIME_DIR'] = d
    return d


def end_runtime_dir(d):
    """The process that keeps the user namespace, told by its pid file, and the directory."""
    with contextlib.suppress(OSError, ValueError):
        with open(d + '/libpod/tmp/pause.pid') as f:
            pid = int(f.read())
        with open('/proc/%d/environ' % pid, 'rb') as f:
            if ('XDG_RUNTIME_DIR=' + d).encode() in f.read().split(b'\0'):
                os.kill(pid, signal.SIGKILL)
                until(lambda: not os.path.exists('/proc/%d' % pid), 'the helper of podman has gone')
    shutil.rmtree(d, ignore_errors=True)


def start():
    global runner, runtime_dir
    with open(secret, 'w') as f:
        f.write('secret')
    top = bundles()
    grants_of = {'read': ['local/guest %s/in' % granted], 'write': ['local/guest %s/out' % granted], 'env': ['local/guest AT_HOME']}
    runner = Runner(where, user=options.user or None, bundles=top, sections={
        'limits': {'cpu': '2s', 'memory': '256M', 'timeout': '50s'}, 'pool': {'max': '6'}, 'scheduler': {'grace': '2s'},
        'grants': grants_of, 'container': {'engine': options.engine, 'runtime': options.runtime}})
    runner.conf_top['isolation'] = WALL
    runner.env['AT_HOME'] = where
    if options.engine == 'docker':
        runner.env['DOCKER_HOST'] = os.environ['DOCKER_HOST']
    os.chmod(secret, 0o644)
    if WALL == 'container' and runner.user:
        runtime_dir = own_runtime_dir()
    runner.init()
    if WALL == 'container':
        take_images()
    try:
        runner.start()
    except RuntimeError as e:
        print('skip %s: %s' % (WALL, str(e)[-600:]))
        print('0 passed, 0 failed, 1 skipped', flush=True)
        stop_all()
        if runtime_dir:
            end_runtime_dir(runtime_dir)
        os._exit(77)


def main():
    start()
    t.run('%s sample bundles answer' % WALL, samples)
    files()
    kernel()
    sockets()
    between()
    network()
    grants()
    bombs()
    t.run('%s lying-frames' % WALL, lies)
    t.run('%s planted-files' % WALL, planted)
    for l in BOOKS:
        t.run('%s %s-daemon' % (WALL, l), daemon, l)
    t.run('%s kill-9' % WALL, killed)
    if runner.p:
        check(runner.stop() == 0, 'the runner did not end well')
    if runtime_dir:
        end_runtime_dir(runtime_dir)
    t.run('%s nothing is left' % WALL, left)
    t.end()


main()
