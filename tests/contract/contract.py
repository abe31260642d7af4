#!/usr/bin/env python3
"""
The contract of the walls: one suite of doors over every wall, one line a door and wall.

    tests/contract/contract.py [--wall none|sandbox] [--user NAME] [WORD...]

Behind `none` the suite says which doors stand open and fails only when the runner suffers; behind every other wall an
open door is a failure.  Network doors are tried inside a network namespace that this program makes for itself and in
which all addresses, also the "private" and the "public" ones, are its own; without the right to make one they are
skipped.  Exits 77 when the wall does not work here.
"""
import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
options = argparse.ArgumentParser()
options.add_argument('--wall', default='sandbox')
options.add_argument('--user', default='')
options.add_argument('words', nargs='*')
options = options.parse_args()
OWN_NET = os.environ.get('AT_RUND_OWN_NET') == '1'
if os.geteuid() == 0 and not OWN_NET:
    os.environ['AT_RUND_OWN_NET'] = '1'
    os.execvp('unshare', ['unshare', '--net', '--mount', sys.executable, *sys.argv])
sys.argv = sys.argv[:1] + options.words
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from kit import *  # noqa: E402,F403

PRIVATE, LINK_LOCAL, PUBLIC = '10.99.0.1', '169.254.169.254', '203.0.113.7'
WALL, HARD = options.wall, options.wall != 'none'
# Doors that `none` has no hinge for, and that would hurt who opens them there.
NOT_BEHIND_NONE = ('bomb-forks', 'bomb-memory', 'bomb-files', 'bomb-disk', 'bomb-cpu', 'python-bomb-memory')
t = Cases()
tempfile.tempdir = '/var/tmp'  # not /tmp: every wall lets a bundle have that
where = scratch('at-rund-contract-')
secret = os.path.join(where, 'secret')
mark = 'inmate-' + word(12)
runner = None


def own_network():
    for args in (['link', 'set', 'lo', 'up'],) + tuple(['addr', 'add', a + '/32', 'dev', 'lo']
                                                       for a in (PRIVATE, LINK_LOCAL, PUBLIC)):
        subprocess.run(['ip', *args], check=True, capture_output=True)


def listener(family, address):
    s = socket.socket(family)
    s.bind(address)
    s.listen(16)

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            c.sendall(b'HTTP/1.0 200 OK\r\n\r\n')
            c.close()
    threading.Thread(target=serve, daemon=True).start()
    return s


def bundles():
    top = os.path.join(where, 'bundles')
    build = os.path.join(where, 'inmate')
    subprocess.run(['gcc', '-std=c11', '-D_GNU_SOURCE', '-O1', '-static', '-o', build,
                    os.path.join(ROOT, 'tests', 'contract', 'inmate.c')], check=True)
    python = 'hello inmate read write connect shared plant descriptors lie frames flood huge grow spin'
    node = 'hello read write connect fetched child grow spin'
    for name, kind, endpoints, limits in (
            ('yard', 'application/python', python, {'timeoutMs': 40000}),
            ('other', 'application/python', python, {}),
            ('short', 'application/python', python, {'timeoutMs': 1500}),
            ('small', 'application/python', python, {'memoryMb': 64}),
            ('yard-node', 'application/javascript+node', node, {'timeoutMs': 40000}),
            ('yard-deno', 'application/javascript+deno', node, {'timeoutMs': 40000})):
        d = os.path.join(top, name)
        os.makedirs(d)
        entry = 'main.py' if 'python' in kind else 'main.mjs'
        shutil.copy2(os.path.join(ROOT, 'tests', 'contract', 'yard', entry), d)
        if entry == 'main.py':
            shutil.copy2(build, os.path.join(d, 'inmate'))
        with open(os.path.join(d, 'bundle.json'), 'w') as f:
            json.dump({'$type': 'dev.at-run.bundle', 'name': name, 'version': '1.0.0', 'runtime': kind, 'entry': entry,
                       'endpoints': {e: {} for e in endpoints.split()}, 'limits': limits,
                       'permissions': {'net': [], 'read': [], 'write': [], 'env': []}}, f)
    return top


def url(bundle, endpoint, **query):
    q = '?' + urllib.parse.urlencode(query) if query else ''
    return '%s/bundle/local/%s/latest/%s%s' % (runner.url, bundle, endpoint, q)


def well():
    """The runner still answers, and answers others."""
    a = call(url('other', 'hello'), timeout=30)
    check(a.status == 200 and a.text == 'hello', 'the runner is not well:', a, runner.tail())


def told(name, text, is_open):
    line = text.strip().splitlines()[-1] if text.strip() else 'nothing said'
    print('%s %s %s: %s' % ('open' if is_open else 'shut', WALL, name, line[:200]), flush=True)
    check(not (is_open and HARD), 'the door is open:', line)


def door(name, a):
    """An answer of a handler that tries a door: {status, text}, or the runner ended it and named why."""
    if a.status == 200 and a.text.startswith('{'):
        told(name, a.json['text'], a.json['status'] != 0)
        check(a.json['status'] in (0, 1), 'the inmate did not come to an end:', a.json)
    else:
        check(a.status >= 400, 'no verdict:', a)
        told(name, 'ended: ' + a.text, False)
    well()


def c_door(name, *args):
    def run():
        if not HARD and name in NOT_BEHIND_NONE:
            skip('nothing behind none would stop it')
        door(name, call(url('yard', 'inmate'), 'POST', json.dumps(args).encode(), timeout=40))
    t.run('%s c/%s' % (WALL, name), run)


def limit_door(name, key, bundle, endpoint, *args, status=None):
    """A bomb: what ends it names the limit's key, in the answer and in the job's row."""
    def run():
        if not HARD and name in NOT_BEHIND_NONE:
            skip('nothing behind none would stop it')
        cut = None
        try:
            a = call(url(bundle, endpoint), 'POST', json.dumps(args).encode() if args else b'', timeout=60)
            if endpoint == 'huge' and a.status == 200 and len(a.body) < 1 << 30:
                cut = len(a.body)
        except http.client.IncompleteRead as e:
            cut = len(e.partial)
        if cut is not None:  # its head was out already: the row says why it was cut
            row = until(lambda: runner.sql("SELECT error FROM job WHERE bundle = ? AND state = 'done' ORDER BY rowid DESC "
                                           'LIMIT 1', bundle), 'the end of the job')
            told(name, 'cut after %d bytes: %s' % (cut, row[0][0]), False)
            check(key in (row[0][0] or ''), 'does not name', key, row)
            well()
            return
        if a.status == 200 and a.text.startswith('{') and args:
            told(name, a.json['text'], a.json['status'] != 0)
        else:
            told(name, a.text, 'OPEN' in a.text or a.status == 200)
            if HARD:
                check(key in a.text, 'does not name', key, a)
                check(status is None or a.status == status, a)
                row = runner.sql('SELECT outcome, error FROM job WHERE bundle = ? ORDER BY rowid DESC LIMIT 1', bundle)
                check(row and key in (row[0][1] or ''), 'the row does not name', key, row)
        well()
    t.run('%s %s' % (WALL, name), run)


def py(name, bundle, endpoint, **query):
    t.run('%s %s' % (WALL, name), lambda: door(name, call(url(bundle, endpoint, **query), timeout=40)))


def files_and_processes():
    c_door('read-shadow', 'read', '/etc/shadow')
    c_door('read-secret', 'read', secret)
    c_door('read-database', 'read', runner.db)
    c_door('read-keys', 'read', os.path.join(runner.home, 'keys'))
    c_door('read-config', 'read', os.path.join(runner.home, 'config.ini'))
    c_door('read-other-bundle', 'read', os.path.join(where, 'bundles', 'other', 'main.py'))
    c_door('read-instances', 'read', os.path.join(runner.home, 'run', 'i'))
    for d in ('/root', '/home', '/var', '/opt', '/srv', '/boot', '/sys', '/etc/ssl/private', '/usr/local', '/run'):
        if os.path.exists(d):
            c_door('read' + d.replace('/', '-'), 'read', d)
    for d in ('/dev/kmsg', '/dev/mem', '/dev/kvm', '/dev/fuse', '/dev/net/tun', '/dev/vda', '/dev/ptmx', '/proc/kcore',
              '/proc/kmsg'):
        c_door('read' + d.replace('/', '-'), 'read', d)
    c_door('write-bundle', 'overwrite', '{bundle}/main.py')
    c_door('write-beside-bundle', 'write', '{bundle}/new')
    c_door('write-package', 'overwrite', '{bundle}/../package.json')
    for d in ('/x', '/usr/x', '/etc/x', '/dev/x', '/job/x', '/runtime/x'):
        c_door('write' + d.replace('/', '-'), 'write', d)
    for d in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/oom_score_adj', '/etc/passwd'):
        c_door('write' + d.replace('/', '-'), 'overwrite', d)
    c_door('device-node', 'device', '/tmp/inmate-sda')
    c_door('host-processes', 'commands', 'at-rund-scheduler')
    c_door('host-arguments', 'commands', runner.home)
    c_door('host-environment', 'environments', runner.home)
    c_door('lock-shared-file', 'lock', '/usr/bin/env')
    c_door('ask-shared-lock', 'ask-lock', '/usr/bin/env')
    py('python-descriptors', 'yard', 'descriptors')
    for n in ('memory-of', 'ptrace', 'setuid', 'capabilities', 'terminal', 'mount', 'clone', 'foreign', 'raw'):
        c_door(n, n)
    for n in ('io_uring_setup', 'keyctl', 'add_key', 'bpf', 'perf_event_open', 'userfaultfd', 'personality', 'unshare_user',
              'unshare_net', 'chroot', 'name_to_handle_at', 'memfd_create', 'fsopen'):
        c_door(n, 'syscall', n)
    for n, number in (('netlink', 16), ('packet', 17), ('alg', 38), ('vsock', 40), ('key', 15), ('bluetooth', 31),
                      ('xdp', 44), ('tipc', 30), ('can', 29)):
        c_door('family-' + n, 'family', str(number))


def between():
    """Two instances of two bundles at one time."""
    def run(directory):
        a = call(url('yard', 'shared', dir=directory, word='seen'))
        check(a.status in (200, 500, 502), a)
        door('between' + directory.replace('/', '-'), call(url('other', 'shared', dir=directory)))
    for d in ('/tmp', '/dev/shm'):
        t.run('%s between%s' % (WALL, d.replace('/', '-')), run, d)


def network():
    if not OWN_NET:
        t.run('%s network' % WALL, lambda: skip('no network namespace of our own can be made here'))
        return
    port = free_port()
    held = [listener(socket.AF_INET, (a, port)) for a in ('127.0.0.1', PRIVATE, LINK_LOCAL, PUBLIC)]
    held.append(listener(socket.AF_UNIX, '\0' + mark))
    for n, a in (('loopback', '127.0.0.1'), ('private', PRIVATE), ('metadata', LINK_LOCAL), ('public', PUBLIC)):
        c_door('connect-' + n, 'connect', '%s:%d' % (a, port))
        c_door('mapped-' + n, 'mapped', '%s:%d' % (a, port))
        for b, l in (('yard', 'python'), ('yard-node', 'node'), ('yard-deno', 'deno')):
            py('%s-connect-%s' % (l, n), b, 'connect', host=a, port=port)
    for b in ('yard-node', 'yard-deno'):
        py(b[5:] + '-fetch', b, 'fetched', url='http://%s:%d/' % (PUBLIC, port))
    c_door('connect-own-web-server', 'connect', '127.0.0.1:%d' % runner.port)
    c_door('abstract-socket', 'abstract', mark)
    for s in held:
        s.close()


def sockets():
    run = os.path.join(runner.home, 'run')
    for n in sorted(os.listdir(run)):
        if stat_is_socket(os.path.join(run, n)):
            c_door('socket-' + ('fcgi-waiter' if n.startswith('w') else n.split('.')[0]), 'socket', os.path.join(run, n))
    c_door('socket-of-another-instance', 'socket', '/job/sock')


def stat_is_socket(path):
    import stat
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def scripts():
    for b, l in (('yard', 'python'), ('yard-node', 'node'), ('yard-deno', 'deno')):
        py(l + '-read-shadow', b, 'read', path='/etc/shadow')
        py(l + '-read-home', b, 'read', path=runner.home)
        py(l + '-read-host-init', b, 'read', path='/proc/%d/cmdline' % os.getpid())
        py(l + '-write-bundle', b, 'write', path='{bundle}/new')
        py(l + '-write-root', b, 'write', path='/new')
    for l in ('node', 'deno'):
        py(l + '-child-reads-home', 'yard-' + l, 'child', path=secret)


def bombs():
    limit_door('bomb-forks', 'limits.processes', 'yard', 'inmate', 'forks', '300')
    limit_door('bomb-memory', 'limits.memory', 'yard', 'inmate', 'memory', '700', status=507)
    limit_door('bomb-descriptors', 'limits.files', 'yard', 'inmate', 'descriptors', '5000')
    limit_door('bomb-disk', 'limits.scratch', 'yard', 'inmate', 'disk', '200')
    limit_door('bomb-files', 'limits.scratch', 'yard', 'inmate', 'files', '60000')
    limit_door('bomb-cpu', 'limits.cpu', 'yard', 'inmate', 'burn', '12')
    limit_door('bundle-memory', 'memoryMb', 'small', 'inmate', 'memory', '150') if HARD else None
    limit_door('python-bomb-memory', 'limits.memory', 'yard', 'grow')
    limit_door('python-cpu', 'limits.cpu', 'yard', 'spin')
    for b in ('yard-node', 'yard-deno'):
        limit_door(b[5:] + '-bomb-memory', 'limits.memory', b, 'grow') if HARD else None
        limit_door(b[5:] + '-cpu', 'limits.cpu', b, 'spin')
    limit_door('huge-answer', 'limits.response', 'yard', 'huge')
    limit_door('late', 'timeoutMs', 'short', 'inmate', 'linger', '60', status=504)


def flood():
    a = call(url('yard', 'flood'), timeout=90)
    rows = runner.sql("SELECT sum(length(text)) FROM log")
    told('flood-stdout', 'refused: %s bytes kept of 1 GiB, the call: %d' % (rows[0][0], a.status), rows[0][0] > 1 << 20)
    well()


def lies():
    a = call(url('yard', 'lie'), timeout=30)
    told('lying-frame', 'refused: ' + a.text, a.status == 200)
    well()
    a = call(url('yard', 'frames'), timeout=30)
    told('ten-thousand-frames', 'refused: %d, log bounded' % a.status, False)
    well()


def planted():
    before = sorted(os.listdir(where))
    a = call(url('yard', 'plant', target=secret))
    check(a.status == 200, a)
    runner.cli('pool', 'drain')
    until(lambda: not os.listdir(os.path.join(runner.home, 'run', 'i')), 'the instances are cleaned up', 20)
    check(open(secret).read() == 'secret' and sorted(os.listdir(where)) == before, 'files of the host are gone')
    told('planted-files', 'refused: nothing followed, nothing left', False)
    well()


def daemon():
    a = call(url('yard', 'inmate'), 'POST', json.dumps(['daemon', mark]).encode(), timeout=30)
    check(a.status == 200 and 'left' in a.text, a)
    until(lambda: processes_of(mark), 'the daemon starts')
    runner.cli('pool', 'drain')
    until(lambda: not processes_of(mark), 'the daemon is gone with its instance', 20)
    told('daemon', 'refused: it went with its instance', False)
    well()


def killed():
    """kill -9 of the scheduler: all that it started goes, and the next one finds nothing."""
    call(url('yard', 'inmate'), 'POST', json.dumps(['daemon', mark + 'k']).encode(), timeout=30)
    until(lambda: processes_of(mark + 'k'), 'the daemon starts')
    pids = [p for p, c in processes_of('at-rund-scheduler') if ' --role ' not in c and runner.home in environ(p)]
    for p in pids:
        os.kill(p, signal.SIGKILL)
    check(pids, 'no scheduler to kill')
    until(lambda: not processes_of(mark + 'k'), 'what it started is gone', 20)
    until(lambda: call(url('other', 'hello'), timeout=10).text == 'hello', 'the runner answers again', 30)
    told('kill-9', 'refused: nothing outlived the scheduler', False)


def environ(pid):
    try:
        with open('/proc/%d/environ' % pid, 'rb') as f:
            return f.read().decode('utf-8', 'replace')
    except OSError:
        return ''


def samples():
    for l in ('deno', 'node', 'python'):
        a = call('%s/bundle/local/hello-%s/latest/hello?name=x' % (runner.url, l), timeout=30)
        check(a.status == 200 and a.json['runtime'] == l, a, runner.tail())


def main():
    global runner
    if OWN_NET:
        own_network()
    with open(secret, 'w') as f:
        f.write('secret')
    top = bundles()
    for l in ('deno', 'node', 'python'):
        shutil.copytree(os.path.join(ROOT, 'contrib', 'examples', 'hello-' + l), os.path.join(top, 'hello-' + l))
    runner = Runner(where, user=options.user or None, bundles=top, sections={
        'limits': {'cpu': '3s', 'memory': '256M', 'timeout': '50s'}, 'pool': {'max': '6'}, 'scheduler': {'grace': '2s'}})
    runner.conf_top['isolation'] = WALL
    os.chmod(secret, 0o644)
    runner.init()
    try:
        runner.start()
    except RuntimeError as e:
        print('skip %s: %s' % (WALL, str(e)[-600:]))
        print('0 passed, 0 failed, 1 skipped')
        stop_all()
        os._exit(77)
    t.run('%s sample bundles answer' % WALL, samples)
    files_and_processes()
    sockets()
    scripts()
    between()
    network()
    bombs()
    t.run('%s flood-stdout' % WALL, flood)
    t.run('%s lying-frames' % WALL, lies)
    t.run('%s planted-files' % WALL, planted)
    t.run('%s daemon' % WALL, daemon)
    t.run('%s kill-9' % WALL, killed)
    if runner.p:
        check(runner.stop() == 0, 'the runner did not end well')
    t.run('%s nothing is left' % WALL, lambda: check(not processes_of(mark), processes_of(mark)))
    t.end()


main()
