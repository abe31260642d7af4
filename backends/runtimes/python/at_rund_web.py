"""Async handlers, WSGI and ASGI apps.  One event loop serves the whole life of an instance."""
import asyncio
import sys
from io import BufferedReader, BytesIO, RawIOBase

import at_rund_serve as core

WATCH_S = 0.005
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


class ProtocolError(Exception):
    """An app broke the rules of WSGI or ASGI."""


def stray(_, context):
    e = context.get('exception')
    print(f"asyncio: {context.get('message')}" + (f': {type(e).__name__}: {e}' if e is not None else ''),
          file=sys.stderr)


loop.set_exception_handler(stray)


def begin(awaitable):
    """Work that was handed to wait_until: it goes on while the handler does, when that is async."""
    async def outer():
        return await awaitable
    task = loop.create_task(outer())
    return lambda: task


async def news(call):
    """Until the host has sent something for this call: more of its body, room for the answer, its end."""
    call.waiter = loop.create_future()
    try:
        await call.waiter
    finally:
        call.waiter = None


def run(server, call, coroutine):
    """Runs it; a CANCEL that comes meanwhile cancels it."""
    task = coroutine if isinstance(coroutine, asyncio.Task) else loop.create_task(coroutine)

    def readable():
        try:
            server.receive(core.MSG_DONTWAIT)
        except core.Gone:
            loop.remove_reader(fd)
            task.cancel()
            return
        if call.cancelled:
            task.cancel()

    fd = server.sock.fileno()
    # Most handlers are done by then, and watching the socket costs them two system calls.
    watch = loop.call_later(WATCH_S, loop.add_reader, fd, readable)
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError as e:
        if call.cancelled:
            raise core.Cancelled('the call was cancelled').with_traceback(e.__traceback__) from None
        raise RuntimeError('the handler cancelled itself').with_traceback(e.__traceback__) from None
    finally:
        watch.cancel()
        loop.remove_reader(fd)


def call(server, call, coroutine):
    server.answer(call, run(server, call, coroutine))


async def chunk(server, call, piece):
    data = server.piece(piece)
    while data:
        while call.credit == 0:
            await news(call)
        part, data = data[:call.credit], data[call.credit:]
        call.credit -= len(part)
        server.send(server.body_frames(call, part, 0))
    server.poll(call)


def stream(server, call, head, it):
    async def pump():
        try:
            async for piece in it:
                await chunk(server, call, piece)
        finally:
            close = getattr(it, 'aclose', None)
            if close is not None:
                await close()

    server.begin_stream(call, head)
    run(server, call, pump())
    server.end_stream(call)


def place(call):
    """Where the app is mounted, and the path it is asked for, both still percent-encoded.

    An endpoint named app is the mount itself; any other name is the first part of the app's own path.
    """
    m = call.m
    path = m['url'].partition('?')[0].partition('#')[0]
    if '://' in path:
        path = '/' + path.partition('://')[2].partition('/')[2]
    rest = m['path'] if m['path'].startswith('/') or not m['path'] else '/' + m['path']
    if m['endpoint'] not in ('app', 'default'):
        rest = '/' + m['endpoint'] + rest
    root = path[:-len(rest)] if rest and path.endswith(rest) else path if not rest else ''
    return root.rstrip('/'), rest


def unquote(text):
    from urllib.parse import unquote_to_bytes
    return unquote_to_bytes(text)


def host_port(call, headers):
    scheme, _, rest = call.m['url'].partition('://')
    host = headers.get('host') or rest.partition('/')[0]
    name, _, port = host.rpartition(':')
    if not name or not port.isdigit():
        name, port = host, '443' if scheme == 'https' else '80'
    return scheme if rest else 'http', name, port


# ---- WSGI ----

class RawBody(RawIOBase):
    """A body that still comes."""

    def __init__(self, call):
        self.pieces, self.rest = core.Body(call), b''

    def readable(self):
        return True

    def readinto(self, room):
        if not self.rest:
            self.rest = next(self.pieces, b'')
        part, self.rest = self.rest[:len(room)], self.rest[len(room):]
        room[:len(part)] = part
        return len(part)


def environ(call):
    m = call.m
    headers = core.Headers(m['headers'])
    root, rest = place(call)
    scheme, name, port = host_port(call, headers)
    body = call.body() if call.whole else None
    env = {
        'REQUEST_METHOD': m['method'], 'SCRIPT_NAME': unquote(root).decode('latin-1'),
        'PATH_INFO': unquote(rest).decode('latin-1'), 'QUERY_STRING': m['query'], 'SERVER_NAME': name,
        'SERVER_PORT': port, 'SERVER_PROTOCOL': 'HTTP/1.1', 'wsgi.version': (1, 0), 'wsgi.url_scheme': scheme,
        'wsgi.input': BytesIO(body) if body is not None else BufferedReader(RawBody(call), 65536),
        'wsgi.input_terminated': True, 'wsgi.errors': sys.stderr, 'wsgi.multithread': False,
        'wsgi.multiprocess': True, 'wsgi.run_once': False,
        'at_rund.env': call.server.env,
    }
    for n, v in headers.items():
        env['HTTP_' + n.upper().replace('-', '_')] = v
    if 'content-type' in headers:
        env['CONTENT_TYPE'] = headers['content-type']
    if body or (body is not None and 'content-length' in headers):
        env['CONTENT_LENGTH'] = str(len(body))
    elif 'content-length' in headers:
        env['CONTENT_LENGTH'] = headers['content-length']
    return env


def wsgi(server, call, app):
    state = {'head': None, 'sent': False, 'early': []}

    def write(data):
        if state['head'] is None:
            raise ProtocolError('the app wrote before it called start_response')
        if not state['sent']:
            state['sent'] = True
            server.begin_stream(call, state['head'])
        server.chunk(call, data)

    def start_response(status, headers, exc_info=None):
        if exc_info is not None:
            if state['sent']:
                raise exc_info[1].with_traceback(exc_info[2])
        elif state['head'] is not None:
            raise ProtocolError('the app called start_response twice')
        code = status[:3]
        if not code.isdigit():
            raise core.InvalidResponse(f'status {status!r:.60} does not begin with three digits')
        state['head'] = server.head(int(code), [(n.lower(), v) for n, v in headers])
        return write

    result = app(environ(call), start_response)
    try:
        wsgi_body(server, call, state, result, write)
    finally:
        if hasattr(result, 'close'):
            result.close()


def wsgi_body(server, call, state, result, write):
    if isinstance(result, (list, tuple)) and not state['sent']:
        if state['head'] is None:
            raise ProtocolError('the app did not call start_response')
        for piece in result:
            if not isinstance(piece, bytes):
                raise ProtocolError(f'the app gave {type(piece).__name__}, not bytes')
        server.whole(call, state['head'], b''.join(result))
        return
    for piece in result:
        if piece:
            write(piece)
    if not state['sent']:
        if state['head'] is None:
            raise ProtocolError('the app did not call start_response')
        server.whole(call, state['head'], b'')
        return
    server.end_stream(call)


# ---- ASGI ----

def scope(call):
    m = call.m
    headers = core.Headers(m['headers'])
    root, rest = place(call)
    scheme, name, port = host_port(call, headers)
    path = root + rest
    return {
        'type': 'http', 'asgi': {'version': '3.0', 'spec_version': '2.3'}, 'http_version': '1.1',
        'method': m['method'], 'scheme': scheme, 'path': unquote(path).decode('utf-8', 'replace'),
        'raw_path': path.encode('latin-1', 'replace'), 'query_string': m['query'].encode('latin-1', 'replace'),
        'root_path': unquote(root).decode('utf-8', 'replace'),
        'headers': [(n.lower().encode('latin-1', 'replace'), v.encode('latin-1', 'replace')) for n, v in m['headers']],
        'server': (name, int(port)), 'client': None, 'extensions': {},
        'state': {'env': call.server.env},
    }


def asgi(server, call, app):
    run(server, call, asgi_call(server, call, app))


class Answer:
    """The app's messages, in the only order that is allowed."""

    def __init__(self, server, call):
        self.server, self.call = server, call
        self.head, self.sent, self.done = None, False, asyncio.Event()
        self.last, self.finished = b'', False

    async def send(self, message):
        kind = message['type']
        if kind == 'http.response.start':
            if self.head is not None:
                raise ProtocolError('the app sent http.response.start twice')
            self.head = self.server.head(message['status'], [
                (bytes(n).decode('latin-1').lower(), bytes(v).decode('latin-1')) for n, v in message.get('headers', ())])
        elif kind == 'http.response.body':
            await self.body(message.get('body', b''), message.get('more_body', False))
        else:
            raise ProtocolError(f'the app sent {kind!r:.60}, which is not known here')

    async def body(self, data, more):
        if self.head is None:
            raise ProtocolError('the app sent a body before http.response.start')
        if self.done.is_set():
            raise ProtocolError('the app sent a body after the last one')
        if self.sent or more:
            if not self.sent:
                self.sent = True
                self.server.begin_stream(self.call, self.head)
            await chunk(self.server, self.call, data)
            await asyncio.sleep(0)
        if not more:
            self.last = bytes(data)
            self.done.set()
            # An app that returns now is done; one that goes on (a background task) does so after its answer.
            loop.call_soon(self.finish, True)

    def finish(self, stays):
        if self.finished:
            return
        self.finished = True
        if stays:
            self.call.after.append((nothing, ()))
        if self.sent:
            self.server.end_stream(self.call)
        else:
            self.server.whole(self.call, self.head, self.last)


def nothing():
    pass


async def asgi_call(server, call, app):
    answer = Answer(server, call)
    asked = False

    async def receive():
        nonlocal asked
        if asked:
            await answer.done.wait()
            return {'type': 'http.disconnect'}
        while not call.chunks and not call.whole:
            await news(call)
        asked = call.whole
        return {'type': 'http.request', 'body': call.take(), 'more_body': not asked}

    await app(scope(call), receive, answer.send)
    if not answer.done.is_set():
        raise ProtocolError('the app returned without a whole answer')
    answer.finish(False)
