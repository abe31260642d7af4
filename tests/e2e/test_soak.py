"""24 hours compressed: very many jobs through one runner, with memory, descriptors and file sizes flat at the end.

    test_soak.py [--jobs=10000]        make soak: 200000

Sync and async calls with logs, half of them through lighttpd, half through Apache where it is installed, kept for a second or two
only, so that pruning has to keep step.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

OPTIONS = dict(a[2:].split('=', 1) for a in sys.argv[1:] if a.startswith('--') and '=' in a)
JOBS = int(OPTIONS.get('jobs', 200000 if SOAK else 10000))
THREADS, PARTS = 8, 4
BUNDLES = {
    'py': ('main.py', 'application/python', 'def hello(request, ctx):\n    print("said by", ctx.job)\n    return {"job": ctx.job}\n'),
    'js': ('main.mjs', 'application/javascript+node',
           'export function hello(request, env, ctx) {\n  console.log("said by", ctx.job);\n  return { job: ctx.job };\n}\n'),
}
# From the second mark to the last: so much more, in parts and in bytes (allocators, and V8 most of all, take a while to settle).
# The log grows while checkpoints wait for their turn, and is cut back later: it is bounded, not flat.
GROWTH, SPARE = 1.15, {'instance': 24 << 20, 'at-rund.db-wal': 64 << 20, None: 3 << 20}

t = Cases()
t.pick = []
where = scratch()
bundles = os.path.join(where, 'bundles')
for name, (file, runtime, text) in BUNDLES.items():
    os.makedirs(os.path.join(bundles, name))
    with open(os.path.join(bundles, name, file), 'w') as f:
        f.write(text)
    with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
        json.dump({'runtime': runtime, 'entry': file, 'endpoints': {'hello': {}}}, f)
runner = Runner(where, bundles=bundles, user='www-data', sections={
    'limits': {'queue': '5000', 'per_author': '5000', 'per_bundle': '5000'}, 'pool': {'max': '2', 'idle': '300s'},
    'scheduler': {'keep_sync': '1s', 'keep_async': '2s'}})
runner.conf_top['isolation'] = 'none'
lock = threading.Lock()
tally = {}
fronts = [runner.port]


def some(n, seed):
    dice = random.Random(seed)
    c = http.client.HTTPConnection('127.0.0.1', fronts[seed % len(fronts)], timeout=60)
    for _ in range(n):
        path = '/bundle/local/%s/latest/hello' % dice.choice(('py', 'js'))
        is_async = dice.random() < 0.1
        try:
            c.request('POST' if is_async else 'GET', path, headers={'Prefer': 'respond-async'} if is_async else {})
            r = c.getresponse()
            r.read()
            status = r.status
        except (OSError, http.client.HTTPException) as e:
            status = type(e).__name__
            c.close()
        with lock:
            tally[status] = tally.get(status, 0) + 1
    c.close()


def load(n):
    threads = [threading.Thread(target=some, args=(n // THREADS, n + i)) for i in range(THREADS)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()


# ---- what is measured ----

def kind(words):
    program = os.path.basename(words[0])
    if program.startswith(('python', 'node')):
        return 'instance'
    role = [w.rpartition('=')[2] for w in words if w.startswith('--role=')]
    return ' '.join([program] + role + ([words[words.index('--role') + 1]] if '--role' in words else []))


def measure():
    """(what, of whom) → number.  Instances of the same program are one."""
    out = {}
    for pid, words in list(family(runner.p.pid).items()) + [(runner.p.pid, ['at-rund'])]:
        with contextlib.suppress(OSError):
            with open('/proc/%d/smaps_rollup' % pid) as f:
                private = sum(int(x.split()[1]) * 1024 for x in f if x.startswith('Private_'))
            for what, n in (('bytes of memory', private), ('descriptors', len(os.listdir('/proc/%d/fd' % pid)))):
                out[(what, kind(words))] = out.get((what, kind(words)), 0) + n
    for file in ('at-rund.db', 'at-rund.db-wal'):
        out[('bytes of file', file)] = os.path.getsize(os.path.join(runner.home, file))
    return out


marks = []


def run():
    runner.init().start()
    with contextlib.suppress(Skipped):
        fronts.append(apache(where, runner).port)
    began = time.monotonic()
    for _ in range(PARTS):
        load(JOBS // PARTS)
        until(lambda: not runner.sql("SELECT id FROM job WHERE state <> 'done'"), 'all are done', 60)
        # What is due goes; the newest row stays.
        until(lambda: runner.sql('SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM log)') <= [(2, 2)],
              'what is old enough is gone', 60, every=0.1)
        marks.append(measure())
    print('%d jobs through %d web servers in %.0f s, told %s' % (sum(tally.values()), len(fronts), time.monotonic() - began, tally), flush=True)
    same(set(tally), {200, 202}, 'answers')
    same(sum(tally.values()), JOBS // PARTS // THREADS * THREADS * PARTS, 'answers in all')


def flat():
    grown = []
    for key in sorted(set().union(*marks)):
        row = [m.get(key, 0) for m in marks]
        print('%s, %s: %s' % (key[0], key[1], ' '.join('{:,}'.format(n) for n in row)), flush=True)
        spare = 8 if key[0] == 'descriptors' else SPARE.get(key[1], SPARE[None])
        if row[-1] > row[1] * GROWTH + spare:
            grown.append((key, row))
    check(not grown, 'not flat:', grown)


t.run('%d jobs through one runner' % JOBS, run)
t.run('memory, descriptors and files are flat', flat)
t.run('the ledger is whole', lambda: (runner.stop(), same(runner.sql('PRAGMA integrity_check'), [('ok',)])))
t.end()
