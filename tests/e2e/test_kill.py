"""kill -9 at random moments under a mixed load, of any program of ours, singly and together: nothing accepted is lost,
no job runs twice, nothing is left.

    test_kill.py [--kills=50] [--seed=N]        make soak: 1000

What is true afterwards is decided by history.py, from what clients were told, what handlers wrote and what the ledger says.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from history import Check  # noqa: E402
from load import Load, write_bundles  # noqa: E402

OPTIONS = dict(a[2:].split('=', 1) for a in sys.argv[1:] if a.startswith('--') and '=' in a)
KILLS = int(OPTIONS.get('kills', 1000 if SOAK else 50))
SEED = int(OPTIONS.get('seed', random.SystemRandom().randrange(1 << 30)))
VICTIMS = ('scheduler', 'fcgi', 'fetcher', 'egress', 'instance', 'lighttpd')
TOGETHER = 0.2  # of the kills take several at once

t = Cases()
t.pick = []
where = scratch()
dice = random.Random(SEED)
print('seed %d, %d kills' % (SEED, KILLS), flush=True)

bundles, started = write_bundles(where)
runner = Runner(where, bundles=bundles, sections={'limits': {'timeout': '15s', 'queue': '5000', 'per_author': '5000',
                                                             'per_bundle': '5000'}, 'pool': {'max': '4'}})
runner.conf_top['isolation'] = 'none'  # handlers keep their own book in a file of the host; make contract kills behind walls
load = Load(runner, where, SEED)
counts = {}


# ---- the victims ----

def kind(words):
    program = os.path.basename(words[0]) if words else ''
    role = [w.rpartition('=')[2] for w in words if w.startswith('--role')] + [w for w in words if w in ('fetcher', 'egress')]
    for name in ('fetcher', 'egress'):
        if name in role or program.startswith('at-rund-' + name):
            return name
    if program.startswith(('python', 'node', 'deno')):
        return 'instance'
    return {'at-rund-scheduler': 'scheduler', 'at-rund.fcgi': 'fcgi', 'lighttpd': 'lighttpd'}.get(program)


def victims(wanted):
    return sorted(p for p, words in family(runner.p.pid).items() if kind(words) == wanted)


def kill_some(present):
    wanted = dice.sample(present, dice.choice((2, 3))) if dice.random() < TOGETHER else [dice.choice(present)]
    chosen = []
    for name in wanted:
        try:
            chosen.append((name, dice.choice(until(lambda: victims(name), 'a %s to kill' % name, 20))))
        except Failed:
            check(runner.p.alive(), 'serve has ended:', runner.tail())
            raise Failed('no %s came back within 20 s; serve says: %s' % (name, runner.tail(1500)))
    time.sleep(dice.random() * 0.15)  # the random moment
    for name, pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            counts[name] = counts.get(name, 0) + 1


# ---- the claims ----

def start():
    runner.init().start()
    for name in ('py', 'js'):
        a = call('%s/bundle/local/%s/latest/work' % (runner.url, name))
        same(a.status, 200, a)


def storm():
    present = [v for v in VICTIMS if victims(v)]
    check({'scheduler', 'fcgi', 'fetcher', 'instance', 'lighttpd'} <= set(present), 'what runs here:', present)
    load.start()
    try:
        for _ in range(KILLS):
            # Some jobs between two kills, or, while serve waits before it starts something again, a kill on top.
            before = load.done
            with contextlib.suppress(Failed):
                until(lambda: load.done >= before + 4, 'jobs', 1.2)
            kill_some(present)
    finally:
        load.stop()
    print('killed: %s' % counts, flush=True)
    check(load.done > 3 * KILLS, 'there was too little load to say anything:', load.done)


def recovers():
    until(lambda: call(runner.url + '/ready').status == 200, 'ready again', 60)
    until(lambda: call(runner.url + '/bundle/local/py/latest/work').status == 200, 'a call works again', 60)


def all_done():
    until(lambda: not runner.sql("SELECT id FROM job WHERE state <> 'done'"), 'every job is done', 60)


def nothing_left():
    same(runner.stop(), 0, 'exit status of serve')
    until(lambda: not processes_of(where), 'all processes are gone: %s' % processes_of(where), 10)
    i = os.path.join(runner.home, 'run', 'i')
    left = os.listdir(i) if os.path.isdir(i) else []
    check(not left, 'directories of instances:', left)


def history_holds():
    c = Check(load.history.path, runner.db, started)
    wrong = c.run()
    print(c.summary(), flush=True)
    check(not wrong, *wrong)
    accepted = [c.rows[x['job']].outcome for x in c.told('async') if x['status'] == 202]
    check(accepted.count('ok') > len(accepted) / 2, 'most accepted jobs end well:', accepted.count('ok'), len(accepted))


began_at = time.monotonic()
t.run('everything runs', start)
if t.failed == 0:
    t.run('%d kills under load, singly and together (seed %d)' % (KILLS, SEED), storm)
    t.run('the runner is itself again', recovers)
    t.run('every job comes to an end', all_done)
    t.run('no process and no instance is left after stop', nothing_left)
    t.run('clients, handlers and the ledger tell the same', history_holds)
print('test_kill: %.0f s' % (time.monotonic() - began_at))
t.end()
