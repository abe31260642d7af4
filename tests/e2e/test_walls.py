"""
Which wall stands, who says so, and what is left of them: doctor on hosts that lack things, images, several walls at once, pools,
kill -9 of everything.  That the walls hold is for tests/contract.
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

AT_RUND = os.path.join(BUILD, 'at-rund')
# A home for nothing but images, made once for all tests.
IMAGES = subprocess.run(['sh', os.path.join(ROOT, 'tests', 'images.sh')], capture_output=True, text=True, check=True).stdout.strip()
t = Cases()
where = scratch()
bundles = os.path.join(where, 'bundles')
no_containers = no_sandbox = None  # why
runner = None


def run(*args, home=None, path=None, wrap=()):
    """Images are built as the operator would, with his own ways to the mirrors and registries; the rest in a clean world."""
    env = dict(os.environ) if args[0] == 'build' else clean_env(HOME=where, AT_RUND_ATPROTO_PLC_URL='http://127.0.0.1:9')
    env['AT_RUND_HOME'] = home or os.path.join(where, 'empty')
    if path is not None:
        env['PATH'] = path
    return subprocess.run([*wrap, AT_RUND, *args], env=env, capture_output=True, text=True, timeout=300 * SLOW)


def findings(r):
    return {f['what']: f for f in json.loads(r.stdout)['checks']}


# ---- doctor ----------------------------------------------------------------------------------------------------

def nothing_installed():
    """A host without podman, bwrap and runtimes: PATH leads nowhere."""
    r = run('doctor', '--json', path=os.path.join(where, 'nothing'))
    f = findings(r)
    same(r.returncode, 69)
    same((f['wall container']['verdict'], f['wall container']['mend']), ('warning', 'apt install podman'))
    same((f['wall sandbox']['verdict'], f['wall sandbox']['mend']), ('warning', 'apt install bubblewrap'))
    check(f['walls']['verdict'] == 'failure' and 'no wall works here' in f['walls']['text'], f)


def without_user_namespaces():
    wrap = ['unshare', '--user', '--map-root-user', 'sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"']
    if subprocess.run([*wrap, 'true'], capture_output=True).returncode != 0:
        skip('no user namespace of our own can be made here')
    if not shutil.which('bwrap'):
        skip('no bwrap')
    f = findings(run('doctor', '--json', wrap=wrap))
    check(f['wall sandbox']['verdict'] != 'ok' and f['wall sandbox']['mend'] == 'sysctl user.max_user_namespaces=1000',
          f['wall sandbox'])


def in_lines():
    r = run('doctor')
    check(re.search(r'^(ok|warning|failure) +wall sandbox: ', r.stdout, re.M), r.stdout)
    check(re.search(r'^\d+ ok, \d+ warnings, \d+ failures$', r.stdout, re.M), r.stdout)
    check('→ at-rund build' in r.stdout or '→ apt install' in r.stdout, r.stdout)


def asked_by_name():
    """A wall that the config asks for and that does not stand is a failure, and serve does not start."""
    home = os.path.join(where, 'named')
    os.mkdir(home)
    with open(os.path.join(home, 'config.ini'), 'w') as f:
        f.write('isolation = container\n[access]\nmode = open\n')
    nowhere = os.path.join(where, 'nothing')
    f = findings(run('doctor', '--json', home=home, path=nowhere))
    same(f['wall container']['verdict'], 'failure')
    r = run('serve', '--port', '0', home=home, path=nowhere)
    check(r.returncode == 78 and 'apt install podman' in r.stderr, r.returncode, r.stderr)


# ---- images ----------------------------------------------------------------------------------------------------

def images():
    global no_containers
    for program in ('podman', 'mmdebstrap'):
        if not shutil.which(program):
            no_containers = program + ' is not installed'
            skip(no_containers)
    r = run('build', home=IMAGES)
    if r.returncode != 0:
        no_containers = 'images cannot be built here: ' + r.stderr.strip()[-400:]
        skip(no_containers)
    f = findings(run('doctor', '--json', home=IMAGES))
    if f['wall container']['verdict'] != 'ok':
        no_containers = 'containers do not work here: ' + f['wall container']['text']
        skip(no_containers)
    for n in ('deno', 'node', 'python'):
        same(f['runtime ' + n]['text'], 'runs behind the wall container')
    rows = {x['name']: x for x in json.loads(run('runtime', 'list', '--json', home=IMAGES).stdout)['runtimes']}
    check(all(rows[n]['image'].startswith('sha256:') and rows[n]['built'] for n in ('deno', 'node', 'python')), rows)


def gvisor():
    """The OCI runtime that the config names: what is to be installed, or that it works and what it bounds."""
    if no_containers:
        skip(no_containers)
    home, path = os.path.join(where, 'gvisor'), os.path.join(where, 'only-podman')
    os.mkdir(home)
    os.mkdir(path)
    os.symlink(program('podman'), path + '/podman')
    os.symlink(os.path.join(IMAGES, 'images'), home + '/images')
    with open(os.path.join(home, 'config.ini'), 'w') as f:
        f.write('isolation = container\n[access]\nmode = open\n[container]\nruntime = runsc\n')
    f = findings(run('doctor', '--json', home=home, path=path))['wall container']
    same((f['verdict'], f['mend']), ('failure', 'apt install runsc'), f)
    if not shutil.which('runsc'):
        skip('runsc is not installed')
    f = findings(run('doctor', '--json', home=home))['wall container']
    if os.geteuid() == 0:
        check(f['verdict'] == 'ok' and 'runsc, memory, processes and CPU time counted by cgroup' in f['text'], f)
    else:
        check(f['verdict'] == 'failure' and 'podman of root only' in f['text'], f)


def same_digest():
    """The same packages, twice, in two homes: the same image, bit by bit.  A definition of one's own, in both its forms."""
    if no_containers:
        skip(no_containers)
    lists = sorted(os.listdir('/var/lib/apt/lists'))
    ids = []
    for form, text in (('ini', 'mimeTypes = [ "text/x-shell" ]\n[executor]\ncommand = busybox\nfile = executor.sh\n[packages]\n'
                               'debian = [ "busybox-static" ]\nprepare = [ "/bin/busybox true" ]\n'),
                       ('nix', '{ pkgs, ... }: { mimeTypes = [ "text/x-shell" ]; executor = { command = "busybox"; file = '
                               '"executor.sh"; };\n  guest.environment = { debian = [ "busybox-static" ]; prepare = '
                               '[ "/bin/busybox true" ]; }; }\n')):
        if form == 'nix' and not shutil.which('nix-instantiate'):
            continue
        home = os.path.join(where, 'small-' + form)
        os.makedirs(os.path.join(home, 'runtimes'))
        with open(os.path.join(home, 'config.ini'), 'w') as f:
            f.write('[access]\nmode = open\n[runtimes]\nshell = shell.%s\n' % form)
        with open(os.path.join(home, 'runtimes', 'shell.' + form), 'w') as f:
            f.write(text)
        with open(os.path.join(home, 'runtimes', 'executor.sh'), 'w') as f:
            f.write('exit 1\n')
        r = run('build', '--json', home=home)
        check(r.returncode == 0, r.stderr)
        ids.append(json.loads(r.stdout)['images'][0]['image'])
        check(os.path.exists(os.path.join(home, 'images', 'shell', 'root', 'bin', 'busybox')), os.listdir(home))
        again = json.loads(run('build', '--json', home=home).stdout)['images'][0]
        same((again['state'], again['image']), ('up to date', ids[0]))
    same(sorted(os.listdir('/var/lib/apt/lists')), lists)  # this machine's own are none of our business
    check(len(set(ids)) == 1, ids)
    subprocess.run(['podman', 'rmi', '--force', ids[0]], capture_output=True)


def unknown_package():
    if no_containers:
        skip(no_containers)
    home = os.path.join(where, 'bad')
    os.makedirs(os.path.join(home, 'runtimes'))
    with open(os.path.join(home, 'config.ini'), 'w') as f:
        f.write('[access]\nmode = open\n[runtimes]\nbad = bad.ini\n')
    with open(os.path.join(home, 'runtimes', 'bad.ini'), 'w') as f:
        f.write('mimeTypes = [ "a/b" ]\n[executor]\ncommand = python3\n[packages]\ndebian = [ "no-such-package-at-all" ]\n')
    r = run('build', home=home)
    check(r.returncode != 0 and 'no-such-package-at-all' in r.stderr, r.stderr)
    check(not os.path.exists(os.path.join(home, 'images', 'bad')), 'a half-made image is there')


# ---- several walls at once -------------------------------------------------------------------------------------

def put(name, text, **record):
    d = os.path.join(bundles, name)
    os.makedirs(d)
    with open(os.path.join(d, 'main.py'), 'w') as f:
        f.write(text)
    with open(os.path.join(d, 'bundle.json'), 'w') as f:
        json.dump({'$type': 'dev.at-run.bundle', 'name': name, 'version': '1.0.0', 'runtime': 'application/python', 'entry': 'main.py',
                   'endpoints': {'hello': {}, 'stay': {}}, 'permissions': {}, **record}, f)


CODE = '''import os
count = 0

def hello(request, ctx):
    global count
    count += 1
    return {'count': count, 'pid': os.getpid(), 'root': sorted(os.listdir('/')),
            'image': os.path.exists('/usr/share/at-rund-packages')}

def stay(request, ctx):
    import signal, time
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    return 'left'
'''


def get(name, endpoint='hello'):
    a = call('%s/bundle/local/%s/latest/%s' % (runner.url, name, endpoint), timeout=40)
    check(a.status == 200, a, runner.tail())
    return a


def wall_of(name):
    return runner.sql("SELECT wall FROM job WHERE bundle = ? AND state = 'done' ORDER BY rowid DESC LIMIT 1", name)[0][0]


def instances():
    return os.listdir(os.path.join(runner.home, 'run', 'i'))


def starts(**pool):
    global runner, no_sandbox
    sandbox = findings(run('doctor', '--json'))['wall sandbox']
    if sandbox['verdict'] == 'warning':  # this host has none, as doctor's other tests know it
        no_sandbox = 'no sandbox here: ' + sandbox['text']
        skip(no_sandbox)
    put('alone', CODE)
    put('sandboxed', CODE)
    put('fresh', CODE, reuse='never')
    shutil.copytree(os.path.join(ROOT, 'contrib', 'examples', 'hello-node'), os.path.join(bundles, 'hello-node'))
    # No pool.spare: a machine that runs out of memory while we test is none of these cases.
    runner = Runner(where, bundles=bundles, sections={'pool': {'max': '6', 'spare': '0'}, 'scheduler': {'grace': '2s'}, 'isolation': {
        'authors': ['local/sandboxed sandbox'], 'node': 'sandbox'}})
    runner.conf_top['isolation'] = 'sandbox' if no_containers else 'container'
    runner.init()
    if not no_containers:
        os.rmdir(os.path.join(runner.home, 'images'))
        os.symlink(os.path.join(IMAGES, 'images'), os.path.join(runner.home, 'images'))
    runner.start()


def several():
    if no_sandbox:
        skip(no_sandbox)
    if no_containers:
        skip(no_containers)
    alone, sandboxed = get('alone').json, get('sandboxed').json
    get('hello-node')
    same([wall_of(n) for n in ('alone', 'sandboxed', 'hello-node')], ['container', 'sandbox', 'sandbox'])
    check('sys' in alone['root'] and 'sys' not in sandboxed['root'], alone, sandboxed)
    check(alone['image'] and sandboxed['image'], 'the files are not those of the image', alone, sandboxed)
    same(json.loads(runner.cli('status', '--json').stdout)['wall'], 'container, sandbox')


def warm_calls():
    """The second call meets the instance of the first."""
    if no_sandbox:
        skip(no_sandbox)
    first, second = get('alone'), get('alone')
    same(second.json['count'], first.json['count'] + 1)
    same(second.json['pid'], first.json['pid'])


# ---- pools -----------------------------------------------------------------------------------------------------

def never_reused():
    """Each call its own process, two at a time too."""
    if no_sandbox:
        skip(no_sandbox)
    seen = [get('fresh').json['count'] for _ in range(3)]
    same(seen, [1, 1, 1])
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get('fresh').json['count'])) for _ in range(3)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    same(answers, [1, 1, 1])
    until(lambda: not runner.sql("SELECT 1 FROM v_instances WHERE bundle LIKE '%fresh' AND state <> 'ended'"), 'they are gone')


def blanks():
    """Blanks are made on demand, taken by any bundle, made again, and drained by runtime."""
    if no_sandbox:
        skip(no_sandbox)
    def count(state):
        return len([x for x in json.loads(runner.cli('pool', 'status', '--json').stdout)['instances']
                    if x['state'] == state and x['runtime'] == 'python'])
    check(runner.cli('pool', 'warm', 'python', '2').returncode == 0)
    until(lambda: count('blank') == 2, 'two blanks', 30)
    a = get('fresh')
    same(a.header('At-Run-Instance'), 'blank')
    until(lambda: count('blank') == 2, 'the blank is made again', 30)
    check(runner.cli('pool', 'warm', 'python', '0').returncode == 0)
    check(runner.cli('pool', 'drain', 'python').returncode == 0)
    until(lambda: count('blank') == 0, 'the blanks end', 30)


def short_of_memory():
    """pool.spare beyond what any machine has: idle instances go one by one, calls are served all the same."""
    if no_sandbox:
        skip(no_sandbox)
    other = Runner(where, bundles=bundles, name='short', sections={'pool': {'spare': '1000G', 'warm.python': '2'}})
    other.conf_top['isolation'] = 'sandbox'
    other.init().start()
    try:
        for _ in range(2):
            a = call('%s/bundle/local/alone/latest/hello' % other.url, timeout=40)
            same((a.status, a.json['count']), (200, 1))
            until(lambda: not os.listdir(os.path.join(other.home, 'run', 'i')), 'idle instances end', 20)
        rows = other.sql('SELECT why FROM instance WHERE why IS NOT NULL')
        check(all('short of memory' in x[0] for x in rows) and rows, rows)
    finally:
        other.stop()


# ---- what is left ----------------------------------------------------------------------------------------------

def containers(home):
    """Those with the label of this home, whoever else runs some on this machine."""
    out = subprocess.run(['podman', 'ps', '--all', '--quiet', '--no-trunc', '--filter', 'label=at-rund.home=' + home], capture_output=True,
                         text=True)
    return set(out.stdout.split())


def label_of_home():
    """As an instance of ours has it, found by the directory that is mounted there."""
    out = subprocess.run(['podman', 'ps', '--all', '--format', 'json'], capture_output=True, text=True).stdout
    for c in json.loads(out):
        r = subprocess.run(['podman', 'inspect', c['Id']], capture_output=True, text=True)
        if r.returncode == 0 and runner.home in r.stdout:
            return c['Labels']['at-rund.home']
    raise Failed('no container of this home')


def everything_killed():
    """kill -9 of all that is ours, conmon too: the next start removes the containers of this home, and no others."""
    if no_sandbox:
        skip(no_sandbox)
    if no_containers:
        skip(no_containers)
    image = runner_image()
    other = subprocess.run(['podman', '--runtime', 'runc', 'run', '--detach', '--rm', '--network', 'none', '--ulimit', 'nofile=256:256',
                            '--ulimit', 'nproc=64:64', '--log-driver', 'none', '--label', 'at-rund.home=somebody-else', image,
                            '/usr/bin/python3', '-c', 'import time; time.sleep(300)'], capture_output=True, text=True)
    if other.returncode != 0:
        skip('no container of somebody else can be started: ' + other.stderr[-200:])
    theirs = other.stdout.strip()
    try:
        get('alone', 'stay')  # something that does not end with its socket
        home = label_of_home()
        mine = containers(home)
        check(mine, 'no container runs')
        for pid in [p for p, _ in processes_of(runner.home)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runner.p.stop(signal.SIGKILL, 5)
        runner.start()
        get('alone')
        check(not containers(home) & mine, 'one of before the kill lives', containers(home), mine)
        # On a busy machine a start may have come to nothing before; that one is on its way out.
        until(lambda: len(containers(home)) == 1, 'one container, that of the call')
        same(containers('somebody-else'), {theirs}, "somebody else's container")
        same(runner.stop(), 0)
        until(lambda: not containers(home), 'the last container is removed')
    finally:
        subprocess.run(['podman', 'rm', '--force', theirs], capture_output=True)


def runner_image():
    with open(os.path.join(IMAGES, 'images', 'python', 'image.json')) as f:
        return json.load(f)['image']


t.run('doctor where nothing is installed', nothing_installed)
t.run('doctor without user namespaces', without_user_namespaces)
t.run('doctor for people: a line each, the command below it', in_lines)
t.run('a wall asked for by name that does not stand is a failure', asked_by_name)
t.run('images of all runtimes are built, and containers work', images)
t.run('gVisor, where it is installed and where not', gvisor)
t.run('the same packages are the same image, from .ini and from .nix', same_digest)
t.run('a package that does not exist is named, and nothing half-made stays', unknown_package)
t.run('a runner with several walls starts', starts)
t.run('each bundle has the wall of its runtime, its author or its own', several)
t.run('a warm call meets the instance of the one before', warm_calls)
t.run('reuse never: each call has an instance of its own', never_reused)
t.run('blanks: warm, bind, again, drain', blanks)
t.run('short of memory, idle instances end', short_of_memory)
t.run('kill -9 of everything leaves no container of ours', everything_killed)
t.end()
