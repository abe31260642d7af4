"""
A machine to break: systemd as process 1 of namespaces of its own, over a throw-away copy of this machine's files, or of another
root file system.

The network is that of whoever starts it, so that ports on loopback are reached from both sides.
"""
from kit import *  # noqa: F403

# Files of the machine below, changes above in memory; /proc, /run and a cgroup tree of its own.
BOOT = """
set -e
mkdir -p %(d)s/ov %(d)s/root
mount -t tmpfs tmpfs %(d)s/ov
mkdir %(d)s/ov/up %(d)s/ov/work
mount -t overlay overlay -o lowerdir=%(lower)s,upperdir=%(d)s/ov/up,workdir=%(d)s/ov/work %(d)s/root
cd %(d)s/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind /dev dev
rm -f etc/machine-id usr/sbin/policy-rc.d
printf '[Unit]\\nDescription=only what the test needs\\nWants=systemd-journald.service systemd-journald.socket\\n' \\
    >etc/systemd/system/test-machine.target
mkdir -p old
pivot_root . old
umount -l old
# As the kernel's own process 1 would find it: credentials are mounted elsewhere, and propagate.
mount --make-rshared /
export container=at-rund-test
exec /lib/systemd/systemd --unit=test-machine.target --show-status=no
"""


class Machine:
    def __init__(self, where, lower='/'):
        if os.geteuid() != 0:
            skip('needs root')
        for tool in ('unshare', 'nsenter'):
            program(tool)
        if not os.path.exists('/lib/systemd/systemd'):
            skip('systemd is not installed')
        self.log = os.path.join(where, 'systemd.log')
        script = os.path.join(where, 'boot.sh')
        with open(script, 'w') as f:
            f.write(BOOT % {'d': where, 'lower': lower})
        self.p = Process(['unshare', '-m', '-p', '-C', '-u', '-i', '-f', '--kill-child=KILL', '--propagation', 'private',
                          'sh', script], self.log, env={'PATH': clean_env()['PATH']})
        self.pid = None

        def up():
            with open('/proc/%d/task/%d/children' % (self.p.pid, self.p.pid)) as f:
                self.pid = int((f.read().split() or [0])[0])
            return self.pid and self.run('systemctl', 'is-system-running', ok=False).stdout.strip() in ('running', 'degraded')
        try:
            self.p.ready(up, 'systemd', 20)
        except Exception as e:
            skip('systemd does not start in namespaces here: %s' % str(e)[-300:])

    def run(self, *words, ok=True, env=None, timeout=90):
        argv = ['nsenter', '-t', str(self.pid), '-m', '-p', '-C', '-u', '-i', '-r', '-w', 'env', '-i',
                'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8']
        r = subprocess.run(argv + ['%s=%s' % kv for kv in (env or {}).items()] + list(words), capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=timeout * SLOW)
        check(not ok or r.returncode == 0, ' '.join(words), r.returncode, r.stderr[-800:] + r.stdout[-400:])
        return r

    def put(self, path, text):
        self.run('mkdir', '-p', os.path.dirname(path))
        r = subprocess.run(['nsenter', '-t', str(self.pid), '-m', '-r', 'tee', path], input=text, text=True,
                           stdout=subprocess.DEVNULL)
        same(r.returncode, 0, path)

    def copy(self, source, path):
        with open(source, 'rb') as f:
            r = subprocess.run(['nsenter', '-t', str(self.pid), '-m', '-r', 'tee', path], stdin=f, stdout=subprocess.DEVNULL)
        same(r.returncode, 0, path)

    def journal(self, unit='at-rund-scheduler.service'):
        return self.run('journalctl', '-b', '--no-pager', '-o', 'cat', '-u', unit).stdout

    def show(self, unit, key):
        return self.run('systemctl', 'show', '-P', key, unit).stdout.strip()

    def bwrap(self, user='www-data'):
        """Can an ordinary user build a wall in it?"""
        return self.run('runuser', '-u', user, '--', 'bwrap', '--unshare-all', '--ro-bind', '/', '/', '--proc', '/proc', 'true',
                        ok=False).returncode == 0

    def stop(self):
        self.p.stop(signal.SIGKILL)
