#!/usr/bin/env python3
"""What is used by the day, behind the real walls: processor time, of children too, and bytes over the network."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from land import Land, why_not  # noqa: E402

LAND = os.environ.get('AT_RUND_LAND')
if LAND is None and why_not() is None:
    with Land() as land:
        rc = subprocess.run(land.at_home(sys.executable, *sys.argv), env={**os.environ, 'AT_RUND_LAND': land.dir}).returncode
    os._exit(rc)
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
bundles = os.path.join(where, 'bundles')
IMAGES = subprocess.run(['sh', os.path.join(ROOT, 'tests', 'images.sh')], capture_output=True, text=True, check=True).stdout.strip()
CODE = """import os
import signal
import socket
import time


def idle(request, ctx):
    return 'nothing'


def burn(request, ctx):
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    return 'burnt'


def child(request, ctx):
    pid = os.fork()
    if pid == 0:
        burn(None, None)
        os._exit(0)
    os.waitpid(pid, 0)
    return 'burnt'


def unwaited(request, ctx):
    # Nobody inherits the time of children that nobody waits for.
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        burn(None, None)
        os._exit(0)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
    signal.signal(signal.SIGCHLD, old)
    return 'burnt'


def fetch(request, ctx):
    n, got = int(request.query['n']), 0
    with socket.create_connection(('public.test', 80)) as s:
        s.sendall(b'GET /big?n=%d HTTP/1.0\\r\\n\\r\\n' % n)
        while k := len(s.recv(65536)):
            got += k
    return str(got >= n)
"""
runner = None


def start(wall, **limits):
    """A new day: nothing was used yet."""
    global runner
    stop()
    home = os.path.join(where, 'home')
    shutil.rmtree(home, ignore_errors=True)
    runner = Runner(where, bundles=bundles, sections={'access': {'mode': 'open'}, 'pool': {'spare': '0'}, 'limits': {
        k: str(v) for k, v in limits.items()}}).init()
    runner.conf_top['isolation'] = wall
    runner.write()
    if wall == 'container':
        os.rmdir(os.path.join(runner.home, 'images'))
        os.symlink(os.path.join(IMAGES, 'images'), os.path.join(runner.home, 'images'))
    runner.start()


def stop():
    global runner
    if runner is not None:
        runner.stop()
    runner = None


def ask(endpoint, bundle='one', **kw):
    return call('%s/bundle/local/%s/latest/%s' % (runner.url, bundle, endpoint), **kw)


def refused(a, key, value):
    """Until midnight in Greenwich, which the answer says."""
    same((a.status, a.error), (429, 'RateLimitExceeded'), a)
    check('limits.%s = %d' % (key, value) in a.json['message'], a)
    left, seconds = 86400 - time.time() % 86400, int(a.header('retry-after'))
    check(abs((seconds - left + 43200) % 86400 - 43200) < 30, seconds, left)


def used():
    return {(kind, name): (cpu, egress) for kind, name, cpu, egress in runner.sql('SELECT kind, name, cpu_ms, egress_bytes FROM usage')}


def once_refused(bundle='one'):
    """The next tick has read what was used."""
    return until(lambda: (a := ask('idle', bundle)).status != 200 and a, 'the day is used up', 15)


def after_a_restart(key, value, bundle='one'):
    """What was used stands in the ledger, and the next scheduler knows it."""
    runner.stop()
    u = used()
    runner.start()
    refused(ask('idle', bundle), key, value)
    return u


def processor(wall):
    """Half a second each, of the bundle's own process, of a child that is waited for, and of one that is not."""
    start(wall, author_cpu='1400ms', bundle_cpu='1h', caller_cpu='1h')
    for endpoint in ('burn', 'child', 'unwaited'):
        same(ask(endpoint, timeout=120).status, 200)
    refused(once_refused(), 'author_cpu', 1400)
    refused(ask('idle', 'fresh'), 'author_cpu', 1400)
    u = after_a_restart('author_cpu', 1400)
    check(all(u[k][0] >= 1400 for k in (('author', 'local'), ('bundle', 'local/one'))), u)
    # Callers pay only while their calls run, so a tick of the clock at either end of a call may be the author's alone.
    check(u['caller', '127.0.0.1'][0] >= 1400 - 3 * 2 * 10, u)


def each_its_own(wall):
    """An instance that ends with its call has used what it used, however short it lives."""
    start(wall, bundle_cpu='900ms')
    for _ in range(2):
        same(ask('burn', 'fresh', timeout=120).status, 200)
    refused(once_refused('fresh'), 'bundle_cpu', 900)
    same(ask('idle').status, 200)


def network(wall):
    start(wall, bundle_egress='1M', author_egress='2M')
    for _ in range(2):
        same(ask('fetch?n=600000', timeout=120).body, b'True')
    refused(once_refused(), 'bundle_egress', 1 << 20)
    for _ in range(2):
        same(ask('fetch?n=600000', 'fresh').body, b'True')
    refused(once_refused('fresh'), 'author_egress', 2 << 20)
    u = after_a_restart('author_egress', 2 << 20)
    check(u['author', 'local'][1] >= 2400000 and u['bundle', 'local/one'][1] >= 1200000 and ('caller', '127.0.0.1') not in u, u)


def network_of_a_caller(wall):
    start(wall, caller_egress='1M')
    for bundle in ('one', 'fresh'):
        same(ask('fetch?n=600000', bundle, timeout=120).body, b'True')
    refused(once_refused(), 'caller_egress', 1 << 20)
    u = after_a_restart('caller_egress', 1 << 20)
    check(u['caller', '127.0.0.1'][1] >= 1200000, u)


def walls():
    for name, more in (('one', {}), ('fresh', {'reuse': 'never'})):
        d = os.path.join(bundles, name)
        os.makedirs(d)
        with open(os.path.join(d, 'main.py'), 'w') as f:
            f.write(CODE)
        with open(os.path.join(d, 'bundle.json'), 'w') as f:
            json.dump({'$type': 'dev.at-run.bundle', 'name': name, 'runtime': 'application/python', 'entry': 'main.py',
                       'endpoints': {e: {} for e in ('idle', 'burn', 'child', 'unwaited', 'fetch')},
                       'permissions': {'net': ['public.test:80'], 'run': ['*']}, 'createdAt': '2026-01-01T00:00:00Z', **more}, f)
    probe = Runner(where, name='probe', bundles=bundles).init()
    os.rmdir(os.path.join(probe.home, 'images'))
    os.symlink(os.path.join(IMAGES, 'images'), os.path.join(probe.home, 'images'))
    found = {f['what']: f for f in json.loads(probe.cli('doctor', '--json').stdout)['checks']}
    return {w: found['wall ' + w] for w in ('sandbox', 'container')}


def main():
    if LAND is None:
        t.run('usage', lambda: skip(why_not()))
        t.end()
    there = walls()
    for wall in ('sandbox', 'container'):
        def unless_missing(fn, *args, w=wall):
            if there[w]['verdict'] != 'ok':
                skip(there[w]['text'])
            fn(w, *args)
        t.run(wall + ': processor time, of children too', unless_missing, processor)
        t.run(wall + ': network bytes of a bundle and an author', unless_missing, network)
        if wall == 'sandbox':
            t.run(wall + ': processor time of instances for one call', unless_missing, each_its_own)
            t.run(wall + ': network bytes of a caller', unless_missing, network_of_a_caller)
    stop()
    t.end()


main()
