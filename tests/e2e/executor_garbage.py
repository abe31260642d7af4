"""An executor that breaks the rules of lib/frame.h in the way its bundle's first line names.  See test_bad_input.py."""
import os
import socket
import struct
import sys
import time

HELLO, READY, HEAD, BODY, ERROR, LOG = 1, 2, 3, 4, 5, 6
LOAD, CALL = 16, 17
HEAD_OK = b'{"status":200,"headers":[["content-type","text/plain"]]}'

s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[-1])


def frame(kind, last, call, payload=b'', length=None, zero=0):
    s.sendall(struct.pack('>BBHII', kind, last, zero, call, len(payload) if length is None else length) + payload)


def exactly(n):
    got = b''
    while len(got) < n:
        piece = s.recv(n - len(got))
        if not piece:
            sys.exit(0)
        got += piece
    return got


def receive():
    kind, last, _, call, length = struct.unpack('>BBHII', exactly(12))
    return kind, last, call, exactly(length)


def hold():
    """Until the host lets go of us."""
    while s.recv(65536):
        pass


frame(HELLO, 0, 0, b'{"protocol":1,"runtime":"garbage","version":"1"}')
kind, _, _, payload = receive()
import json  # noqa: E402
load = json.loads(payload)
with open(os.path.join(load['dir'], load['entry'])) as f:
    mode = f.readline().strip('# \n')
if mode == 'load-garbage':
    s.sendall(os.urandom(4096))
    hold()
if mode == 'load-exit':
    os._exit(3)
frame(READY, 0, 0, b'{"endpoints":["x"]}')
kind, _, call, payload = receive()
if mode == 'random':
    s.sendall(os.urandom(65536))
elif mode == 'zeros':
    s.sendall(b'\0' * 65536)
elif mode == 'long-frame':
    frame(BODY, 1, call, b'', length=0xffffffff)
elif mode == 'too-long':
    frame(HEAD, 0, call, HEAD_OK)
    frame(BODY, 1, call, b'x' * (256 * 1024 + 1))
elif mode == 'unknown-kind':
    frame(99, 0, call, b'x')
elif mode == 'host-kind':
    frame(LOAD, 0, call, b'{}')
elif mode == 'two-heads':
    frame(HEAD, 0, call, HEAD_OK)
    frame(HEAD, 0, call, HEAD_OK)
elif mode == 'body-first':
    frame(BODY, 1, call, b'no head')
elif mode == 'other-call':
    frame(HEAD, 0, call + 77, HEAD_OK)
elif mode == 'hello-again':
    frame(HELLO, 0, 0, b'{"protocol":1}')
elif mode == 'head-no-json':
    frame(HEAD, 1, call, b'\xff\xfe not JSON')
elif mode == 'head-deep':
    frame(HEAD, 1, call, b'[' * 100000)
elif mode == 'head-status':
    frame(HEAD, 1, call, b'{"status":99999,"headers":[]}')
elif mode == 'head-split':
    frame(HEAD, 1, call, b'{"status":200,"headers":[["x-a","b\\r\\nset-cookie: evil=1"]]}')
elif mode == 'head-name':
    frame(HEAD, 1, call, b'{"status":200,"headers":[["x a: b","c"]]}')
elif mode == 'head-huge':
    frame(HEAD, 1, call, b'{"status":200,"headers":[["x-a","' + b'y' * 200000 + b'"]]}')
elif mode == 'log-flood':
    for _ in range(20000):
        frame(LOG, 0, call, b'{"level":"info","text":"' + b'z' * 4000 + b'"}')
    frame(HEAD, 0, call, HEAD_OK)
    frame(BODY, 1, call, b'after the flood')
elif mode == 'log-garbage':
    frame(LOG, 0, call, b'{"level":7,"text":[]}')
elif mode == 'half-frame':
    s.sendall(struct.pack('>BBHII', HEAD, 0, 0, call, 100) + b'{"stat')
    s.shutdown(socket.SHUT_WR)
elif mode == 'exit':
    os._exit(7)
elif mode == 'kill':
    os.kill(os.getpid(), 9)
elif mode == 'endless':
    frame(HEAD, 0, call, HEAD_OK)
    while True:
        frame(BODY, 0, call, b'e' * 65536)
elif mode == 'silent':
    hold()
elif mode == 'nonzero-middle':
    frame(HEAD, 1, call, HEAD_OK, zero=0xbeef)
hold()
time.sleep(0)
