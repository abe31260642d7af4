"""
Two network namespaces and a cable between them: `host`, where the runner lives, and `world`, with "public", private and
link-local hosts and a resolver that lies (world.py).  Neither has a way to anywhere else: no packet can reach a real address.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PUBLIC, PRIVATE, META, RESOLVER = '11.22.33.44', '10.9.0.2', '169.254.169.254', '11.22.33.53'
OWN = '11.22.33.1'  # the host's


def sh(*argv, check_it=True):
    p = subprocess.run(argv, capture_output=True, text=True)
    if p.returncode != 0 and check_it:
        raise RuntimeError('%s: %s' % (' '.join(argv), p.stderr))
    return p.stdout


def why_not():
    """Why no land can be made here, or None."""
    if os.geteuid() != 0:
        return 'needs root: it makes network namespaces'
    if not shutil.which('ip'):
        return 'ip is not here'
    name = 'atrtry%d' % os.getpid()
    if subprocess.run(['ip', 'netns', 'add', name], capture_output=True).returncode != 0:
        return 'no network namespace can be made here'
    sh('ip', 'netns', 'del', name)
    return None


class Land:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='at-rund-land-')
        os.chmod(self.dir, 0o711)
        self.host, self.world = 'atrh%d' % os.getpid(), 'atrw%d' % os.getpid()
        self.procs = []

    def __enter__(self):
        try:
            self.cable()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def cable(self):
        for ns in (self.host, self.world):
            sh('ip', 'netns', 'add', ns)
            sh('ip', '-n', ns, 'link', 'set', 'lo', 'up')
        sh('ip', 'link', 'add', 'wire', 'netns', self.host, 'type', 'veth', 'peer', 'name', 'wire', 'netns', self.world)
        for ns, addresses in ((self.host, (OWN + '/24', '10.9.0.1/24', '169.254.0.1/16', '2606:4700:ffff::1/64', 'fd00:9::1/64')),
                              (self.world, (PUBLIC + '/24', RESOLVER + '/24', PRIVATE + '/24', META + '/16',
                                            '2606:4700:ffff::44/64', 'fd00:9::2/64'))):
            for a in addresses:
                sh('ip', '-n', ns, 'addr', 'add', a, 'dev', 'wire', *(('nodad',) if ':' in a else ()))
            sh('ip', '-n', ns, 'link', 'set', 'wire', 'up')
        with open(os.path.join(self.dir, 'resolv.conf'), 'w') as f:
            f.write('nameserver %s\noptions timeout:2 attempts:1\n' % RESOLVER)

    def at_home(self, *argv):
        """A command of the host's, where names are asked of the world.  Not `ip netns exec`: that hides /sys/fs/cgroup."""
        return ['nsenter', '--net=/run/netns/' + self.host, 'unshare', '--mount', 'sh', '-c',
                'mount --bind "$0" /etc/resolv.conf && exec "$@"', os.path.join(self.dir, 'resolv.conf'), *argv]

    def people(self, ns, name, *more):
        log = os.path.join(self.dir, name + '.hits')
        open(log, 'w').close()
        p = subprocess.Popen(['ip', 'netns', 'exec', ns, sys.executable, os.path.join(HERE, 'world.py'), log, *more],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.procs.append(p)
        if p.stdout.readline() != b'ready\n':
            raise RuntimeError('nobody lives in the land')

    def start(self):
        self.people(self.world, 'world', '--dns', RESOLVER)
        self.people(self.host, 'own')

    def __exit__(self, *_):
        for p in reversed(self.procs):
            p.stdin.close()
            p.terminate()
            p.wait()
        for ns in (self.host, self.world):
            sh('ip', 'netns', 'del', ns, check_it=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def hits(directory, who='world'):
    """[address, port] of each connection that came in at somebody's."""
    with open(os.path.join(directory, who + '.hits')) as f:
        return [x.split()[1:] for x in f if x.startswith('hit')]
