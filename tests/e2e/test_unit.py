"""Walls inside the units, under a real systemd: podman in the unit that isolation = container makes, and what doctor says of the
hardened one, where podman cannot work."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from machine import Machine  # noqa: E402

t = Cases()
t.pick = []
where = scratch()
machine = None
URL = None
CONFIG = '/etc/at-rund/config.ini'
USER = ('runuser', '-u', 'at-rund', '--', 'env', 'HOME=/var/lib/at-rund')


def image():
    """The image of python that the tests keep, or a reason to do without."""
    home = subprocess.run(['sh', os.path.join(ROOT, 'tests', 'images.sh')], capture_output=True, text=True, check=True).stdout.strip()
    for name in ('podman', 'newuidmap', 'mmdebstrap'):
        program(name)
    r = subprocess.run([os.path.join(BUILD, 'at-rund'), 'build', '--runtime', 'python'], capture_output=True, text=True,
                       env=dict(os.environ, AT_RUND_HOME=home), timeout=300 * SLOW)
    if r.returncode != 0:
        skip('the image cannot be built here: ' + r.stderr.strip()[-300:])
    return os.path.join(home, 'images', 'python')


def boots():
    global machine, URL
    kept = image()
    m = Machine(where)
    m.run('make', '-s', '-C', ROOT, 'install', 'B=' + BUILD, 'PREFIX=/usr/local')
    m.run('sh', '-euc', 'mkdir -p /var/lib/at-rund; mount -t tmpfs -o mode=755 tmpfs /var/lib/at-rund')  # podman: not over an overlay
    m.run('at-rund', 'init', '--system', '--did', 'did:plc:ewvi7nxzyoun6zhxrhs64oiz')
    m.run('sh', '-euc', 'usermod --add-subuids 400000-465535 --add-subgids 400000-465535 at-rund; cp -a %s /var/lib/at-rund/images/;'
          ' chown -R at-rund: /var/lib/at-rund/images' % kept)
    m.put('/srv/bundles/py/main.py', 'def hello(request, ctx):\n    return {"here": True}\n')
    m.put('/srv/bundles/py/bundle.json', json.dumps({'runtime': 'application/python', 'entry': 'main.py', 'endpoints': {'hello': {}}}))
    isolation(m, 'auto')
    for unit in ('at-rund-scheduler.service', 'at-rund-fcgi.service'):
        m.put('/etc/systemd/system/%s.d/test.conf' % unit, '[Service]\nEnvironment=AT_RUND_DEV=1\n')
    m.run('at-rund', 'systemd', 'install')
    # What at-rund build does last, as the runner's user.
    m.run(*USER, 'sh', '-euc', 'cd /; XDG_RUNTIME_DIR=/run/at-rund-engine podman load -q -i /var/lib/at-rund/images/python/image.tar')
    # It leaves a process that holds its user namespace, which a hardened podman could still enter: a reboot would end it.
    m.run('sh', '-c', 'pkill -KILL -u at-rund podman; rm -rf /run/at-rund-engine/*')
    port = free_port()
    m.put('/etc/nginx/snippets/at-rund.conf', m.run('at-rund', 'web-config', 'nginx').stdout)
    m.put('/etc/nginx/test.conf', 'user www-data;\nevents {}\nhttp { access_log off; error_log stderr; server { '
          'listen 127.0.0.1:%d; include snippets/at-rund.conf; } }\n' % port)
    m.put('/etc/systemd/system/web.service', '[Service]\nExecStart=/usr/sbin/nginx -g "daemon off;" -c /etc/nginx/test.conf\n')
    m.run('systemctl', 'daemon-reload')
    m.run('systemctl', 'restart', 'at-rund.target')
    m.run('systemctl', 'start', 'web.service')
    URL = 'http://127.0.0.1:%d/bundle/local/py/latest/hello' % port
    machine = m


def isolation(m, word):
    text = m.run('cat', CONFIG).stdout
    text = re.sub(r'^isolation = .*$', 'isolation = ' + word, text, flags=re.M).replace('\nnode = node.ini', '\n# node = node.ini')
    m.put(CONFIG, text if '[dev]' in text else text + '\n[dev]\nbundles = /srv/bundles\n')


def wall():
    return machine.run('at-rund', 'sql', "select wall from v_runtimes where name = 'python'").stdout.strip()


def findings():
    return {f['what']: f for f in json.loads(machine.run('at-rund', 'doctor', '--json', ok=False).stdout)['checks']}


def hardened():
    """The unit of isolation = auto has no new privileges, so podman of an ordinary user makes no namespace in it; root, who asks doctor,
    is told of the runner's user, and that the service took another wall than that user could."""
    same(until(lambda: call(URL), 'it answers').status, 200)
    same(wall(), 'sandbox', machine.journal()[-600:])
    f = findings()
    same((f['wall container']['verdict'], f['wall sandbox']['verdict']), ('ok', 'ok'), f)
    check('of an ordinary user' in f['wall container']['text'], f['wall container'])
    same((f['runtime python']['verdict'], f['runtime python']['mend']), ('warning', 'at-rund systemd install'), f['runtime python'])


def container():
    isolation(machine, 'container')
    machine.run('at-rund', 'systemd', 'install')
    same(until(lambda: (lambda a: a if a.status == 200 else None)(call(URL)), 'it answers', 30).json, {'here': True})
    same(wall(), 'container')
    same(findings()['runtime python']['text'], 'runs behind the wall container')
    same(machine.run('sh', '-c', 'grep -c NoNewPrivs:.0 /proc/%s/status' % machine.show('at-rund-scheduler.service', 'MainPID')
                     ).stdout.strip(), '1')
    # What systemd's last SIGKILL left of podman's is removed by the next start.
    machine.run('systemctl', 'restart', 'at-rund.target')
    same(until(lambda: (lambda a: a if a.status == 200 else None)(call(URL)), 'it answers', 30).json, {'here': True})
    until(lambda: len(machine.run(*USER, 'sh', '-c', 'cd /; XDG_RUNTIME_DIR=/run/at-rund-engine podman ps -aq').stdout.split()) == 1,
          'one container, that of the call')


t.run('a machine with units, and an image', boots)
if machine:
    if machine.bwrap():
        t.run('the hardened unit takes the sandbox, and doctor says why', hardened)
    t.run('isolation = container makes a unit that podman works in', container)
    machine.stop()
t.end()
