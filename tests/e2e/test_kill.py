"""kill -9 of any one process at random moments under load: nothing accepted is lost, no job runs twice, nothing is left.

    test_kill.py [--kills=100] [--seed=N]

Handlers write the id of their job into a file of their own the moment they start, so that the ledger's word can be
compared with what really ran.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

OPTIONS = dict(a[2:].split('=', 1) for a in sys.argv[1:] if a.startswith('--') and '=' in a)
KILLS = int(OPTIONS.get('kills', os.environ.get('AT_RUND_KILLS', '100')))
SEED = int(OPTIONS.get('seed', random.SystemRandom().randrange(1 << 30)))
THREADS = 4

PYTHON = '''
import os, time

def work(request, ctx):
    fd = os.open(%(file)r, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (ctx.job + '\\n').encode())
    os.close(fd)
    time.sleep(float(request.query.get('s', '0')))
    return ctx.job
'''
NODE = '''
import fs from 'node:fs';
export async function work(request, env, ctx) {
  fs.appendFileSync(%(file)s, ctx.job + '\\n');
  await new Promise((done) => setTimeout(done, 1000 * Number(new URL(request.url).searchParams.get('s') ?? '0')));
  return new Response(ctx.job);
}
'''

t = Cases()
t.pick = []
where = scratch()
ran = os.path.join(where, 'ran')
bundles = os.path.join(where, 'bundles')
dice = random.Random(SEED)
print('seed %d, %d kills' % (SEED, KILLS), flush=True)


def write_bundle(name, file, text, runtime):
    os.makedirs(os.path.join(bundles, name))
    os.makedirs(ran, exist_ok=True)
    with open(os.path.join(bundles, name, file), 'w') as f:
        f.write(text)
    with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
        json.dump({'runtime': runtime, 'entry': file, 'endpoints': {'work': {}},
                   'permissions': {'write': [ran], 'read': [ran]}}, f)


write_bundle('py', 'main.py', PYTHON % {'file': os.path.join(ran, 'py')}, 'application/python')
write_bundle('js', 'main.mjs', NODE % {'file': json.dumps(os.path.join(ran, 'js'))}, 'application/javascript+node')
runner = Runner(where, bundles=bundles, sections={'limits': {'timeout': '15s', 'queue': '5000', 'per_author': '5000',
                                                             'per_bundle': '5000'}, 'pool': {'max': '4'}})
runner.conf_top['isolation'] = 'none'  # handlers keep their own book in a file of the host; make contract kills behind walls
accepted, answered, refused = [], [], []
lock = threading.Lock()
stopping = threading.Event()
counts = {}


# ---- the load ----

def load(seed):
    r = random.Random(seed)
    while not stopping.is_set():
        name = r.choice(('py', 'js'))
        url = '%s/bundle/local/%s/latest/work?s=%.3f' % (runner.url, name, r.choice((0, 0, 0.01, 0.1)))
        try:
            if r.random() < 0.5:
                a = call(url, 'POST', b'', [('Prefer', 'respond-async')], timeout=20)
            else:
                a = call(url, timeout=20)
        except (OSError, http.client.HTTPException):
            with lock:
                refused.append('connection')
            stopping.wait(0.02)  # the door is being opened again
            continue
        with lock:
            if a.status == 202:
                accepted.append(a.header('at-run-job'))
            elif a.status == 200:
                answered.append((a.header('at-run-job'), a.text.strip('"')))
            else:
                refused.append(a.status)
        if a.status not in (200, 202):
            stopping.wait(0.02)


# ---- the victims ----

def family():
    """pid → (parent, command words) of serve and all below it."""
    table = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % pid) as f:
                fields = f.read().rpartition(')')[2].split()
            with open('/proc/%s/cmdline' % pid, 'rb') as f:
                table[int(pid)] = (int(fields[1]), f.read().decode('utf-8', 'replace').split('\0'), fields[0])
        except (OSError, IndexError):
            continue
    ours = {runner.p.pid}
    more = True
    while more:
        new = {p for p, (parent, _, _) in table.items() if parent in ours} - ours
        more = bool(new)
        ours |= new
    return {p: table[p] for p in ours if p in table and p != runner.p.pid and table[p][2] not in 'ZX'}


def kind(words):
    program = os.path.basename(words[0]) if words else ''
    if 'fetcher' in words or '--role=fetcher' in words or any(w.startswith('at-rund-fetcher') for w in words[:1]):
        return 'fetcher'
    for name in ('at-rund-scheduler', 'at-rund.fcgi', 'lighttpd'):
        if program == name:
            return name
    if program.startswith(('python', 'node', 'deno')):
        return 'instance'
    return None


def kill_one():
    wanted = dice.choice(('at-rund-scheduler', 'at-rund.fcgi', 'fetcher', 'instance', 'lighttpd'))

    def victims():
        return sorted(p for p, (_, words, _) in family().items() if kind(words) == wanted)
    try:
        found = until(victims, 'a %s to kill' % wanted, 20)
    except Failed:
        check(runner.p.alive(), 'serve has ended:', runner.tail())
        raise Failed('no %s came back within 20 s; serve says: %s' % (wanted, runner.tail(1500)))
    time.sleep(dice.random() * 0.15)  # the random moment
    victim = dice.choice(found)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        counts[wanted] = counts.get(wanted, 0) + 1


# ---- the claims ----

def start():
    runner.init().start()
    for name in ('py', 'js'):
        a = call('%s/bundle/local/%s/latest/work' % (runner.url, name))
        same(a.status, 200, a)
    kinds = {kind(words) for _, words, _ in family().values()}
    check(kinds >= {'at-rund-scheduler', 'at-rund.fcgi', 'fetcher', 'instance', 'lighttpd'}, kinds,
          [w for _, w, _ in family().values()])


def storm():
    threads = [threading.Thread(target=load, args=(SEED + i,), daemon=True) for i in range(THREADS)]
    for th in threads:
        th.start()
    try:
        for _ in range(KILLS):
            # Some jobs between two kills, or, while serve waits before it starts something again, a kill on top.
            before = len(accepted) + len(answered)
            with contextlib.suppress(Failed):
                until(lambda: len(accepted) + len(answered) >= before + 4, 'jobs', 1.2)
            kill_one()
    finally:
        stopping.set()
        for th in threads:
            th.join(40)
    print('killed: %s; accepted %d, answered %d, turned away %d' % (counts, len(accepted), len(answered), len(refused)),
          flush=True)
    check(len(accepted) > KILLS and len(answered) > KILLS / 2, 'there was too little load to say anything')


def ids():
    return {'%d-%s' % (row, nonce): (state, outcome)
            for row, nonce, state, outcome in runner.sql('SELECT id, nonce, state, outcome FROM job')}


def recovers():
    until(lambda: call(runner.url + '/ready').status == 200, 'ready again', 60)
    a = until(lambda: (lambda a: a if a.status == 200 else None)(
        call(runner.url + '/bundle/local/py/latest/work')), 'a call works again', 60)
    check(a.status == 200, a)


def all_done():
    until(lambda: not [i for i, (state, _) in ids().items() if state != 'done'], 'every job is done', 60)


def none_lost():
    rows = ids()
    missing = [j for j in accepted if j not in rows]
    check(not missing, '%d of %d accepted jobs are not in the ledger: %s' % (len(missing), len(accepted), missing[:3]))
    same(len(accepted), len(set(accepted)), 'ids given once')
    no_end = [j for j in accepted if rows[j][1] is None]
    check(not no_end, no_end[:3])
    tally = {}
    for j in accepted:
        tally[rows[j][1]] = tally.get(rows[j][1], 0) + 1
    print('accepted jobs ended: %s' % tally, flush=True)
    check(tally.get('ok', 0) > len(accepted) / 2, 'most accepted jobs end well:', tally)


def starts():
    lines = []
    for name in ('py', 'js'):
        with open(os.path.join(ran, name)) as f:
            lines += f.read().split('\n')
    return [x for x in lines if x]


def none_twice():
    began = starts()
    twice = sorted({j for j in began if began.count(j) > 1}) if len(set(began)) != len(began) else []
    check(not twice, '%d jobs were started twice: %s' % (len(twice), [(j, ids().get(j)) for j in twice[:3]]))


def ledger_is_true():
    """What the ledger calls ok did run; what it says never ran did not."""
    began, rows = set(starts()), ids()
    lies = [j for j, (_, outcome) in rows.items() if outcome == 'ok' and j not in began]
    check(not lies, 'ok, but never started:', lies[:3])
    lies = [j for j, (_, outcome) in rows.items() if outcome in ('refused', 'expired') and j in began]
    check(not lies, 'said never to have run, but did:', lies[:3])
    unknown = [j for j in began if j not in rows]
    check(not unknown, 'ran, but is in no row:', unknown[:3])
    wrong = [(j, text) for j, text in answered if j != text]
    check(not wrong, 'answers of other jobs:', wrong[:3])
    not_ok = [j for j, _ in answered if rows[j][1] != 'ok']
    check(not not_ok, 'answered 200, but the row says otherwise:', [(j, rows[j]) for j in not_ok[:3]])


def nothing_left():
    same(runner.stop(), 0, 'exit status of serve')
    until(lambda: not processes_of(where), 'all processes are gone: %s' % processes_of(where), 10)
    left = [f for f in os.listdir(os.path.join(runner.home, 'run', 'i'))] if os.path.isdir(
        os.path.join(runner.home, 'run', 'i')) else []
    check(not left, 'directories of instances:', left)


def whole():
    same(runner.sql('PRAGMA integrity_check'), [('ok',)])


began_at = time.monotonic()
t.run('everything runs', start)
if t.failed == 0:
    t.run('%d kills of one process each under load (seed %d)' % (KILLS, SEED), storm)
    t.run('the runner is itself again', recovers)
    t.run('every job comes to an end', all_done)
    t.run('nothing that was accepted is lost', none_lost)
    t.run('no job was started twice', none_twice)
    t.run('the ledger says what happened', ledger_is_true)
    t.run('no process and no instance is left after stop', nothing_left)
    t.run('the database is whole', whole)
print('test_kill: %.0f s' % (time.monotonic() - began_at))
t.end()
