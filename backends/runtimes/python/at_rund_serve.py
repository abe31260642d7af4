"""Serves calls over one unix socket (frames: lib/frame.h), one at a time.

The way of a call: one recv, the handler, one send.  Async handlers, WSGI and ASGI apps are in at_rund_web.py,
which is imported when a bundle has one.
"""
import sys
import time
from _socket import MSG_DONTWAIT
from _thread import allocate_lock

READY, HEAD, BODY, ERROR, LOG, MORE, DONE = 2, 3, 4, 5, 6, 7, 8
LOAD, CALL, DATA, CANCEL, SECRETS, CREDIT = 16, 17, 18, 19, 20, 21
LAST, STAYS = 1, 2  # flags: nothing follows for this call; and yet work after the answer goes on
FRAME_MAX, WINDOW = 256 * 1024, 1024 * 1024
LINE_MAX = 8 * 1024
NAME_MAX, MESSAGE_MAX, STACK_MAX = 100, 4000, 8000
IDLE_S = 0.025
CO_VARARGS, CO_COROUTINE = 0x04, 0x80
MODULE = 'bundle'
KEPT_ENV = ('PATH', 'HOME', 'TMPDIR', 'LANG')  # what every program may expect; the rest is the host's
LEVELS = ('debug', 'info', 'warn', 'error')
HEADER_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
HEADER_BAD = {c: None for c in range(32) if c != 9} | {127: None}

monotonic, wall = time.monotonic, time.time
loads = dumps = None


class InvalidResponse(Exception):
    pass


class EndpointNotFound(Exception):
    pass


class Cancelled(BaseException):
    """The call was cancelled; a BaseException, so that `except Exception` of a handler does not swallow it."""


class Exited(Exception):
    pass


class Gone(BaseException):
    """The host has closed the socket."""


OURS = (InvalidResponse, EndpointNotFound, Cancelled, Exited)


def cut(text, size):
    """At most size bytes of UTF-8, with nothing in it that JSON readers refuse."""
    b = text.encode('utf-8', 'replace')[:size]
    return b.decode('utf-8', 'ignore').replace('\0', '\u2400')


# ---- what the handler is given ----

class Headers(dict):
    """Names in lower case; repeated headers joined by a comma.  Looked up in any case."""

    def __init__(self, pairs):
        self.pairs = pairs
        for name, value in pairs:
            name = name.lower()
            dict.__setitem__(self, name, dict.__getitem__(self, name) + ', ' + value if name in self.keys() else value)

    def __getitem__(self, name):
        return dict.__getitem__(self, name.lower())

    def __contains__(self, name):
        return isinstance(name, str) and dict.__contains__(self, name.lower())

    def get(self, name, default=None):
        return dict.get(self, name.lower(), default)


class Fields(dict):
    """A query or a form: the last value of each name; all(name) has every one."""

    def __init__(self, pairs):
        self.pairs = pairs
        dict.__init__(self, pairs)

    def all(self, name):
        return [v for n, v in self.pairs if n == name]


class Upload:
    """A file of a form."""

    def __init__(self, filename, content_type, data):
        self.filename, self.content_type, self.data = filename, content_type, data


class Request:
    def __init__(self, call):
        self._call = call
        m = call.m
        self.method, self.url, self.path, self.query_string = m['method'], m['url'], m['path'], m['query']

    def __getattr__(self, name):
        if name == 'headers':
            value = Headers(self._call.m['headers'])
        elif name == 'query':
            value = Fields(parse_pairs(self.query_string))
        elif name == 'body':
            value = self._call.body()
        elif name == 'stream':
            value = Body(self._call)
        else:
            raise AttributeError(f"'Request' object has no attribute '{name}'")
        self.__dict__[name] = value
        return value

    def text(self):
        return self.body.decode('utf-8-sig', 'replace')

    def json(self):
        from json import loads
        return loads(self.body)

    def form(self):
        kind = self.headers.get('content-type', '').partition(';')[0].strip().lower()
        if kind == 'multipart/form-data':
            return Fields(multipart(self.headers['content-type'], self.body))
        return Fields(parse_pairs(self.body.decode('utf-8', 'replace')))


class Body:
    """The request's body as it comes: an iterator, async in an async handler.  request.body waits for all of it."""

    def __init__(self, call):
        self._call = call

    def __iter__(self):
        return self

    def __next__(self):
        call = self._call
        while not call.chunks and not call.whole:
            call.server.receive()
            call.check()
        piece = call.take()
        if not piece:
            raise StopIteration
        return piece

    def __aiter__(self):
        return self

    async def __anext__(self):
        call = self._call
        while not call.chunks and not call.whole:
            await web().news(call)
        piece = call.take()
        if not piece:
            raise StopAsyncIteration
        return piece


def parse_pairs(text):
    if not text:
        return []
    from urllib.parse import parse_qsl
    return parse_qsl(text, keep_blank_values=True)


def multipart(content_type, body):
    from email.parser import BytesParser
    from email.policy import HTTP
    message = BytesParser(policy=HTTP).parsebytes(b'Content-Type: ' + content_type.encode('latin-1', 'replace') +
                                                  b'\r\n\r\n' + body)
    pairs = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param('name', header='content-disposition')
        if name is None:
            continue
        data, filename = part.get_payload(decode=True) or b'', part.get_filename()
        pairs.append((name, data.decode(part.get_content_charset('utf-8'), 'replace') if filename is None
                      else Upload(filename, part.get_content_type(), data)))
    return pairs


class Context:
    def __init__(self, server, call):
        m = call.m
        self.env, self.bundle = server.env, server.bundle
        self.job, self.endpoint, self.path, self.caller = m['job'], m['endpoint'], m['path'], m.get('caller')
        left = m['deadlineMs'] / 1000
        self.deadline, self._until = wall() + left, monotonic() + left
        self.log, self._call = server.user_log, call

    @property
    def traceparent(self):
        """For calls that the handler makes: the trace it runs in (W3C Trace Context), None when there is none."""
        return next((value for name, value in self._call.m['headers'] if name == 'traceparent'), None)

    def remaining(self):
        """Seconds until the deadline."""
        return max(0.0, self._until - monotonic())

    def wait_until(self, work, *args):
        """Work after the answer, until the deadline: a function with its arguments, or something to await."""
        if self._call.over:
            raise RuntimeError('wait_until: the call has ended')
        if not callable(work):
            work, args = web().begin(work), ()
        self._call.after.append((work, args))


class Call:
    __slots__ = ('server', 'id', 'm', 'whole', 'chunks', 'cancelled', 'started', 'ended', 'over', 'after', 'credit', 'taken', 'waiter')

    def __init__(self, server, id, m, whole):
        self.server, self.id, self.m, self.whole = server, id, m, whole
        self.chunks = []
        self.cancelled = self.started = self.ended = self.over = False
        self.after = []        # work after the answer
        self.credit = WINDOW   # what may be sent of the answer
        self.taken = 0         # bytes of the body that the host was not told of
        self.waiter = None     # a future of who waits for something of the host

    def body(self):
        if not self.whole:
            parts = list(Body(self))
            self.chunks = [b''.join(parts)]
        return b''.join(self.chunks)

    def take(self):
        """What came of the body; the host is told that there is room again."""
        piece = b''.join(self.chunks)
        self.chunks = []
        self.taken += len(piece)
        if not self.whole and self.taken >= WINDOW // 2:
            self.server.send(self.server.frame(MORE, 0, self.id, self.taken.to_bytes(4, 'big')))
            self.taken = 0
        return piece

    def check(self):
        if self.cancelled:
            raise Cancelled('the call was cancelled')


# ---- the log ----

class Output:
    """sys.stdout and sys.stderr: lines become the log."""

    encoding, errors, newlines, closed, mode, line_buffering = 'utf-8', 'replace', None, False, 'w', True

    def __init__(self, server, level, fd):
        self._server, self._level, self._fd, self._rest = server, level, fd, ''
        self.name = '<stdout>' if fd == 1 else '<stderr>'

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f'write() argument must be str, not {type(text).__name__}')
        head, newline, rest = text.rpartition('\n')
        if newline:
            self._server.log(self._level, self._rest + head)
            self._rest = rest
        else:
            self._rest += rest
        self._rest = self._rest[:LINE_MAX + 1]
        return len(text)

    def finish(self):
        if self._rest:
            rest, self._rest = self._rest, ''
            self._server.log(self._level, rest)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    @property
    def buffer(self):
        return OutputBytes(self)

    def flush(self):
        pass

    def close(self):
        pass

    def detach(self):
        return self.buffer

    def reconfigure(self, **_):
        pass

    def isatty(self):
        return False

    def fileno(self):
        return self._fd

    def writable(self):
        return True

    def readable(self):
        return False

    seekable = readable

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class OutputBytes(Output):
    def __init__(self, text):
        self._text, self._fd, self.name = text, text._fd, text.name

    def write(self, data):
        self._text.write(bytes(data).decode('utf-8', 'replace'))
        return len(data)

    def finish(self):
        pass

    @property
    def buffer(self):
        return self


# ---- the server ----

class Server:
    def __init__(self, sock, here):
        self.sock, self.here = sock, here
        self.inbox, self.lock = bytearray(), allocate_lock()
        self.calls = {}  # by number: begun and waiting ones, oldest first
        self.current = None
        self.env, self.secrets, self.bundle, self.dir, self.dirs = {}, {}, None, None, []
        self.module = self.table = self.fallback = self.wsgi = self.asgi = None
        self.out, self.err = Output(self, 'info', 1), Output(self, 'error', 2)

    # -- frames --

    def send(self, data):
        try:
            with self.lock:  # a thread of the bundle may print
                self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def frame(self, kind, last, call, payload):
        return b'%c%c\0\0' % (kind, last) + call.to_bytes(4, 'big') + len(payload).to_bytes(4, 'big') + payload

    def receive(self, flags=0):
        """Takes what the host has sent; without MSG_DONTWAIT waits for it.  False: nothing there."""
        try:
            data = self.sock.recv(65536, flags)
        except BlockingIOError:
            return False
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        box = self.inbox
        if not box:
            box = data
        else:
            box += data
        at, n = 0, len(box)
        while n - at >= 12:
            end = at + 12 + int.from_bytes(box[at + 8:at + 12], 'big')
            if end > n:
                break
            self.take(box[at], box[at + 1], int.from_bytes(box[at + 4:at + 8], 'big'), box[at + 12:end])
            at = end
        if at == n:
            if self.inbox:
                self.inbox.clear()
        elif box is self.inbox:
            del self.inbox[:at]
        else:
            self.inbox += data[at:]
        return True

    def take(self, kind, last, id, payload):
        if kind == CALL:
            self.calls[id] = Call(self, id, loads(payload), last)
        elif kind == LOAD:
            self.load(loads(payload))
        elif kind == SECRETS:
            self.secrets = loads(payload)
        elif id in self.calls:
            call = self.calls[id]
            if kind == DATA:
                call.chunks.append(bytes(payload))
                call.whole = call.whole or bool(last)
            elif kind == CANCEL:
                call.cancelled = True
            elif kind == CREDIT:
                call.credit += int.from_bytes(payload, 'big')
            if call.waiter is not None and not call.waiter.done():
                call.waiter.set_result(None)

    def poll(self, call):
        """Between two pieces of a stream: was the call cancelled?"""
        while self.receive(MSG_DONTWAIT):
            pass
        call.check()

    # -- the log --

    def log(self, level, text, *args):
        if '/' in text:
            text = self.scrub(text)
        call = self.current
        id = call.id if call is not None and not call.over else 0
        out = []
        for line in text.split('\n'):
            if len(line) * 4 > LINE_MAX and len(line.encode('utf-8', 'replace')) > LINE_MAX:
                line = cut(line, LINE_MAX - 3) + '\u2026'
            out.append(self.frame(LOG, 0, id, b'{"level":"%s","text":%s}' % (level.encode(), dumps(cut(line, LINE_MAX))
                                                                             .encode())))
            if len(out) > 64:
                self.send(b''.join(out))
                out.clear()
        self.send(b''.join(out))

    def user_log(self, *args):
        level = 'info'
        if len(args) > 1 and args[0] in LEVELS:
            level, *args = args
        self.log(level, ' '.join(map(str, args)))

    def watch_logging(self):
        """Records of the logging module keep their level."""
        import logging
        server = self

        def level(record):
            n = record.levelno
            return 'error' if n >= 40 else 'warn' if n >= 30 else 'info' if n >= 20 else 'debug'

        class Last(logging.Handler):
            def emit(self, record):
                server.log(level(record), self.format(record))

        last, plain = Last(), logging.StreamHandler.emit

        def emit(self, record):
            if self.stream is not server.err and self.stream is not server.out:
                plain(self, record)
            elif getattr(self.formatter, '_fmt', None) in (None, logging.BASIC_FORMAT):
                last.emit(record)  # the level need not stand in the text as well
            else:
                server.log(level(record), self.format(record))

        logging.StreamHandler.emit = emit
        logging.lastResort = last
        logging.root.setLevel(logging.INFO)

    # -- errors --

    def scrub(self, text):
        for d in self.dirs:
            text = text.replace(d + '/', '')
        for d in self.dirs[:2]:
            text = text.replace(d, '.')
        if '/home/' in text or '/root/' in text:
            import re
            text = re.sub(r'(?<![\w./-])/(?:home|root)/(?:[^\s\'"`()<>:,]*/)?', '', text)
        return text

    def relative(self, filename):
        for d in self.dirs[:2]:
            if filename.startswith(d + '/'):
                return filename[len(d) + 1:]
        return None

    def describe(self, e):
        where, stack = '', []
        tb = e.__traceback__
        while tb is not None:
            code = tb.tb_frame.f_code
            name = self.relative(code.co_filename)
            if name is not None:
                where = f'{name}:{tb.tb_lineno}'
                stack.append(f'at {code.co_name} ({where})')
            tb = tb.tb_next
        if isinstance(e, SyntaxError) and e.filename:
            name = self.relative(e.filename)
            if name is not None:
                where = f'{name}:{e.lineno or 1}' + (f':{e.offset}' if e.offset else '')
        try:
            if isinstance(e, SyntaxError):
                message = str(e.msg)
            elif isinstance(e, KeyError):
                message = f'no key {e}'
            else:
                message = str(e)
        except BaseException:
            message = 'an error that cannot be shown'
        stack.reverse()
        return {'name': cut(self.scrub(type(e).__name__), NAME_MAX), 'message': cut(self.scrub(message), MESSAGE_MAX),
                'where': cut(where, 4 * NAME_MAX), 'stack': cut('\n'.join(stack), STACK_MAX)}

    def fail(self, call, e):
        if isinstance(e, SystemExit):
            code = '' if e.code is None else e.code
            e = Exited(f'the code called sys.exit({code})').with_traceback(e.__traceback__)
        report = self.describe(e)
        if call is not None and call.cancelled and report['name'] != 'Exited':
            report['name'] = 'Cancelled'
        flags = self.finish(call)
        self.send(self.frame(ERROR, flags, call.id if call is not None else 0, dumps(report).encode()))

    def finish(self, call):
        """The answer is whole, or never will be.  The flags of its last frame."""
        self.out.finish()
        self.err.finish()
        if call is None:
            return LAST
        call.ended = True
        if call.after and not call.cancelled:
            return LAST | STAYS
        self.forget(call)
        return LAST

    def forget(self, call):
        call.over = True
        self.calls.pop(call.id, None)

    # -- answers --

    def head(self, status, pairs):
        """The payload of HEAD, checked."""
        if type(status) is not int or not 200 <= status <= 599:
            raise InvalidResponse(f'status {status!r:.60} is not one of 200 to 599')
        for name, value in pairs:
            if not name or not HEADER_NAME.issuperset(name):
                raise InvalidResponse(f'header name {name!r:.60} is not allowed')
            if value.translate(HEADER_BAD) != value:
                raise InvalidResponse(f'header {name} has a value with characters that are not allowed')
        payload = dumps({'status': status, 'headers': pairs}).encode()
        if len(payload) > FRAME_MAX:
            raise InvalidResponse('the headers are too long')
        return payload

    def body_frames(self, call, data, last):
        if len(data) <= FRAME_MAX:
            return self.frame(BODY, last, call.id, data)
        view, n = memoryview(data), len(data)
        return b''.join(self.frame(BODY, last if at + FRAME_MAX >= n else 0, call.id, view[at:at + FRAME_MAX].tobytes())
                        for at in range(0, n, FRAME_MAX))

    def parts(self, call, data):
        """Not more than the host has room for, again and again, to the end."""
        at = 0
        while at < len(data):
            while call.credit == 0:
                self.receive()
                call.check()
            part = data[at:at + call.credit]
            at += len(part)
            call.credit -= len(part)
            yield part

    def whole(self, call, head, data):
        if data is not None and len(data) > WINDOW:
            self.begin_stream(call, head)
            for part in self.parts(call, data):
                self.send(self.body_frames(call, part, 0))
            self.end_stream(call)
            return
        if self.out._rest or self.err._rest or call.after:
            flags = self.finish(call)
            if flags != LAST:
                self.send(self.frame(HEAD, 0 if data is not None else flags, call.id, head) +
                          (self.body_frames(call, data, flags) if data is not None else b''))
                return
        call.ended = call.over = True
        self.calls.pop(call.id, None)
        id = call.id.to_bytes(4, 'big')
        if data is None:
            self.send(b'\x03\1\0\0' + id + len(head).to_bytes(4, 'big') + head)
            return
        start = b'\x03\0\0\0' + id + len(head).to_bytes(4, 'big') + head
        if len(data) <= FRAME_MAX:
            self.send(b'%b\x04\1\0\0%b%b%b' % (start, id, len(data).to_bytes(4, 'big'), data))
            return
        self.send(start + self.body_frames(call, data, LAST))

    def begin_stream(self, call, head):
        self.send(self.frame(HEAD, 0, call.id, head))

    @staticmethod
    def piece(piece):
        if isinstance(piece, str):
            return piece.encode('utf-8', 'replace')
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise InvalidResponse(f'a stream gave {type(piece).__name__}, not bytes or str')
        return bytes(piece)

    def chunk(self, call, piece):
        for part in self.parts(call, self.piece(piece)):
            self.send(self.body_frames(call, part, 0))
        self.poll(call)

    def end_stream(self, call):
        flags = self.finish(call)
        self.send(self.frame(BODY, flags, call.id, b''))

    def pairs(self, headers):
        if headers is None:
            return []
        if isinstance(headers, dict):
            headers = headers.items()
        out = []
        for name, value in headers:
            for v in value if isinstance(value, (list, tuple)) else (value,):
                out.append((str(name).lower(), v if isinstance(v, str) else str(v)))
        return out

    def answer(self, call, value, status=200, pairs=None):
        """Sends what a handler gave back; a stream is sent to its end."""
        t = type(value)
        if t is dict or t is list:
            data = dumps(value).encode()
            return self.whole(call, JSON_HEAD if pairs is None else self.typed(status, pairs, 'application/json'), data)
        if t is str:
            return self.whole(call, self.typed(status, pairs, 'text/plain; charset=utf-8'),
                              value.encode('utf-8', 'replace'))
        if t is bytes or t is bytearray or t is memoryview:
            return self.whole(call, self.typed(status, pairs, 'application/octet-stream'), bytes(value))
        if value is None:
            return self.whole(call, self.head(204 if pairs is None else status, pairs or []), None)
        if t is tuple and pairs is None:
            if len(value) not in (2, 3) or type(value[0]) is not int:
                raise InvalidResponse('a tuple must be (status, headers, body)')
            headers, body = value[1:] if len(value) == 3 else ({}, value[1])
            return self.answer(call, body, value[0], self.pairs(headers))
        if hasattr(t, '__next__') and hasattr(t, '__iter__'):
            return self.stream(call, self.typed(status, pairs, 'text/plain; charset=utf-8'), value)
        if hasattr(t, '__anext__'):
            return web().stream(self, call, self.typed(status, pairs, 'text/plain; charset=utf-8'), value)
        data = dumps(value).encode()
        return self.whole(call, self.typed(status, pairs, 'application/json'), data)

    def typed(self, status, pairs, mime):
        if pairs is None:
            pairs = [('content-type', mime)]
        elif not any(n == 'content-type' for n, _ in pairs):
            pairs = [*pairs, ('content-type', mime)]
        return self.head(status, pairs)

    def stream(self, call, head, it):
        try:
            self.begin_stream(call, head)
            for piece in it:
                self.chunk(call, piece)
        finally:
            close = getattr(it, 'close', None)
            if close is not None:
                close()
        self.end_stream(call)

    # -- calls --

    def handler(self, name):
        found = self.table.get(name)
        if found is not None:
            return found
        if self.fallback is not None:
            return self.fallback
        raise EndpointNotFound(f"the bundle has no endpoint '{name}'")

    def run(self, call):
        self.current = call
        call.started = True
        try:
            call.check()
            f, kind, arity = self.handler(call.m['endpoint'])
            if kind == 'function':
                value = f(*(Request(call), Context(self, call))[:arity])
                self.answer(call, value)
            elif kind == 'async':
                web().call(self, call, f(*(Request(call), Context(self, call))[:arity]))
            elif kind == 'wsgi':
                web().wsgi(self, call, f)
            else:
                web().asgi(self, call, f)
        except Gone:
            raise
        except BaseException as e:
            if not call.ended:
                self.fail(call, e)
            else:
                self.log('error', f'{type(e).__name__}: {e}')
        try:
            if call.ended and not call.over:
                self.rest(call)
        finally:
            self.current = None

    def rest(self, call):
        """The work after the answer.  What it prints is the call's still; what it throws is logged and no more."""
        works = failed = 0
        while call.after and not call.cancelled:
            works += 1
            work, args = call.after.pop(0)
            try:
                value = work(*args)
                if hasattr(value, '__await__'):
                    web().run(self, call, value)
            except Gone:
                raise
            except BaseException as e:
                failed += 1
                self.log('error', f'wait_until: {type(e).__name__}: {e}')
        self.out.finish()
        self.err.finish()
        self.forget(call)
        self.send(self.frame(DONE, 1, call.id, works.to_bytes(4, 'big') + failed.to_bytes(4, 'big')))

    def next_call(self):
        for call in self.calls.values():
            if not call.started:
                return call
        return None

    # -- loading --

    def load(self, m):
        try:
            self.bundle, env = m.get('bundle'), m.get('env') or {}
            # Secrets are the handler's alone: not in os.environ, which child processes inherit.
            self.env = {**env, **self.secrets}
            self.dir = m['dir'].rstrip('/')
            self.set_dirs()
            self.set_env(env)
            self.exec_module(self.dir + '/' + m['entry'])
            self.collect()
            names = [cut(n, 384) for n in self.table][:500]
            if not names:
                raise NoEndpoints('the bundle has no handler')
            self.send(self.frame(READY, 0, 0, dumps({'endpoints': names}).encode()))
        except Gone:
            raise
        except BaseException as e:
            self.fail(None, e)

    def set_dirs(self):
        from os.path import realpath
        real = realpath(self.dir)
        around = [d for d in (self.dir.rpartition('/')[0], real.rpartition('/')[0]) if d.count('/') > 2]
        here = realpath(self.here)
        self.dirs = [self.dir, real, *around, here, self.here, here.rpartition('/')[0],
                     *sorted((p for p in sys.path if p.startswith('/')), key=len, reverse=True)]

    def set_env(self, env):
        import os
        for name in [n for n in os.environ if n not in KEPT_ENV]:
            del os.environ[name]
        os.environ.update(env)

    def exec_module(self, path):
        with open(path, 'rb') as f:
            source = f.read()
        sys.path.insert(0, path.rpartition('/')[0])
        sys.meta_path.append(LateSite)
        sys.argv[:] = [path]
        module = type(sys)(MODULE)
        module.__file__ = path
        module.__builtins__ = __builtins__
        sys.modules[MODULE] = module
        if b'logging' in source:
            self.watch_logging()
        if b'async def' in source:
            web()
        exec(compile(source, path, 'exec'), module.__dict__)
        self.module = module
        if 'logging' in sys.modules and b'logging' not in source:
            self.watch_logging()

    def collect(self):
        self.table = {}
        for name, v in vars(self.module).items():
            code = getattr(v, '__code__', None)
            if name.startswith('_') or name == 'app' or not callable(v) or isinstance(v, type):
                continue
            if getattr(v, '__module__', MODULE) != MODULE:
                continue
            self.table[name] = self.entry(v, code)
        app = getattr(self.module, 'app', None)
        if callable(app):
            self.table['app'] = self.fallback = (app, 'asgi' if is_asgi(app) else 'wsgi', 0)
        elif 'default' in self.table:
            self.fallback = self.table['default']

    def entry(self, f, code):
        wrapped = getattr(f, '__wrapped__', None)
        if code is None:
            code = getattr(getattr(type(f), '__call__', None), '__code__', None)
        arity, flags = 2, 0
        if code is not None:
            flags = code.co_flags
            if not flags & CO_VARARGS:
                arity = min(2, code.co_argcount - (getattr(f, '__code__', None) is None))
        if wrapped is not None and code is not None and flags & CO_VARARGS:
            inner = getattr(wrapped, '__code__', None)
            if inner is not None and not inner.co_flags & CO_VARARGS:
                arity = min(2, inner.co_argcount)
        return f, 'async' if flags & CO_COROUTINE else 'function', arity

    def serve(self):
        try:
            while True:
                call = self.next_call()
                if call is not None:
                    self.run(call)
                else:
                    self.receive()
        except Gone:
            pass


class NoEndpoints(Exception):
    pass


class LateSite:
    """Runs site when a module is not found without it: installed packages stay usable, and start costs nothing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None or 'site' in sys.modules and sys.modules['site'] is not None and not sys.flags.no_site:
            return None
        if LateSite in sys.meta_path:
            sys.meta_path.remove(LateSite)
        first = sys.path[0]
        import site
        site.main()
        if first in sys.path:
            sys.path.remove(first)
        sys.path.insert(0, first)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def is_asgi(app):
    """A coroutine function, an object whose __call__ is one, or anything that takes three arguments."""
    for f in (app, getattr(type(app), '__call__', None)):
        code = getattr(f, '__code__', None)
        if code is not None:
            return bool(code.co_flags & CO_COROUTINE) or code.co_argcount - (f is not app) >= 3
    return False


def web():
    global at_rund_web
    if at_rund_web is None:
        here = __file__.rpartition('/')[0] or '.'
        sys.path.insert(0, here)
        try:
            import at_rund_web as module
        finally:
            sys.path.remove(here)
        at_rund_web = module
    return at_rund_web


at_rund_web = None
JSON_HEAD = b'{"status":200,"headers":[["content-type","application/json"]]}'


def quick_json():
    """loads and dumps without the json package, whose import takes longer than python takes to start."""
    def refuse(o):
        raise TypeError(f'Object of type {type(o).__name__} is not JSON serializable')

    class Plain:
        strict, object_hook, object_pairs_hook = True, None, None
        parse_float, parse_int, parse_constant, memo = float, int, float, {}

    try:
        from _json import encode_basestring, make_encoder, make_scanner
        scan = make_scanner(Plain)
        encode = make_encoder(None, refuse, encode_basestring, None, ':', ',', False, False, False)
        join = ''.join

        def quick_loads(b):
            return scan(str(b, 'utf-8'), 0)[0]

        def quick_dumps(o):
            return join(encode(o, 0))

        if quick_loads(quick_dumps({'a': [1, 'é']}).encode()) == {'a': [1, 'é']}:
            return quick_loads, quick_dumps
    except Exception:  # it is a private module: another python may have another one, or none
        pass
    import json
    return json.loads, json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(',', ':')).encode


def warm(sock):
    """Imports what later calls may need, if nobody is waiting for the first one."""
    import select
    if not select.select([sock], [], [], IDLE_S)[0]:
        import json, urllib.parse
        web()


def serve(sock, here):
    global loads, dumps
    loads, dumps = quick_json()
    server = Server(sock, here)
    sys.stdout = sys.__stdout__ = server.out
    sys.stderr = sys.__stderr__ = server.err
    warm(sock)
    server.serve()
    import os
    os._exit(0)
