"""The yard: where the inmate is let loose, and the doors that Python itself can try.  Each door: {status: 0 shut, 1 open; text}."""
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TMP = os.environ.get('TMPDIR', '/tmp')


def tool():
    path = os.path.join(TMP, 'inmate')
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
    except (OSError, MemoryError) as e:
        return {'status': 0, 'text': 'refused: %s' % e}


def path_of(request):
    return request.query['path'].replace('{bundle}', HERE).replace('{entry}', 'main.py')


def read(request, ctx):
    path = path_of(request)
    return attempt(lambda: len(os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(64)))


def write(request, ctx):
    return attempt(lambda: os.close(os.open(path_of(request), os.O_WRONLY | os.O_CREAT, 0o600)))


def env(request, ctx):
    return dict(ctx.env)


def connect(request, ctx):
    return attempt(lambda: socket.create_connection((request.query['host'], int(request.query['port'])), 2).close())


def exchange(request, ctx):
    """Reached is who answers."""
    def talk():
        with socket.create_connection((request.query['host'], int(request.query['port'])), 5) as s:
            s.sendall(b'GET %s HTTP/1.0\r\nHost: x\r\n\r\n' % request.query.get('path', '/').encode())
            data = b''
            while part := s.recv(65536):
                data = (data + part)[-400:]
        if not data:
            raise OSError('nobody answers')
        return data.decode('latin-1')[-200:]
    return attempt(talk)


def abstract(request, ctx):
    def go():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect('\0' + request.query['socket'])
    return attempt(go)


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
    for fn in (lambda: os.symlink(request.query['target'], TMP + '/link'), lambda: os.mkfifo(TMP + '/fifo'),
               lambda: os.mkdir(TMP + '/dir', 0), lambda: os.symlink(request.query['target'], TMP + '/dir2'),
               lambda: os.mknod(TMP + '/device', stat.S_IFBLK | 0o600, os.makedev(8, 0))):
        try:
            fn()
        except OSError:
            pass
    return {'status': 0, 'text': 'planted'}


def opened(request, ctx):
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


# ---- frames that lie

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


# ---- bombs, each small enough to hit the limit of the job and not of the machine

def flood(request, ctx):
    block = b'flood ' * 10922 + b'\n'
    for _ in range(1 << 14):
        os.write(1, block)
    return 'flooded'


def huge(request, ctx):
    for _ in range(1 << 10):
        yield b'x' * (1 << 20)


def number(request):
    return int(request.query['n'])


def forks(request, ctx):
    children = []

    def go():
        for _ in range(number(request)):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
        time.sleep(3)  # who counts from outside has this long
        return len(children)
    try:
        return attempt(go)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def memory(request, ctx):
    hold = []
    while len(hold) < number(request):
        hold.append(bytearray(os.urandom(1 << 20)))
    time.sleep(3)
    return {'status': 1, 'text': 'OPEN: %d MiB' % len(hold)}


def descriptors(request, ctx):
    held = []
    try:
        return attempt(lambda: [held.append(os.open('/dev/null', os.O_RDONLY)) for _ in range(number(request))] and len(held))
    finally:
        for fd in held:
            os.close(fd)


def disk(request, ctx):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    names = ['%s/py-bomb.%d' % (TMP, i) for i in range(number(request) // 8)]

    def go():
        for n in names:
            with open(n, 'wb') as f:
                f.write(bytes(8 << 20))
        return len(names)
    try:
        return attempt(go)
    finally:
        for n in filter(os.path.exists, names):
            os.unlink(n)


def files(request, ctx):
    def go():
        os.makedirs(TMP + '/py-many', exist_ok=True)
        for i in range(number(request)):
            os.close(os.open('%s/py-many/%d' % (TMP, i), os.O_CREAT | os.O_WRONLY))
        time.sleep(3)
        return number(request)
    try:
        return attempt(go)
    finally:
        shutil.rmtree(TMP + '/py-many', ignore_errors=True)


def cpu(request, ctx):
    end = time.process_time() + number(request)
    while time.process_time() < end:
        pass
    return {'status': 1, 'text': 'OPEN: %r s' % time.process_time()}


def late(request, ctx):
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except ValueError:
        pass  # not in the main thread
    end = time.monotonic() + number(request)
    while time.monotonic() < end:
        time.sleep(1)
    return {'status': 1, 'text': 'OPEN: outlived its deadline'}


def daemon(request, ctx):
    """Its own session, no output, its parent gone: the test looks for it from outside."""
    subprocess.run([tool(), 'daemon', request.query['mark']], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return {'status': 1, 'text': 'left'}
