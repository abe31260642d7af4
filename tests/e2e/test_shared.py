"""
Shared hosting, the whole of it as an ordinary user: programs and home below his own directory, cron for a service manager,
an Apache that allows .htaccess.  On a machine of its own, so that users, crontabs and reboots are nobody else's.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from machine import Machine  # noqa: E402

t = Cases()
where = scratch()
machine = None
HOME = '/home/host'
BIN = HOME + '/at-rund/bin/at-rund'
ECHO = b"export async function echo(request) { return new Response(await request.arrayBuffer()); }\n"


def port_like_a_status():
    """doctor looks for 401 in what a server answers; a port that has these digits is no answer."""
    for p in list(range(24010, 24020)) + list(range(14010, 14020)):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(('127.0.0.1', p))
            return p
    return free_port()


port = port_like_a_status()
alice = None


def user(*words, ok=True, env=None):
    return machine.run('runuser', '-u', 'host', '--', 'env', 'HOME=' + HOME, *words, ok=ok, env=env)


def installs():
    """make PREFIX=~/at-rund install, in a copy of the tree with what was built already."""
    global machine
    machine = m = Machine(where)
    top, stage = os.path.join(where, 'src'), os.path.join(where, 'stage')
    shutil.copytree(ROOT, top, symlinks=True, ignore=shutil.ignore_patterns(
        '.git', 'node_modules', 'check', 'san', 'fuzz', 'lint', 'tests'))
    r = subprocess.run(['make', '-s', 'install', 'PREFIX=%s/at-rund' % HOME, 'DESTDIR=' + stage], cwd=top,
                       capture_output=True, text=True, timeout=300 * SLOW)
    same(r.returncode, 0, r.stderr)
    tar = os.path.join(where, 'stage.tar')
    with tarfile.open(tar, 'w') as f:
        f.add(stage + HOME, HOME[1:])
    m.run('useradd', '-m', '-d', HOME, 'host')
    m.copy(tar, '/root/stage.tar')
    m.run('tar', 'xf', '/root/stage.tar', '-C', '/')
    m.run('chown', '-R', 'host:host', HOME)
    m.run('chmod', '755', HOME)


def a_bundle():
    """Proven and kept while its PDS, on loopback and without TLS, can be reached (--dev); later it cannot, and the bundle stays."""
    global alice
    pds = Pds(where)
    alice = pds.account('alice.test')
    alice.deploy('echo', ECHO, 'application/javascript', runtime='application/javascript+node', entry='main.mjs')
    m = machine
    user(BIN, 'init', '--did', alice.did)
    config = HOME + '/.at-rund/config.ini'
    text = m.run('cat', config).stdout.replace('port = 3000', 'port = 0')
    m.put(config, text + '\n[web]\npublic_url = http://127.0.0.1:%d\n' % port
          + '[atproto]\nplc_url = %s\nhandle_resolver = %s\nports = [%d]\n' % (pds.plc, pds.url, pds.port))
    once = free_port()
    m.put('/etc/systemd/system/dev.service', '[Service]\nUser=host\nEnvironment=HOME=%s\nExecStart=%s serve --dev --port %d\n'
          % (HOME, BIN, once))
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'start', 'dev.service')
    a = until(lambda: call('http://127.0.0.1:%d/bundle/%s/echo/latest/echo' % (once, alice.did), 'POST', b'here'), 'serve answers', 30)
    check(a.status == 200 if walls() else a.status >= 400, a, m.journal('dev.service')[-800:])
    m.run('systemctl', 'stop', 'dev.service')
    pds.p.stop()


def walls():
    """Can an ordinary user of this machine build a wall?  Without, nothing runs: none is chosen by name only."""
    return machine.bwrap('host')


def runs(kind):
    for body in (b'', b'x' * 100000):
        a = call(url().split('/xrpc')[0] + '/bundle/%s/echo/latest/echo' % alice.did, 'POST', body)
        check((a.status, a.body) == (200, body) if walls() else a.status >= 400, kind, a)
    # Refused before the body is read, and answered all the same.
    for _ in range(4):
        a = call(url().replace('xrpc/dev.at-run.describeRunner', 'bundle/nobody/x/latest/y'), 'POST', bytes(100000))
        same((a.status, a.cut, a.error), (400, False, 'InvalidHandle'), kind)


def by_cron():
    user('sh', '-c', 'echo MAILTO=nobody | crontab -')
    r = user(BIN, 'ensure', '--crontab', '--json')
    same(json.loads(r.stdout), {'running': True, 'started': True})
    lines = user('crontab', '-l').stdout.splitlines()
    same((lines[0], [x.split(' /')[0] for x in lines[1:]]), ('MAILTO=nobody', ['@reboot', '*/5 * * * *']), lines)
    same(json.loads(user(BIN, 'ensure', '--crontab', '--json').stdout), {'running': True, 'started': False})
    same(user('crontab', '-l').stdout.splitlines(), lines, 'twice is once')


def apache():
    """The host's Apache, with .htaccess of the user's in three directories, each as web-config prints it."""
    m = machine
    modules = '/usr/lib/apache2/modules'
    names = ('mpm_event', 'authz_core', 'mime', 'rewrite', 'env', 'proxy', 'proxy_fcgi', 'fcgid', 'cgid')
    if m.run('sh', '-c', 'ls ' + ' '.join('%s/mod_%s.so' % (modules, n) for n in names), ok=False).returncode != 0:
        skip('apache lacks a module')
    m.put('/etc/apache2/test.conf', 'ServerRoot /srv/apache\nServerName localhost\nListen 127.0.0.1:%d\nPidFile /srv/apache/pid\n'
          'ErrorLog /srv/apache/log\nDefaultRuntimeDir /srv/apache\nMutex file:/srv/apache\n'
          'DocumentRoot %s/www\n' % (port, HOME)
          + ''.join('LoadModule %s_module %s/mod_%s.so\n' % (n, modules, n) for n in names) + 'TypesConfig /dev/null\n'
          'ScriptSock /srv/apache/cgid.sock\nFcgidIPCDir /srv/apache/ipc\nFcgidProcessTableFile /srv/apache/shm\n'
          '<Directory />\nAllowOverride None\n</Directory>\n'
          '<Directory %s/www>\nAllowOverride All\nRequire all granted\n</Directory>\n' % HOME)
    user('mkdir', '-p', HOME + '/www')
    text = user(BIN, 'web-config', 'htaccess').stdout
    m.put(HOME + '/www/.htaccess', text)
    m.run('sh', '-c', 'mkdir -p /srv/apache/ipc; chown -R host:host /srv/apache %s/www' % HOME)
    m.put('/etc/systemd/system/web.service', '[Service]\nUser=host\nExecStart=/usr/sbin/apache2 -D FOREGROUND -f /etc/apache2/test.conf\n')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'start', 'web.service')
    try:
        until(lambda: call(url()).status == 200, 'mod_proxy_fcgi')
    except Failed as e:
        raise Failed('%s: %s %s%s' % (e, call(url()), m.journal('web.service')[-900:], m.run('sh', '-c', 'systemctl status web.service; ls -la /srv/apache; cat /srv/apache/log; apache2 -t -f /etc/apache2/test.conf 2>&1; ss -ltnp | grep apache', ok=False).stdout[-2500:]))
    same(call(url()).json['did'], alice.did)
    runs('htaccess')
    for kind, name in (('htaccess-fcgid', 'at.fcgi'), ('htaccess-cgi', 'at.cgi')):
        text = user(BIN, 'web-config', kind).stdout
        m.put(HOME + '/www/.htaccess', text)
        m.put('%s/www/%s' % (HOME, name), '\n'.join(re.findall(r'^#     (#!/bin/sh|exec .*)$', text, re.M)) + '\n')
        m.run('chmod', '755', '%s/www/%s' % (HOME, name))
        m.run('chown', 'host:host', '%s/www/%s' % (HOME, name))
        a = call(url())
        same((a.status, a.json['did']), (200, alice.did), kind)
        same(call(url().replace('xrpc/dev.at-run.describeRunner', 'ready')).status, 200, kind)
        runs(kind)
    m.put(HOME + '/www/.htaccess', user(BIN, 'web-config', 'htaccess').stdout)


def url():
    return 'http://127.0.0.1:%d/xrpc/dev.at-run.describeRunner' % port


def doctor():
    r = user(BIN, 'doctor', '--json', ok=False)
    found = {f['what']: f for f in json.loads(r.stdout)['checks']}
    for what in ('config', 'home', 'keys', 'database', 'integrity', 'scheduler', 'kernel', 'runtime node', 'front door',
                 'address', 'authorization', 'service'):
        same(found[what]['verdict'], 'ok', found[what])
    same(found['streams']['verdict'], 'warning', 'mod_proxy_fcgi by .htaccess keeps answers until their end')
    check('cron' in found['service']['text'], found['service'])
    same((found['identity']['verdict'], r.returncode), ('failure', 69), 'the directory is gone')
    # Apache that keeps Authorization to itself is found out.
    text = machine.run('cat', HOME + '/www/.htaccess').stdout
    machine.put(HOME + '/www/.htaccess', text.replace('CGIPassAuth On', ''))
    r = user(BIN, 'doctor', '--json', ok=False)
    found = {f['what']: f for f in json.loads(r.stdout)['checks']}
    same(found['authorization']['verdict'], 'failure')
    check('CGIPassAuth' in found['authorization']['text'], found['authorization'])
    machine.put(HOME + '/www/.htaccess', text)
    # Keys that others may read are found out, with the command that mends it.
    machine.run('chmod', '755', HOME + '/.at-rund/keys')
    r = user(BIN, 'doctor', '--json', ok=False)
    found = {f['what']: f for f in json.loads(r.stdout)['checks']}
    same((found['keys']['verdict'], found['keys']['mend']), ('failure', 'chmod 700 %s/.at-rund/keys' % HOME))
    user('sh', '-c', found['keys']['mend'])


def reboots():
    """What a reboot leaves: nothing runs, until cron starts."""
    m = machine
    m.run('systemctl', 'stop', 'web.service')
    m.run('pkill', '-KILL', '-u', 'host')  # the machine is ours alone
    until(lambda: m.run('pgrep', '-u', 'host', ok=False).returncode != 0, 'nothing of the user runs')
    m.run('systemctl', 'start', 'web.service')
    ready = url().replace('xrpc/dev.at-run.describeRunner', 'ready')
    until(lambda: call(ready).status == 503, 'it is not ready')
    m.put('/etc/systemd/system/cron.service.d/pam.conf', '[Service]\nExecStart=\nExecStart=/usr/sbin/cron -f\n')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'start', 'cron.service')
    until(lambda: call(ready).status == 200, 'cron has started it', 60, 0.2)
    runs('after a reboot')


def ends():
    user(BIN, 'ensure', '--no-crontab')
    same(user('crontab', '-l').stdout, 'MAILTO=nobody\n')


t.run('make install below a home', installs)
if machine:
    t.run('a bundle is proven and kept', a_bundle)
    t.run('at-rund ensure --crontab starts it and is once', by_cron)
    t.run('through .htaccess: mod_proxy_fcgi, mod_fcgid, mod_cgid', apache)
    t.run('doctor sees what works, and what does not', doctor)
    t.run('after a reboot cron starts it', reboots)
    t.run('ensure --no-crontab', ends)
    machine.stop()
t.end()
