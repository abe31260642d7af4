"""
The day of a new operator: a fresh Debian, the package, and what README.md says under "As a service", "Deploy your first bundle" and
"Back up", word for word, in a network that has nothing but loopback, beside a real PDS.

The root file system comes from mmdebstrap, with the apt sources of this machine; the package is installed by apt under the new
machine's own systemd.
"""
import ctypes
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from deb import package  # noqa: E402
from machine import Machine  # noqa: E402

t = Cases()
t.pick = []  # one day, from morning to evening
where = scratch()
CLONE_NEWNET = 0x40000000
machine = pds = alice = outside = None
DEV = {'AT_RUND_DEV': '1'}  # the directory and the PDS are on loopback, without TLS
before = {}


def section(title):
    with open(os.path.join(ROOT, 'README.md')) as f:
        return f.read().split('## %s\n' % title)[1].split('\n## ')[0]


def blocks(title, kind='sh'):
    found = re.findall(r'^( *)```%s\n(.*?)^ *```$' % kind, section(title), re.M | re.S)
    return ['\n'.join(line[len(indent):] for line in body.splitlines()) for indent, body in found]


def page(text, **changes):
    """Lines of the README as root types them in the new machine, with the words that stand for the reader's own replaced."""
    text = text.replace('sudo ', '').replace('did:plc:your-did-here', alice.did).replace('you.bsky.social', alice.handle)
    for old, new in changes.values():
        check(old in text, 'the README does not say', old)
        text = text.replace(old, new)
    return machine.run('sh', '-euc', 'cd /root\n' + text, env=DEV)


# ---- the machine ----

def sources():
    """The apt sources of this machine, as mmdebstrap takes them."""
    found = [f for f in ['/etc/apt/sources.list'] if os.path.exists(f) and os.path.getsize(f)]
    d = '/etc/apt/sources.list.d'
    found += [os.path.join(d, f) for f in sorted(os.listdir(d)) if f.endswith(('.list', '.sources'))] if os.path.isdir(d) else []
    with open('/etc/os-release') as f:
        code = dict(line.rstrip().split('=', 1) for line in f if '=' in line).get('VERSION_CODENAME', '')
    if not found or not code:
        skip('this machine has no apt sources')
    return code, found


def fresh():
    """Debian with systemd and nothing else."""
    if os.geteuid() != 0:
        skip('needs root')
    program('apt-get')
    program('ip')
    made = os.environ.get('AT_RUND_TEST_DEBIAN')  # one that an earlier run left, for those who work on this test
    if made and os.path.isdir(made):
        return made
    code, found = sources()
    root = made or os.path.join(where, 'debian')
    try:
        r = subprocess.run([program('mmdebstrap'), '--quiet', '--variant=apt', '--include=systemd,systemd-sysv,ca-certificates',
                            '--skip=cleanup/apt', '--aptopt=Acquire::Retries "2"', code, root] + found, capture_output=True, text=True,
                           timeout=300 * SLOW, stdin=subprocess.DEVNULL, env=dict(os.environ, SOURCE_DATE_EPOCH='0'))
    except subprocess.TimeoutExpired:
        skip('mmdebstrap does not come to an end here')
    if r.returncode != 0:
        skip('mmdebstrap makes no root file system here: %s' % (r.stderr.strip().splitlines() or ['?'])[-1][-300:])
    for f in ('/etc/resolv.conf', '/etc/hosts'):
        if os.path.exists(f):
            shutil.copy(f, root + f)
    r = subprocess.run(['apt-config', 'dump'], capture_output=True, text=True)
    with open(root + '/etc/apt/apt.conf.d/99machine', 'w') as f:  # how this machine reaches its mirror
        f.writelines(x + '\n' for x in r.stdout.splitlines() if re.match(r'Acquire::https?::', x))
    return root


def alone():
    """From here on this program, and all it starts, is in a network of its own."""
    global outside
    outside = os.open('/proc/self/ns/net', os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        skip('no network namespace here: %s' % os.strerror(ctypes.get_errno()))
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)


def boots():
    global machine, pds, alice
    root = fresh()
    deb = package(where)
    alone()
    m = Machine(where, root)
    pds = Pds(where)
    alice = pds.account('alice.test')
    m.copy(deb, '/root/' + os.path.basename('at-rund_test.deb'))
    same(m.run('sh', '-c', 'ls /usr/sbin/lighttpd /usr/bin/bwrap /usr/bin/node', ok=False).stdout, '', 'what a fresh machine has')
    machine = m


def installs():
    (text,) = [b for b in blocks('As a service') if 'apt install' in b]
    apt, init = text.splitlines()
    r = subprocess.run(['nsenter', '--net=/proc/%d/fd/%d' % (os.getpid(), outside), 'nsenter', '-t', str(machine.pid), '-m', '-p',
                        '-C', '-u', '-i', '-r', '-w', 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root',
                        'DEBIAN_FRONTEND=noninteractive', 'sh', '-euc', 'cd /root\n' + apt.replace(
                            'sudo apt', 'apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends')],
                       capture_output=True, text=True, timeout=300 * SLOW, stdin=subprocess.DEVNULL)
    same(r.returncode, 0, r.stderr[-1500:] + r.stdout[-500:])
    page(init)
    # What the test's world needs beside the README: where its directory and its servers are, and that they have no TLS.
    (ini,) = blocks('As a service', 'ini')
    config = machine.run('cat', '/etc/at-rund/config.ini').stdout
    machine.put('/etc/at-rund/config.ini', config + '\n' + ini.replace('https://runner.example.com', 'http://127.0.0.1')
                + '\n[atproto]\nplc_url = %s\nhandle_resolver = %s\nports = [%d]\n' % (pds.plc, pds.url, pds.port))
    for unit in ('at-rund-scheduler.service', 'at-rund-fcgi.service'):
        machine.put('/etc/systemd/system/%s.d/test.conf' % unit, '[Service]\nEnvironment=AT_RUND_DEV=1\n')
    machine.run('systemctl', 'daemon-reload')


def starts():
    (text,) = [b for b in blocks('As a service') if 'web-config' in b]
    lines = [x for x in text.splitlines() if not x.startswith('sudo at-rund doctor')]
    same(len(lines), len(text.splitlines()) - 1, 'doctor is told apart')
    page('\n'.join(lines))
    until(lambda: call('http://127.0.0.1/ready').status == 200, 'ready')
    walls = machine.run('at-rund', 'sql', 'select distinct wall from v_runtimes where wall is not null', env=DEV).stdout.split()
    same(walls, ['sandbox'], machine.journal()[-800:])


def deploys():
    script = blocks('Deploy your first bundle')
    check(script[0].startswith('PDS='), script[0])
    script[0] = 'PDS=%s\nHANDLE=%s\nPASSWORD=hunter2-hunter2\nRUNNER=http://127.0.0.1\n' % (pds.url, alice.handle)
    r = page('\n'.join(script).replace('at-rund sql', 'at-rund --json sql'))
    same(r.stdout.count('{"hello":"you"}'), 2, r.stdout)
    check('"outcome":"ok"' in r.stdout, r.stdout)
    before['key'] = machine.run('at-rund', 'secret', 'key', env=DEV).stdout
    before['jobs'] = jobs()


def jobs():
    return machine.run('at-rund', 'sql', 'select id, outcome from v_jobs order by id', env=DEV).stdout


def looks():
    a = call('http://127.0.0.1/', headers=[('Accept', 'text/html')])
    same((a.status, (a.header('content-type') or '').split(';')[0]), (200, 'text/html'), a)
    for word_ in ('at-rund', alice.handle, alice.did, 'Sandbox', 'node'):
        check(word_ in a.text, 'the page does not say', word_, a)


def doctor():
    """All is ok, but for what this machine's kernel and clock cannot be and for walls that nobody asked for."""
    r = machine.run('at-rund', 'doctor', '--json', ok=False, env=DEV)
    checks = json.loads(r.stdout)['checks']
    bad = [f for f in checks if f['verdict'] != 'ok' and f['what'] not in ('clock', 'wall container', 'wall firecracker', 'landlock')]
    check(not bad, *bad)
    same(r.returncode, 0)
    said = {f['what'] for f in checks if f['verdict'] == 'ok'}
    wanted = {'config', 'home', 'keys', 'database', 'integrity', 'scheduler', 'kernel', 'wall sandbox', 'runtime node', 'identity',
              'handle', 'data server', 'front door', 'web server', 'address', 'authorization', 'streams', 'service'}
    check(wanted <= said, 'not told:', wanted - said)
    print('doctor: %d ok, %s' % (len(said), [f['what'] + ': ' + f['text'] for f in checks if f['verdict'] != 'ok']), flush=True)


def backs_up():
    machine.put('/root/passphrase', 'correct horse battery staple\n')
    with_it = (' --encrypt', ' --passphrase-file /root/passphrase')
    first, back = [b for b in blocks('Back up')]
    r = page(first, p=with_it)
    check('all.vault' in r.stdout, r.stdout)
    machine.run('systemctl', 'stop', 'at-rund.target')
    a = call('http://127.0.0.1/health')
    check(a.status >= 500, 'somebody is there:', a)
    machine.run('rm', '-rf', '/var/lib/at-rund', '/etc/at-rund')
    page(back, r=('restore --system', 'restore --system --passphrase-file /root/passphrase'))
    until(lambda: call('http://127.0.0.1/ready').status == 200, 'ready again')
    a = call('http://127.0.0.1/bundle/%s/hello/latest/hello?name=again' % alice.handle)
    same((a.status, a.text), (200, '{"hello":"again"}'), a)
    same(machine.run('at-rund', 'secret', 'key', env=DEV).stdout, before['key'], 'the runner\'s key')
    check(before['jobs'].strip() and set(before['jobs'].splitlines()) <= set(jobs().splitlines()), 'the jobs of before:', jobs())
    doctor()


t.run('a fresh Debian starts, with a package of ours in it', boots)
if machine:
    for name, fn in (('it is installed as the README says', installs), ('web server and service, as the README says', starts),
                     ('a bundle is deployed and called, as the README says', deploys), ('the page', looks),
                     ('doctor finds nothing to mend', doctor),
                     ('backed up, destroyed, restored, called again', backs_up)):
        if t.failed == 0:
            t.run(name, fn)
    if t.failed:
        print(machine.journal()[-3000:] + machine.journal('at-rund-fcgi.service')[-1500:])
    machine.stop()
t.end()
