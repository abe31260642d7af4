"""The units under a real systemd: process 1 of namespaces of its own, over a throw-away copy of this machine's files."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from machine import Machine  # noqa: E402

t = Cases()
where = scratch()
machine = None
DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
BUNDLE = """
export async function slow(request) {
  await new Promise((r) => setTimeout(r, Number(new URL(request.url).searchParams.get('ms') ?? 0)));
  return { slept: true };
}
"""


def boots():
    global machine
    machine = Machine(where)
    machine.run('make', '-s', '-C', ROOT, 'install', 'B=' + BUILD, 'PREFIX=/usr/local')


def installs():
    m = machine
    m.run('at-rund', 'init', '--system', '--did', DID)
    same(m.run('stat', '-c', '%U:%G %a', '/var/lib/at-rund', '/var/lib/at-rund/keys', '/etc/at-rund',
               '/etc/at-rund/config.ini').stdout.split('\n')[:4],
         ['at-rund:at-rund 750', 'at-rund:at-rund 700', 'root:at-rund 750', 'root:at-rund 640'])
    m.put('/srv/bundles/slow/main.mjs', BUNDLE)
    m.put('/srv/bundles/slow/bundle.json', json.dumps({
        '$type': 'dev.at-run.bundle', 'name': 'slow', 'version': '1.0.0', 'runtime': 'application/javascript+node',
        'entry': 'main.mjs', 'endpoints': {'slow': {}}}))
    config = m.run('cat', '/etc/at-rund/config.ini').stdout
    m.put('/etc/at-rund/config.ini', config + '\n[dev]\nbundles = /srv/bundles\n')
    for unit in ('at-rund-scheduler.service', 'at-rund-fcgi.service'):
        m.put('/etc/systemd/system/%s.d/test.conf' % unit, '[Service]\nEnvironment=AT_RUND_DEV=1\n')
    planned = m.run('at-rund', 'systemd', 'install', '--dry-run', '--json')
    plan = json.loads(planned.stdout)['plan']
    same([os.path.basename(p['file']) for p in plan if 'file' in p],
         ['at-rund.target', 'at-rund-scheduler.service', 'at-rund-fcgi.socket', 'at-rund-fcgi.service', 'at-rund.conf',
          'at-rund.conf'])
    check(m.run('ls', '/etc/systemd/system/at-rund.target', ok=False).returncode != 0, 'a plan writes nothing')
    m.run('at-rund', 'systemd', 'install')
    for unit, state in (('at-rund.target', 'active'), ('at-rund-scheduler.service', 'running'),
                        ('at-rund-fcgi.socket', 'listening')):
        same(m.show(unit, 'ActiveState' if unit.endswith('target') else 'SubState'), state, unit)
    same(m.run('stat', '-c', '%U:%G %a', '/run/at-rund/fcgi.sock').stdout.strip(), 'at-rund:www-data 660')
    units = {u['unit']: u for u in json.loads(m.run('at-rund', 'systemd', 'status', '--json').stdout)['units']}
    same((units['at-rund-scheduler.service']['active'], units['at-rund-scheduler.service']['says']), ('active', 'takes jobs'))
    same(m.run('systemctl', 'is-enabled', 'at-rund.target').stdout.strip(), 'enabled')


def serves():
    """nginx with what web-config prints, as www-data; the first request starts the front door."""
    global port
    m = machine
    port = free_port()
    m.put('/etc/nginx/snippets/at-rund.conf', m.run('at-rund', 'web-config', 'nginx').stdout)
    m.put('/etc/nginx/test.conf', 'user www-data;\nevents {}\nhttp { access_log off; error_log stderr; server { '
          'listen 127.0.0.1:%d; include snippets/at-rund.conf; } }\n' % port)
    m.put('/etc/systemd/system/web.service', '[Service]\nExecStart=/usr/sbin/nginx -g "daemon off;" -c /etc/nginx/test.conf\n')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'start', 'web.service')
    same(m.show('at-rund-fcgi.service', 'ActiveState'), 'inactive')
    a = until(lambda: call(slow()), 'nginx answers')
    same((a.status, a.json), (200, {'slept': True}), a)
    same(m.show('at-rund-fcgi.service', 'StatusText'), 'takes requests')


def slow(ms=0):
    return 'http://127.0.0.1:%d/bundle/local/slow/latest/slow?ms=%d' % (port, ms)


def walled():
    """The strongest wall that works on this machine works inside the unit as well."""
    walls = {r[0] for r in machine_sql('select wall from v_runtimes where wall is not null')}
    check(walls == {'sandbox'} if machine.bwrap() else walls, 'walls', walls, machine.journal()[-600:])


def machine_sql(query):
    return [line.split('\t') for line in machine.run('at-rund', 'sql', query).stdout.splitlines()]


def restarts():
    m = machine
    m.run('systemctl', 'kill', '-s', 'KILL', 'at-rund-fcgi.service')
    same(until(lambda: call(slow()), 'the front door is back').status, 200)
    m.run('systemctl', 'kill', '-s', 'KILL', 'at-rund-scheduler.service')
    until(lambda: m.show('at-rund-scheduler.service', 'NRestarts') == '1' and
          m.show('at-rund-scheduler.service', 'SubState') == 'running', 'the scheduler is back')
    same(until(lambda: (lambda a: a if a.status == 200 else None)(call(slow())), 'it takes jobs').status, 200)


def watched():
    """A scheduler that hangs is killed and started again."""
    m = machine
    m.put('/etc/systemd/system/at-rund-scheduler.service.d/watch.conf', '[Service]\nWatchdogSec=6\n')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'restart', 'at-rund-scheduler.service')
    was = m.show('at-rund-scheduler.service', 'MainPID')
    m.run('kill', '-STOP', was)
    until(lambda: m.show('at-rund-scheduler.service', 'SubState') == 'running' and
          m.show('at-rund-scheduler.service', 'MainPID') not in ('0', was), 'a new scheduler', 40, 0.2)
    check('Watchdog timeout' in m.journal(), 'the journal says why', m.journal()[-500:])
    m.run('rm', '/etc/systemd/system/at-rund-scheduler.service.d/watch.conf')
    m.run('systemctl', 'daemon-reload')


def reloads():
    """SIGHUP takes over what can be, names what cannot, and keeps the old config when the new one is wrong."""
    m = machine
    config = m.run('cat', '/etc/at-rund/config.ini').stdout
    pid = m.show('at-rund-scheduler.service', 'MainPID')
    m.put('/etc/at-rund/config.ini', config.replace('[limits]', '[limits]\nlog = 32K', 1).replace(
        '[dev]', '[scheduler]\ncheckpoint_pages = 500\n[dev]'))
    m.run('systemctl', 'reload', 'at-rund-scheduler.service')
    until(lambda: 'changed=limits.log' in m.journal(), 'the change is taken')
    check('scheduler.checkpoint_pages' in m.journal(), m.journal()[-500:])
    m.put('/etc/at-rund/config.ini', config.replace('[limits]', '[limits]\nlog = much', 1))
    m.run('systemctl', 'reload', 'at-rund-scheduler.service')
    until(lambda: 'the one before stays' in m.journal(), 'the mistake is told')
    m.put('/etc/at-rund/config.ini', config)
    same(m.show('at-rund-scheduler.service', 'MainPID'), pid)
    was = m.show('at-rund-fcgi.service', 'MainPID')
    with_call = threading.Thread(target=lambda: answers.append(call(slow(1500))))
    answers = []
    with_call.start()
    until(lambda: machine_sql("select count(*) from v_queue where state = 'running'") == [['1']], 'it runs')
    m.run('systemctl', 'reload', 'at-rund-fcgi.service')
    same(call(slow()).status, 200)
    with_call.join()
    same(answers[0].status, 200, 'the call under way')
    until(lambda: m.show('at-rund-fcgi.service', 'MainPID') not in ('0', was), 'a new front door')


def lends_keys():
    """/etc/at-rund/keys stays root's; systemd lends the keys to the scheduler alone (LoadCredential), and they are the same."""
    m = machine
    was = m.run('at-rund', 'secret', 'key').stdout
    m.run('systemctl', 'stop', 'at-rund.target')
    m.run('sh', '-euc', 'mkdir -m 700 /etc/at-rund/keys; mv /var/lib/at-rund/keys/* /etc/at-rund/keys; chown -R root:root '
          '/etc/at-rund/keys; chmod 600 /etc/at-rund/keys/*')
    before = m.journal().count(' keys n=')
    m.run('at-rund', 'systemd', 'install')
    check('LoadCredential=keys:/etc/at-rund/keys\n' in m.run('systemctl', 'cat', 'at-rund-scheduler.service').stdout, 'the unit')
    until(lambda: m.journal().count(' keys n=') > before, 'the keeper has read them')
    same([x for x in m.journal().splitlines() if ' keys n=' in x][-1].split('newest=')[1], was.split()[0], was)
    same(m.run('ls', '/var/lib/at-rund/keys').stdout, '', 'no new ones were made')
    pid = m.show('at-rund-scheduler.service', 'MainPID')
    lent = m.run('sh', '-c', "tr '\\0' '\\n' </proc/%s/environ | sed -n s/^CREDENTIALS_DIRECTORY=//p" % pid).stdout.strip()
    check(lent.startswith('/run/credentials/'), lent)
    same(m.run('runuser', '-u', 'www-data', '--', 'ls', lent, ok=False).returncode != 0, True, 'others see them')
    same(call(slow()).status, 200)
    found = {f['what']: f for f in json.loads(m.run('at-rund', 'doctor', '--json', ok=False).stdout)['checks']}
    same((found['scheduler']['verdict'], found['keys']['verdict']), ('ok', 'ok'), found)


def drains():
    m = machine
    answers = []
    with_call = threading.Thread(target=lambda: answers.append(call(slow(1500))))
    with_call.start()
    until(lambda: machine_sql("select count(*) from v_queue where state = 'running'") == [['1']], 'it runs')
    m.run('systemctl', 'stop', 'at-rund.target')
    until(lambda: m.show('at-rund-scheduler.service', 'ActiveState') == 'inactive', 'the scheduler stopped', 40)
    with_call.join()
    same((answers[0].status, answers[0].json), (200, {'slept': True}))
    same(m.show('at-rund-scheduler.service', 'Result'), 'success')
    same(m.show('at-rund-fcgi.service', 'Result'), 'success')
    same(m.run('at-rund', 'systemd', 'status', ok=False).returncode, 3)


def uninstalls():
    m = machine
    m.run('systemctl', 'start', 'at-rund.target')
    r = m.run('at-rund', 'systemd', 'uninstall')
    check('stay' in r.stderr, r.stderr)
    same(m.run('sh', '-c', 'ls -d /etc/systemd/system/at-rund* /etc/*/at-rund.conf | grep -v "\\.d$"; :', ok=False).stdout, '')
    same(m.run('systemctl', 'is-active', 'at-rund-scheduler.service', ok=False).stdout.strip(), 'inactive')
    same(m.run('test', '-e', '/var/lib/at-rund/at-rund.db', ok=False).returncode, 0)


# ---- a manager of one user ----

def by_a_user():
    """systemd install --user under a real user manager, which lingers: there is no session."""
    m = machine
    port = free_port()
    m.run('useradd', '-m', '-s', '/bin/sh', 'olga')
    uid = m.run('id', '-u', 'olga').stdout.strip()
    m.run('systemctl', 'start', 'dbus.socket')
    r = m.run('loginctl', 'enable-linger', 'olga', ok=False)
    if r.returncode != 0:
        skip('logind does not run here: ' + r.stderr.strip()[-200:])
    until(lambda: m.show('user@%s.service' % uid, 'ActiveState') == 'active', 'her manager runs')
    env = {'HOME': '/home/olga', 'USER': 'olga'}

    def olga(*words, ok=True):
        return m.run('runuser', '-u', 'olga', '--', *words, ok=ok, env=env)
    olga('at-rund', 'init', '--did', DID)
    config = m.run('cat', '/home/olga/.at-rund/config.ini').stdout
    m.put('/home/olga/.at-rund/config.ini', config.replace('port = 3000', 'port = 0') + '\n[dev]\nbundles = /srv/bundles\n'
          '[web]\npublic_url = http://127.0.0.1:%d\n' % port)
    m.put('/home/olga/.config/systemd/user/at-rund-scheduler.service.d/test.conf', '[Service]\nEnvironment=AT_RUND_DEV=1\n')
    m.put('/home/olga/.config/systemd/user/at-rund-fcgi.service.d/test.conf', '[Service]\nEnvironment=AT_RUND_DEV=1\n')
    m.run('chown', '-R', 'olga:olga', '/home/olga')
    olga('at-rund', 'systemd', 'install', '--user')
    units = {u['unit']: u for u in json.loads(olga('at-rund', 'systemd', 'status', '--user', '--json').stdout)['units']}
    same((units['at-rund-scheduler.service']['active'], units['at-rund-scheduler.service']['says']), ('active', 'takes jobs'))
    m.put('/home/olga/at-rund.conf', olga('at-rund', 'web-config', 'nginx').stdout)
    m.run('cp', '/etc/nginx/fastcgi_params', '/home/olga')
    m.put('/home/olga/nginx.conf', 'pid /home/olga/nginx.pid; events {} http { access_log off; error_log stderr;'
          + ''.join(' %s_temp_path /home/olga/tmp;' % n for n in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')) +
          ' server { listen 127.0.0.1:%d; include at-rund.conf; } }\n' % port)
    m.put('/etc/systemd/system/olga.service', '[Service]\nUser=olga\nExecStart=/usr/sbin/nginx -e stderr -g "daemon off;" -c '
          '/home/olga/nginx.conf\n')
    m.run('chown', '-R', 'olga:olga', '/home/olga')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'start', 'olga.service')
    url = 'http://127.0.0.1:%d/bundle/local/slow/latest/slow' % port
    try:
        a = until(lambda: call(url), 'it answers')
    except Failed as e:
        raise Failed('%s; %s' % (e, m.journal('olga.service')[-800:]))
    same((a.status, a.json), (200, {'slept': True}), a)
    walls = olga('at-rund', 'sql', 'select distinct wall from v_runtimes where wall is not null').stdout.split()
    check(walls == ['sandbox'] or not m.bwrap(), walls)
    found = {f['what']: f for f in json.loads(olga('at-rund', 'doctor', '--json', ok=False).stdout)['checks']}
    for what in ('home', 'keys', 'scheduler', 'front door', 'address', 'authorization', 'service'):
        same(found[what]['verdict'], 'ok', found[what])
    m.run('pkill', '-KILL', '-u', 'olga', '-x', 'at-rund-schedul')  # the machine is ours alone
    until(lambda: call(url).status == 200, 'her manager started it again')
    olga('at-rund', 'systemd', 'uninstall', '--user')
    same(m.run('sh', '-c', 'ls /home/olga/.config/systemd/user | grep -v "\\.d$"; :').stdout, '')
    until(lambda: m.run('pgrep', '-u', 'olga', 'at-rund', ok=False).returncode != 0, 'nothing of it runs')
    m.run('systemctl', 'stop', 'olga.service', 'user@%s.service' % uid)


t.run('a systemd of our own starts', boots)
if machine is not None:
    t.run('init --system and systemd install', installs)
    t.run('the socket starts the front door, nginx reaches it', serves)
    t.run('a wall stands inside the unit', walled)
    t.run('what is killed starts again', restarts)
    t.run('what hangs is noticed', watched)
    t.run('reload', reloads)
    t.run('keys that systemd lends', lends_keys)
    t.run('stop lets calls finish', drains)
    t.run('uninstall', uninstalls)
    t.run('install --user, under a manager of that user', by_a_user)
    machine.stop()
t.end()
