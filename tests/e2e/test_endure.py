"""What a machine does to its programs besides killing them: the scheduler stands still past its leases, the clock jumps,
the disk is full.  What is true afterwards is decided by history.py.

    test_endure.py [pause] [clock] [disk]        make soak: longer
"""
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from history import Check  # noqa: E402
from load import Load, write_bundles  # noqa: E402

SEED = random.SystemRandom().randrange(1 << 30)
ROUNDS = 20 if SOAK else 1
GROUND = {'limits': {'queue': '5000', 'per_author': '5000', 'per_bundle': '5000'}, 'pool': {'max': '4'},
          'observability': {'level': 'info'}}

t = Cases()
print('seed %d' % SEED, flush=True)


def prepared(name, bundle=None, home=None, **sections):
    where = scratch()
    bundles, started = write_bundles(where, bundle)
    runner = Runner(home or where, bundles=bundles, sections={k: dict(v) for k, v in GROUND.items()}, name=name)
    runner.conf_top['isolation'] = 'none'  # handlers keep their own book in a file of the host
    for section, keys in sections.items():
        runner.conf.setdefault(section, {}).update(keys)
    return where, runner, started


def scheduler_of(runner):
    found = [p for p, words in family(runner.p.pid).items()
             if os.path.basename(words[0]) == 'at-rund-scheduler' and not any(w.startswith('--role') for w in words)]
    check(len(found) == 1, 'schedulers:', found)
    return found[0]


def finish(runner, load, started, **how):
    until(lambda: not runner.sql("SELECT id FROM job WHERE state <> 'done'"), 'every job is done', 60)
    same(runner.stop(), 0, 'exit status of serve')
    c = Check(load.history.path, runner.db, started, **how)
    wrong = c.run()
    print(c.summary(), flush=True)
    check(not wrong, *wrong)
    return c


def work(runner, seconds=0, name='py', endpoint='work', **kw):
    return call('%s/bundle/local/%s/latest/%s?s=%g' % (runner.url, name, endpoint, seconds), **kw)


def later(fn, *args, **kw):
    """The answer, once asked for."""
    box = []

    def ask():
        try:
            box.append(fn(*args, **kw))
        except (OSError, http.client.HTTPException) as e:
            box.append(e)
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()

    def get():
        thread.join(120)
        check(box and isinstance(box[0], Answer), 'no answer came:', box)
        return box[0]
    return get


def running(runner):
    return [r[0] for r in runner.sql("SELECT id FROM job WHERE state = 'running'")]


# ---- the scheduler stands still ----

def pause():
    """The bundle's time and 5 s of lease are over before the door's patience (limits.timeout and 2 s): whoever waits is told
    that the job is lost, and when the scheduler wakes, its own end for the job is refused."""
    where, runner, started = prepared('paused', {'timeoutMs': 1000}, limits={'timeout': '5s'})
    runner.init().start()
    load = Load(runner, where, SEED, threads=2).start()
    for _ in range(ROUNDS):
        until(lambda: load.done >= 20, 'some calls')
        answer = later(work, runner, 0.6, method='PUT', body=b'x')
        until(lambda: runner.sql("SELECT id FROM job WHERE state = 'running' AND method = 'PUT'"), 'it runs')
        pid = scheduler_of(runner)
        os.kill(pid, signal.SIGSTOP)
        try:
            a = answer()
        finally:
            os.kill(pid, signal.SIGCONT)
        same((a.status, a.error), (502, 'RunnerFailed'), a)
        job = a.header('at-run-job') or ''
        until(lambda: work(runner).status == 200, 'calls go on', 20)
        row = runner.sql('SELECT outcome, error_name, (SELECT count(*) FROM result r WHERE r.job = job.id) FROM job '
                         "WHERE id || '-' || nonce = ?", job)
        same(row, [('lost', 'RunnerFailed', 0)], 'the row of the job that was given up')
        until(lambda: 'job was settled by another' in runner.tail(200000), 'the late write is refused')
    load.stop()
    finish(runner, load, started)


# ---- the clock jumps ----

def clock():
    """A day forth, a day back, under load: nothing expires, nothing times out, nobody is turned away."""
    lib = glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')
    if not lib:
        skip('libfaketime is not installed')
    where, runner, started = prepared('stepped', limits={'timeout': '20s'})
    face = os.path.join(where, 'clock')

    def turn(to):
        with open(face + '.new', 'w') as f:
            f.write(to + '\n')
        os.rename(face + '.new', face)

    turn('+0d')
    runner.init()
    runner.env.update(LD_PRELOAD=lib[0], FAKETIME_TIMESTAMP_FILE=face, FAKETIME_NO_CACHE='1', FAKETIME_DONT_FAKE_MONOTONIC='1')
    runner.start()
    load = Load(runner, where, SEED, threads=2).start()
    for to in ('+1d', '-1d', '+0d') * ROUNDS:
        # Some wait in the queue and some run while it jumps: four instances for all, and more jobs than that.
        slow = [work(runner, 0.4, method='POST', body=b'', headers=[('Prefer', 'respond-async')]) for _ in range(6)]
        same([a.status for a in slow], [202] * 6)
        before = load.done
        turn(to)
        until(lambda: load.done > before + 20, 'calls go on')
        for a in slow:
            got = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=20' % (runner.url, a.header('at-run-job')))
            same(got.json.get('outcome'), 'ok', got)
    load.stop()
    c = finish(runner, load, started, clock_steps=True)
    bad = [(r.id, r.outcome) for r in c.list if r.outcome not in ('ok', 'cancelled')]
    check(not bad, 'ended by a clock that jumped:', bad)
    turned_away = [x for x in c.lines if x['type'] == 'told' and x['status'] >= 400]
    check(not turned_away, 'turned away:', turned_away[:3])


def clock_and_schedules():
    """What a jump passes over is missed, and dealt with once; a clock that is set back starts nothing twice, and waits for nothing
    that lies a day ahead."""
    lib = glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')
    if not lib:
        skip('libfaketime is not installed')
    where = scratch()
    pds = Pds(where)
    alice = pds.account('alice.test')
    hourly = {'schedule': '%d * * * *' % ((time.gmtime().tm_min + 30) % 60)}  # half an hour from now, and from any whole day
    alice.deploy('timed', b'export const skips = () => null, catches = skips;\n', 'application/javascript', entry='main.mjs',
                 runtime='application/javascript+node', endpoints={'skips': hourly, 'catches': dict(hourly, missed='once')})
    face = os.path.join(where, 'clock')
    runner = Runner(where, did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]}, 'schedules': {'refresh': '1s'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]}})
    runner.conf_top['isolation'] = 'none'

    def turn(days):
        with open(face + '.new', 'w') as f:
            f.write('%+dd\n' % days)
        os.rename(face + '.new', face)

    def came(endpoint):
        return [tuple(r) for r in runner.sql("SELECT what, outcome FROM v_firings WHERE called LIKE ? AND what <> 'asked' ORDER BY"
                                             ' firing', '%/' + endpoint)]

    def ahead(days):
        """By hand once more, which writes down when it comes next: within the hour of the clock as it stands."""
        (number,) = runner.sql("SELECT id FROM schedule WHERE endpoint = 'skips'")[0]
        same(runner.cli('schedule', 'run', str(number)).returncode, 0)
        (next_at,) = runner.sql('SELECT next_at FROM schedule WHERE id = ?', number)[0]
        return 0 < next_at / 1000 - (time.time() + 86400 * days) < 3600

    turn(0)
    runner.init()
    runner.env.update(LD_PRELOAD=lib[0], FAKETIME_TIMESTAMP_FILE=face, FAKETIME_NO_CACHE='1', FAKETIME_DONT_FAKE_MONOTONIC='1')
    runner.start()
    until(lambda: runner.sql('SELECT count(*) FROM schedule') == [(2,)], 'the schedules are there', 30)
    for days, times in ((2, 1), (1, 1), (-1, 1), (2, 2), (0, 2)):
        turn(days)
        # Of the days that are passed over on the way up again, the first time had not come before.
        until(lambda: ahead(days), 'it comes within the hour', 20, 0.2)
        until(lambda: came('catches') == [('started', 'ok')] * times, 'what was missed is started once', 20)
        same(came('skips'), [('missed', None)] * times, 'what was missed is left out')
    same(runner.sql('SELECT max(n) FROM (SELECT count(*) AS n FROM firing GROUP BY schedule, due_at)'), [(1,)])
    same(runner.stop(), 0)


# ---- the disk is full ----

class Disk:
    """A small file system of its own."""

    def __init__(self, megabytes):
        self.path = os.path.join(scratch(), 'disk')
        os.mkdir(self.path)
        r = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm,mode=0755' % megabytes, 'at-rund-test', self.path],
                           capture_output=True, text=True)
        if r.returncode != 0:
            skip('a small file system cannot be mounted here: ' + r.stderr.strip())
        self.ballast = os.path.join(self.path, 'ballast')

    def fill(self):
        with open(self.ballast, 'ab', buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while f.write(bytes(size)) == size:
                        pass

    def free(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ballast)

    def unmount(self):
        subprocess.run(['umount', '-l', self.path], capture_output=True)


def refuses(runner):
    """The log's pages that exist are used up first; then calls are refused, and the reason is said.  One that still found room may wait
    in vain for a scheduler that has none: it is told that its time is over, for it may yet run."""
    def one():
        a = work(runner, method='POST', body=bytes(30000))
        return a if a.status not in (200, 504) else None
    a = until(one, 'a call is refused', 60)
    same(a.status, 503, a)
    check('full' in a.json['message'] and a.header('retry-after'), 'the reason is said:', a)
    check('/' not in a.json['message'].replace('-/', ''), 'no path of the host is told:', a)


def reads_go_on(runner, job):
    a = call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job))
    same((a.status, a.json.get('outcome')), (200, 'ok'), a)
    same(call('%s/job/%s/result' % (runner.url, job)).text.strip('"'), job)
    same(runner.cli('--json', 'job', 'list').returncode, 0)


def disk():
    d = Disk(24 if ROUNDS == 1 else 200)  # what the rounds leave has room, too
    where, runner, started = prepared('full', home=d.path, limits={'timeout': '20s'})
    runner.log = os.path.join(where, 'full.log')  # a log on the full disk would tell nothing
    try:
        runner.init().start()
        load = Load(runner, where, SEED, threads=2).start()
        until(lambda: load.done >= 40, 'some calls')
        old = work(runner).header('at-run-job')
        for _ in range(ROUNDS):
            disk_one(d, runner, old)
        disk_for_long(d, runner, old)
        load.stop()
        disk_at_start(d, runner)
        finish(runner, load, started)
    finally:
        runner.stop()
        d.free()
        d.unmount()


def accepted(runner, seconds):
    a = until(lambda: (lambda a: a if a.status == 202 else None)(
        work(runner, seconds, method='POST', body=b'', headers=[('Prefer', 'respond-async')])), 'a job is accepted')
    return a.header('at-run-job')


def disk_one(d, runner, old):
    # while calls wait and run
    jobs = [accepted(runner, 0.5) for _ in range(8)]
    flow = later(work, runner, 2, endpoint='flow', method='PUT', body=b'x')
    until(lambda: runner.sql("SELECT id FROM job WHERE state = 'running' AND method = 'PUT'"), 'the stream runs')
    d.fill()
    refuses(runner)
    reads_go_on(runner, old)
    d.free()
    until(lambda: work(runner).status == 200, 'calls go on once there is room', 30)
    for job in jobs:
        got = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=20' % (runner.url, job))
        same(got.json.get('outcome'), 'ok', got)
    a = flow()
    check(a.status == 200 and a.text.endswith('end\n') and not a.cut, 'a stream went on as well:', a)


def disk_for_long(d, runner, old):
    """For so long that the scheduler cannot write its pulse: the reason is the disk still, not that nobody is there."""
    d.fill()
    refuses(runner)
    pid = scheduler_of(runner)  # whether its next pulse still finds a page in the log is chance; stopped, it writes none
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(10.5)
        a = work(runner, method='POST', body=b'x')
        same((a.status, a.error), (503, 'DiskFull'), a)
        reads_go_on(runner, old)
    finally:
        os.kill(pid, signal.SIGCONT)
    d.free()
    until(lambda: work(runner).status == 200, 'calls go on once there is room', 30)


def disk_at_start(d, runner):
    """A scheduler that is killed meanwhile comes again once there is room; serve started without room says so."""
    d.fill()
    refuses(runner)
    killed = scheduler_of(runner)
    os.kill(killed, signal.SIGKILL)
    until(lambda: scheduler_of(runner) != killed, 'another scheduler tries')
    d.free()
    until(lambda: runner.is_ready() and work(runner).status == 200, 'it comes up once there is room', 60)
    same(runner.stop(), 0, 'exit status of serve')
    d.fill()
    runner.start(wait=False)
    until(lambda: not runner.p.alive(), 'serve says that there is no room')
    check('No space left' in runner.tail(), runner.tail())
    runner.stop()
    d.free()
    runner.start()
    same(work(runner).status, 200)


t.run('pause: the scheduler stands still past its leases; its late writes are refused', pause)
t.run('clock: a day forth and back', clock)
t.run('clock: schedules go with it', clock_and_schedules)
t.run('disk: full at every stage', disk)
t.end()
