"""A tiny FastCGI client that can also misbehave: records of any size and order, slow, cut, lying.

    c = Connection(path)
    c.begin(); c.params({...}); c.stdin(b"..."); c.stdin(b"")
    answer = c.answer()          # Answer(status, headers, body, ended)

or, for a whole request:  request(path, "GET", "/health")
"""

import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3


def record(kind, content=b"", rid=1, padding=0, version=1):
    return struct.pack("!BBHHBB", version, kind, rid, len(content), padding, 0) + content + b"\0" * padding


def pairs(params):
    out = bytearray()
    for name, value in params.items() if isinstance(params, dict) else params:
        name, value = name.encode(), value if isinstance(value, bytes) else str(value).encode()
        for n in (len(name), len(value)):
            out += struct.pack("!B", n) if n < 128 else struct.pack("!I", n | 0x80000000)
        out += name + value
    return bytes(out)


class Answer:
    def __init__(self, raw, ended, stderr=b""):
        self.raw, self.ended, self.stderr = raw, ended, stderr
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.headers = []
        self.status, self.reason = 0, ""
        for line in head.split(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(": ")
            if name == "Status":
                self.status, self.reason = int(value.split(" ", 1)[0]), value.partition(" ")[2]
            elif name:
                self.headers.append((name.lower(), value))

    def header(self, name):
        return next((v for n, v in self.headers if n == name.lower()), None)

    def json(self):
        import json
        return json.loads(self.body)


class Connection:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def begin(self, rid=1, keep=False, role=RESPONDER):
        self.send(record(BEGIN, struct.pack("!HB5x", role, 1 if keep else 0), rid))

    def params(self, params, rid=1, piece=65535, padding=0):
        data = params if isinstance(params, bytes) else pairs(params)
        for i in range(0, len(data), piece):
            self.send(record(PARAMS, data[i:i + piece], rid, padding))
        self.send(record(PARAMS, b"", rid))

    def stdin(self, data, rid=1, piece=65535, padding=0):
        """b"" ends the body."""
        if not data:
            self.send(record(STDIN, b"", rid))
        for i in range(0, len(data), piece):
            self.send(record(STDIN, data[i:i + piece], rid, padding))

    def abort(self, rid=1):
        self.send(record(ABORT, b"", rid))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def _take(self, n):
        while len(self.pending) < n:
            more = self.sock.recv(65536)
            if not more:
                return None
            self.pending += more
        out, self.pending = self.pending[:n], self.pending[n:]
        return out

    def next_record(self):
        """(kind, rid, content), or None at the end of the connection."""
        head = self._take(8)
        if head is None:
            return None
        _, kind, rid, n, pad, _ = struct.unpack("!BBHHBB", head)
        content = self._take(n + pad)
        return None if content is None else (kind, rid, content[:n])

    def answer(self):
        out, err = bytearray(), bytearray()
        while True:
            try:
                got = self.next_record()
            except ConnectionResetError:
                got = None
            if got is None:
                return Answer(bytes(out), False, bytes(err))
            kind, _, content = got
            if kind == STDOUT:
                out += content
            elif kind == STDERR:
                err += content
            elif kind == END:
                return Answer(bytes(out), True, bytes(err))


def environment(method, uri, headers=(), body=None, **more):
    env = {
        "REQUEST_METHOD": method, "REQUEST_URI": uri, "QUERY_STRING": uri.partition("?")[2],
        "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_SCHEME": "http", "HTTP_HOST": "runner.test", "GATEWAY_INTERFACE": "CGI/1.1",
    }
    if body is not None:
        env["CONTENT_LENGTH"] = str(len(body))
    for name, value in dict(headers).items():
        env["HTTP_" + name.upper().replace("-", "_")] = value
    env.update(more)
    return {k: v for k, v in env.items() if v is not None}


def request(path, method, uri, headers=(), body=None, timeout=40, **more):
    with Connection(path, timeout) as c:
        c.begin()
        c.params(environment(method, uri, headers, body, **more))
        if body:
            c.stdin(body)
        c.stdin(b"")
        return c.answer()
