"""The yard: where the inmate is let loose, and the doors that Python itself can try."""
import fcntl
import json
import os
import shutil
import socket
import stat
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def tool():
    path = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'inmate')
    if not os.path.exists(path):
        shutil.copyfile(os.path.join(HERE, 'inmate'), path)
        os.chmod(path, 0o755)
    return path


def hello(request, ctx):
    return 'hello'


def inmate(request, ctx):
    """One door of the C program."""
    argv = [a.replace('{bundle}', HERE) for a in json.loads(request.body)]
    p = subprocess.run([tool(), *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return {'status': p.returncode, 'text': p.stdout.decode('utf-8', 'replace')}


def attempt(fn):
    try:
        return {'status': 1, 'text': 'OPEN: %r' % (fn(),)}
    except OSError as e:
        return {'status': 0, 'text': 'refused: %s' % e}


def read(request, ctx):
    return attempt(lambda: len(os.listdir(request.query['path']) if os.path.isdir(request.query['path'])
                               else open(request.query['path'], 'rb').read(64)))


def write(request, ctx):
    return attempt(lambda: os.close(os.open(request.query['path'].replace('{bundle}', HERE),
                                            os.O_WRONLY | os.O_CREAT, 0o600)))


def connect(request, ctx):
    return attempt(lambda: socket.create_connection((request.query['host'], int(request.query['port'])), 2).close())


def shared(request, ctx):
    """Leaves a word where other instances may look, or looks for it."""
    path = os.path.join(request.query['dir'], 'at-rund-word')
    if request.query.get('word'):
        with open(path, 'w') as f:
            f.write(request.query['word'])
        return {'status': 0, 'text': 'left'}
    return attempt(lambda: open(path).read())


def plant(request, ctx):
    """Things that whoever cleans up might follow or wait for."""
    tmp = os.environ.get('TMPDIR', '/tmp')
    for fn in (lambda: os.symlink(request.query['target'], tmp + '/link'), lambda: os.mkfifo(tmp + '/fifo'),
               lambda: os.mkdir(tmp + '/dir', 0), lambda: os.symlink(request.query['target'], tmp + '/dir2')):
        try:
            fn()
        except OSError:
            pass
    return {'status': 0, 'text': 'planted'}


def descriptors(request, ctx):
    """What is open in the executor that is neither a pipe, a socket to the runner, nor of the bundle's own runtime."""
    odd, sockets = [], 0
    for fd in os.listdir('/proc/self/fd'):
        try:
            st, to = os.fstat(int(fd)), os.readlink('/proc/self/fd/' + fd)
        except OSError:
            continue
        sockets += stat.S_ISSOCK(st.st_mode)
        if not (stat.S_ISFIFO(st.st_mode) or stat.S_ISSOCK(st.st_mode) or to == '/dev/null' or to.startswith('anon_inode:')
                or '/fd' in to and to.startswith('/proc/')):
            odd.append(to)
    return {'status': 1 if odd else 0, 'text': ('OPEN: %r' % odd) if odd else 'refused: %d sockets, pipes' % sockets}


def runner_socket():
    for fd in sorted(map(int, os.listdir('/proc/self/fd'))):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode) and socket.socket(fileno=os.dup(fd)).family == socket.AF_UNIX:
                return fd
        except OSError:
            continue


def lie(request, ctx):
    """A frame that says it is longer than it is, in the middle of a call."""
    os.write(runner_socket(), struct.pack('>BBHII', 4, 0, 0, 1, 0x7fffffff) + b'x' * 100)
    return 'said'


def frames(request, ctx):
    fd = runner_socket()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    os.set_blocking(fd, True)
    line = json.dumps({'level': 'info', 'text': 'again'}).encode()
    for _ in range(10000):
        os.write(fd, struct.pack('>BBHII', 6, 0, 0, 0, len(line)) + line)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return 'said'


def flood(request, ctx):
    block = b'flood ' * 10922 + b'\n'
    for _ in range(1 << 14):
        os.write(1, block)
    return 'flooded'


def huge(request, ctx):
    for _ in range(1 << 10):
        yield b'x' * (1 << 20)


def grow(request, ctx):
    hold = []
    while True:
        hold.append(bytearray(os.urandom(1 << 20)))
        if len(hold) > 700:
            return 'OPEN: so much memory'


def spin(request, ctx):
    n = 0
    while True:
        n += 1
