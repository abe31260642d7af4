"""The Debian package and contrib/install.sh: built, clean, installed on a machine of its own, used, removed."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from deb import build, checkout, run  # noqa: E402
from machine import Machine  # noqa: E402

t = Cases()
where = scratch()
deb = machine = None


def builds():
    global deb
    deb = build(where)


def clean():
    program('lintian')
    run('lintian', '--fail-on', 'error,warning', '--allow-root', deb)


def holds():
    names = run('dpkg-deb', '-c', deb)
    for path in ('/usr/bin/at-rund', '/usr/lib/at-rund/at-rund-scheduler', '/lib/systemd/system/at-rund-fcgi.socket',
                 '/usr/lib/sysusers.d/at-rund.conf', '/usr/lib/tmpfiles.d/at-rund.conf', '/usr/share/at-rund/web/nginx.conf',
                 '/usr/share/man/man5/at-rund.db.5.gz', '/usr/share/bash-completion/completions/at-rund',
                 '/usr/share/zsh/site-functions/_at-rund', '/usr/share/fish/vendor_completions.d/at-rund.fish'):
        check('.' + path in names, path)
    check(where not in names and 'pycache' not in names, names)


def installs():
    global machine
    machine = m = Machine(where)
    m.copy(deb, '/root/at-rund.deb')
    m.run('dpkg', '--install', '/root/at-rund.deb')
    same(m.run('systemctl', 'is-enabled', 'at-rund.target', ok=False).stdout.strip(), 'disabled')
    same(m.run('getent', 'passwd', 'at-rund').stdout.split(':')[5:], ['/var/lib/at-rund', '/usr/sbin/nologin\n'])
    check('/usr/lib/at-rund/at-rund.fcgi --config /etc/at-rund/config.ini' in m.run(
        'cat', '/lib/systemd/system/at-rund-fcgi.service').stdout, 'the unit names other paths')
    m.run('at-rund', 'init', '--system', '--did', 'did:plc:ewvi7nxzyoun6zhxrhs64oiz')
    m.run('systemctl', 'enable', '--now', 'at-rund.target')
    same(m.show('at-rund-scheduler.service', 'StatusText'), 'takes jobs')
    same(m.run('stat', '-c', '%U:%G', '/run/at-rund/fcgi.sock').stdout.strip(), 'at-rund:www-data')


def upgrades():
    """The same version again: the scheduler is restarted, the socket stays."""
    m = machine
    was = m.show('at-rund-scheduler.service', 'MainPID')
    socket_since = m.show('at-rund-fcgi.socket', 'ActiveEnterTimestampMonotonic')
    m.run('dpkg', '--install', '/root/at-rund.deb')
    until(lambda: m.show('at-rund-scheduler.service', 'StatusText') == 'takes jobs' and
          m.show('at-rund-scheduler.service', 'MainPID') != was, 'the scheduler is the new one')
    same(m.show('at-rund-fcgi.socket', 'ActiveEnterTimestampMonotonic'), socket_since, 'since when the socket listens')


def removes():
    m = machine
    m.run('dpkg', '--purge', 'at-rund')
    left = m.run('sh', '-c', 'find /usr /lib/systemd /etc -name "*at-rund*" -not -path "/usr/src/*" 2>/dev/null; :').stdout
    same([x for x in left.split() if not x.startswith('/etc/at-rund') and ROOT not in x
          and not x.startswith('/etc/systemd/system/multi-user.target.wants')], [], 'what purge left')
    same(m.run('test', '-e', '/var/lib/at-rund/at-rund.db', ok=False).returncode, 0, 'the ledger stays')


def by_script():
    """contrib/install.sh as an ordinary user would, into a directory of his; make uninstall takes all of it away."""
    top = checkout(os.path.join(where, 'user'))
    prefix = os.path.join(where, 'prefix')
    # What was built already is not built again, but for what names PREFIX.
    shutil.copytree(BUILD, os.path.join(top, 'build'), ignore=shutil.ignore_patterns('check', 'san', 'fuzz', 'lint', 'tests'))
    env = clean_env(HOME=where, AT_RUND_DEPS=DEPS, AT_RUND_ATPROTO_PLC_URL='http://127.0.0.1:9')
    r = run('sh', 'contrib/install.sh', '--no-packages', '--prefix', prefix, cwd=top, env=env)
    check('next: at-rund init' in r and 'at-rund 0.' in r, r)
    same(subprocess.run([os.path.join(prefix, 'bin', 'at-rund'), 'web-config', 'htaccess-cgi'], env=clean_env(HOME=where),
                        capture_output=True, text=True).stdout.count(prefix + '/lib/at-rund/at-rund.fcgi'), 1)
    with open(os.path.join(prefix, 'lib', 'at-rund', 'at-rund-scheduler'), 'rb') as f:
        check((prefix + '/share/at-rund').encode() in f.read(), 'it was not compiled for its prefix')
    run('make', '-s', 'uninstall', 'PREFIX=' + prefix, cwd=top)
    same([f for _, _, files in os.walk(prefix) for f in files], [], 'what uninstall left')


def completes():
    """The real bash and fish complete what the table of commands holds; zsh reads it without complaint."""
    at = os.path.join(BUILD, 'at-rund')
    text = run(at, 'completion', 'bash')
    script = os.path.join(where, 'c.bash')
    with open(script, 'w') as f:
        f.write(text)

    def words(*typed):
        line = ' '.join("'%s'" % w for w in typed)
        return run('bash', '-c', 'source %s; COMP_WORDS=(at-rund %s); COMP_CWORD=%d; _at_rund; printf "%%s\\n" "${COMPREPLY[@]}"'
                   % (script, line, len(typed))).split()
    check({'init', 'serve', 'job', 'backup'} <= set(words('')), words(''))
    check({'list', 'show', 'logs'} <= set(words('job', '')), words('job', ''))
    same(words('job', 'list', '--st'), ['--state'])
    check('--json' in words('status', '--'), words('status', '--'))
    for shell in ('zsh', 'fish'):
        if not shutil.which(shell):
            skip('%s is not installed' % shell)
        script = os.path.join(where, 'c.' + shell)
        with open(script, 'w') as f:
            f.write(run(at, 'completion', shell))
        run(shell, '-n', script)
    lines = run('fish', '-c', 'source %s; complete -C "at-rund systemd "' % script, env=clean_env(HOME=where))
    same(sorted(line.split('\t')[0] for line in lines.splitlines()), ['install', 'status', 'uninstall'])


t.run('completions', completes)
t.run('dpkg-buildpackage', builds)
if deb:
    t.run('lintian finds nothing', clean)
    t.run('what is in it', holds)
    t.run('dpkg --install on a fresh machine', installs)
    if machine:
        t.run('an upgrade restarts the scheduler and keeps the socket', upgrades)
        t.run('dpkg --purge', removes)
        machine.stop()
t.run('contrib/install.sh and make uninstall', by_script)
t.end()
