"""The commands of README.md do what it says: "Deploy your first bundle", word for word, against a real PDS."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()


def section(title):
    with open(os.path.join(ROOT, 'README.md')) as f:
        text = f.read()
    check('## %s\n' % title in text, 'no section', title)
    return text.split('## %s\n' % title)[1].split('\n## ')[0]


def blocks(title, kind='sh'):
    found = re.findall(r'^( *)```%s\n(.*?)^ *```$' % kind, section(title), re.M | re.S)
    return ['\n'.join(line[len(indent):] for line in body.splitlines()) for indent, body in found]


def deploy():
    pds = Pds(where)
    alice = pds.account('alice.test')
    runner = Runner(where, did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]}})
    runner.init().start()
    script = blocks('Deploy your first bundle')
    check(len(script) >= 7, 'blocks', len(script))
    check(script[0].startswith('PDS='), script[0])
    script[0] = 'PDS=%s\nHANDLE=alice.test\nPASSWORD=hunter2-hunter2\nRUNNER=%s\n' % (pds.url, runner.url)
    script[-1] = script[-1].replace('~/.at-rund/', runner.home + '/')
    work = os.path.join(where, 'work')
    os.mkdir(work)
    env = dict(runner.env, PATH=runner.build + ':' + runner.env['PATH'])
    r = subprocess.run(['sh', '-euc', '\n'.join(script)], cwd=work, env=env, capture_output=True, text=True, timeout=60 * SLOW)
    same(r.returncode, 0, r.stderr + r.stdout)
    same(r.stdout.count('{"hello":"you"}'), 2, r.stdout)
    check('"outcome":"ok"' in r.stdout, r.stdout)
    check('hello' in r.stdout.split('"outcome":"ok"')[1], 'the ledger:', r.stdout)
    same(runner.stop(), 0)


def config_of_readme():
    home = os.path.join(where, 'conf')
    os.mkdir(home)
    (ini,) = blocks('Run it for your own repository', 'ini')
    with open(os.path.join(home, 'config.ini'), 'w') as f:
        f.write('did = did:plc:ewvi7nxzyoun6zhxrhs64oiz\nport = %d\n' % free_port()
                + ini.replace('did:plc:your-did-here', 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'))
    r = subprocess.run([os.path.join(BUILD, 'at-rund'), 'config', 'check'], env=clean_env(AT_RUND_HOME=home),
                       capture_output=True, text=True, timeout=30)
    same(r.returncode, 0, r.stderr + r.stdout)


def without_dev():
    """isolation = none by name, as the README says, starts without --dev."""
    runner = Runner(where, name='plain', dev=False, did='did:plc:ewvi7nxzyoun6zhxrhs64oiz',
                    sections={'access': {'mode': 'allowlist', 'allowlist': ['did:plc:ewvi7nxzyoun6zhxrhs64oiz']}})
    runner.conf_top['isolation'] = 'none'
    runner.init().start()
    same(call(runner.url + '/health').status, 200)
    same(runner.stop(), 0)


def installed():
    """make install puts everything where the programs look for it."""
    top = os.path.join(where, 'install')
    r = subprocess.run(['make', '-s', 'install', 'B=' + BUILD, 'DESTDIR=' + top, 'PREFIX=/usr'], cwd=ROOT,
                       capture_output=True, text=True, timeout=120)
    same(r.returncode, 0, r.stderr)
    for path in ('usr/bin/at-rund', 'usr/lib/at-rund/at-rund-scheduler', 'usr/lib/at-rund/at-rund.fcgi',
                 'usr/share/at-rund/runtimes/node/executor.mjs', 'usr/share/at-rund/web/nginx.conf', 'usr/share/at-rund/systemd/at-rund.target', 'usr/share/man/man1/at-rund.1',
                 'usr/share/man/man5/at-rund.conf.5', 'usr/share/man/man8/at-rund-scheduler.8'):
        check(os.path.exists(os.path.join(top, path)), path)
    program = os.path.join(top, 'usr/bin/at-rund')
    same(subprocess.run([program, '--version'], capture_output=True).returncode, 0)
    r = subprocess.run([program, 'web-config', 'cgi'], env=clean_env(AT_RUND_HOME=where), capture_output=True, text=True)
    check(top + '/usr/lib/at-rund/at-rund.fcgi' in r.stdout, r.stdout, r.stderr)


def files_it_names():
    with open(os.path.join(ROOT, 'README.md')) as f:
        text = f.read()
    for room in re.findall(r'^\| `(\w+)/` \|', text, re.M):
        check(os.path.isdir(os.path.join(ROOT, room)), room)
    words = re.findall(r'\| `([a-z-]+)` \|', section('Behind your web server'))
    same(sorted(w + '.conf' for w in words), sorted(os.listdir(os.path.join(ROOT, 'contrib', 'web'))))
    for room, first in re.findall(r'^\| `(\w+/)` \|.*\| `([\w.]+)`', text, re.M):
        check(os.path.exists(os.path.join(ROOT, room, first)), room + first)


t.run('deploy your first bundle', deploy)
t.run('the config it shows loads', config_of_readme)
t.run('isolation none by name starts without --dev', without_dev)
t.run('make install', installed)
t.run('the files it names are there', files_it_names)
t.end()
