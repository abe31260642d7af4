"""A Docker daemon of the tests' own: its data, its sockets and its groups are nobody else's, and gone afterwards."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

GROUP = 'at-rund-test-docker'
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'


class Docker:
    """with Docker() as d: d.why says why it does not run here, or is None; d.host is what DOCKER_HOST wants to be."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='at-rund-docker-', dir='/var/tmp')
        self.host = 'unix://%s/sock' % self.dir
        self.why = self.p = None

    def __enter__(self):
        program = shutil.which('dockerd', path=PATH)
        if os.geteuid() != 0:
            self.why = 'dockerd needs root'
        elif program is None or shutil.which('docker', path=PATH) is None:
            self.why = 'docker.io is not installed'
        else:
            self.start(program)
        return self

    def start(self, program):
        log = os.path.join(self.dir, 'log')
        with open(log, 'w') as f:
            self.p = subprocess.Popen([program, '--data-root', self.dir + '/data', '--exec-root', self.dir + '/exec', '--pidfile',
                                       self.dir + '/pid', '--host', self.host, '--containerd-namespace', GROUP, '--cgroup-parent',
                                       '/' + GROUP, '--bridge', 'none', '--iptables=false', '--ip6tables=false'],
                                      stdin=subprocess.DEVNULL, stdout=f, stderr=f, env={'PATH': PATH, 'HOME': self.dir},
                                      start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.p.poll() is None:
            if self.run('version').returncode == 0:
                return
            time.sleep(0.1)
        with open(log) as f:
            lines = [x for x in f.read().splitlines() if 'level=fatal' in x or 'failed' in x] or ['it says nothing']
        self.why = 'dockerd does not start here: ' + lines[-1][:300]

    def run(self, *words):
        return subprocess.run(['docker', *words], capture_output=True, text=True, env={'PATH': PATH, 'DOCKER_HOST': self.host})

    def gone(self):
        """Removes what is left; some of it may be in use for a moment yet.  True: nothing is."""
        with open('/proc/self/mountinfo') as f:
            points = [x.split()[4] for x in f]
        for point in sorted((x for x in points if x.startswith(self.dir + '/')), reverse=True):
            subprocess.run(['umount', '-l', point])
        shutil.rmtree(self.dir, ignore_errors=True)
        groups = [os.path.join('/sys/fs/cgroup', top, GROUP) for top in sorted(os.listdir('/sys/fs/cgroup')) + ['.']]
        for group in filter(os.path.isdir, groups):
            for d, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(d)
        return not os.path.exists(self.dir) and not any(map(os.path.isdir, groups))

    def __exit__(self, *_):
        if self.p:
            self.p.terminate()
            self.p.wait()
        end = time.monotonic() + 20
        while not self.gone():
            if time.monotonic() > end:
                raise RuntimeError('the daemon left something behind in %s' % self.dir)
            time.sleep(0.1)
