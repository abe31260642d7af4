"""kill -9 at random moments under a mixed load, of any program of ours, singly and together: nothing accepted is lost,
no job runs twice, nothing is left.

    test_kill.py [--kills=50] [--seed=N]        make soak: 1000

The bundles lie on a real PDS, run behind the sandbox where it works, reach out through gate and egress, and have schedules; callers
come through lighttpd and through Apache.  What is true afterwards is decided by history.py, from what clients were told, what
handlers wrote and what the ledger says.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from history import Check  # noqa: E402
from load import Load, deploy_bundles, write_bundles  # noqa: E402

OPTIONS = dict(a[2:].split('=', 1) for a in sys.argv[1:] if a.startswith('--') and '=' in a)
KILLS = int(OPTIONS.get('kills', 1000 if SOAK else 50))
SEED = int(OPTIONS.get('seed', random.SystemRandom().randrange(1 << 30)))
VICTIMS = ('scheduler', 'fcgi', 'fetcher', 'egress', 'instance', 'gate', 'lighttpd', 'apache')
TOGETHER = 0.2  # of the kills take several at once

t = Cases()
t.pick = []
where = scratch()
book = scratch('/var/tmp/at-rund-e2e-')  # of the handlers; below /tmp nothing of the host can be granted
dice = random.Random(SEED)
print('seed %d, %d kills' % (SEED, KILLS), flush=True)

runner = load = front = world = None
author, started = 'local', []
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
    return {'at-rund-scheduler': 'scheduler', 'at-rund.fcgi': 'fcgi', 'lighttpd': 'lighttpd', 'gate': 'gate'}.get(program)


def victims(wanted):
    if wanted == 'apache':  # its workers; nobody would start Apache itself again
        return sorted(family(front.p.pid)) if front else []
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

def sandboxed():
    """Can instances be behind a wall here, and write the book that handlers keep?"""
    return shutil.which('bwrap') and subprocess.run(['bwrap', '--unshare-all', '--ro-bind', '/', '/', '--proc', '/proc', 'true'],
                                                    capture_output=True).returncode == 0


class World(Serve):
    """What `out` asks, by a name that only a resolver of the test's own knows: localhost would be the wall's inside."""

    def __init__(self):
        super().__init__(lambda method, path, headers, body, send: send(200, {}, b'the world'))
        self.url = 'http://world.test:%d/' % self.port
        self.dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.dns.bind(('127.0.0.1', 0))
        self.resolver = '127.0.0.1:%d' % self.dns.getsockname()[1]
        threading.Thread(target=self._names, daemon=True).start()

    def _names(self):
        while True:
            ask, who = self.dns.recvfrom(4096)
            end = ask.index(b'\0', 12) + 5
            is_a = ask[end - 4:end - 2] == b'\0\1' and ask[12:end - 4] == b'\5world\4test\0'
            found = b'\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1' if is_a else b''
            self.dns.sendto(ask[:2] + b'\x81\x80\0\1' + (b'\0\1' if found else b'\0\0') + b'\0\0\0\0' + ask[12:end] + found, who)


def start():
    """An author with a repository where there is a PDS, else a folder: without schedules then."""
    global runner, load, front, world, author, started
    wall, pds, sections = sandboxed(), None, {}
    if wall:
        world = World()
        sections['egress'] = {'allow_private': ['127.0.0.0/8'], 'resolver': world.resolver}
        sections['grants'] = {'write': ['* ' + os.path.join(book, 'ran')]}
    if pds_node():
        pds = Pds(where)
        alice = pds.account('alice.test')
        author, started = alice.did, deploy_bundles(book, alice, world=world and world.url)
        sections.update(access={'mode': 'allowlist', 'allowlist': [alice.did]}, schedules={'refresh': '2s'},
                        atproto={'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)], 'record_fresh': '1s'})
        bundles = None
    else:
        world = None
        bundles, started = write_bundles(book)
    runner = Runner(where, bundles=bundles, user='www-data', did=pds and author, handle=pds and 'alice.test', sections=dict(sections, **{
        'limits': {'timeout': '15s', 'queue': '5000', 'per_author': '5000', 'per_bundle': '5000'}, 'pool': {'max': '4'}}))
    runner.conf_top['isolation'] = 'sandbox' if wall else 'none'
    give(book, runner.user)
    runner.init().start()
    try:
        front = apache(where, runner)
    except Skipped as e:
        print('not behind Apache: %s' % e)
    print('wall %s, %s, ways out: %s, behind %s' % (runner.conf_top['isolation'], 'a PDS, schedules' if pds else 'no PDS, no schedules',
                                                   'yes' if world else 'no', 'lighttpd and Apache' if front else 'lighttpd'), flush=True)
    load = Load(runner, where, SEED, author=author, fronts=[runner.url] + ([front.url] if front else []), out=bool(world),
                schedules=bool(pds))
    for name in ('py', 'js'):
        for endpoint in ('work', 'out') if world else ('work',):
            a = call('%s/bundle/%s/%s/latest/%s' % (runner.url, author, name, endpoint))
            same(a.status, 200, a)
    if pds:
        until(lambda: runner.sql('SELECT count(*) FROM schedule') == [(6,)], 'the schedules are there', 30)


def storm():
    present = [v for v in VICTIMS if victims(v)]
    check({'scheduler', 'fcgi', 'fetcher', 'instance', 'lighttpd'} | ({'egress', 'gate'} if world else set()) <= set(present),
          'what runs here:', present)
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
    until(lambda: call('%s/bundle/%s/py/latest/work' % (runner.url, author)).status == 200, 'a call works again', 60)


def all_done():
    until(lambda: not runner.sql("SELECT id FROM job WHERE state <> 'done'"), 'every job is done', 60)


def nothing_left():
    if front:
        front.stop()
    same(runner.stop(), 0, 'exit status of serve')
    until(lambda: not processes_of(runner.home), 'all processes are gone: %s' % processes_of(runner.home), 10)
    i = os.path.join(runner.home, 'run', 'i')
    left = os.listdir(i) if os.path.isdir(i) else []
    check(not left, 'directories of instances:', left)


def history_holds():
    c = Check(load.history.path, runner.db, started)
    wrong = c.run()
    print(c.summary(), flush=True)
    check(not wrong, *wrong)
    accepted = [c.rows[x['job']].outcome for x in c.told('async') if x['status'] == 202]
    if world:
        print('the world was asked %d times' % len(world.seen), flush=True)
        check(len(world.seen) > KILLS, 'too few ways out:', len(world.seen))
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
