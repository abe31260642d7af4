"""python: the shapes that the end-to-end tests ask for."""
import asyncio
import builtins
import sys
import time
from urllib.parse import urlsplit


def json(request, ctx):
    return {'hello': request.query.get('name', 'world'), 'runtime': 'python'}


def html(request, ctx):
    return 200, {'content-type': 'text/html; charset=utf-8', 'x-own': 'yes'}, '<h1>Grüße</h1>'


def bytes(request, ctx):  # the name is the endpoint's; the type is builtins.bytes
    return builtins.bytes((i * 7 + (i >> 8)) & 255 for i in range(1 << 20))


def echo(request, ctx):
    return 200, {'content-type': request.headers.get('content-type') or 'none/none'}, request.body


def inspect(request, ctx):
    url = urlsplit(request.url)
    return {'method': request.method, 'path': url.path, 'query': '?' + url.query if url.query else '',
            'header': request.headers.get('x-test'), 'type': request.headers.get('content-type'),
            'size': len(request.body)}


def form(request, ctx):
    fields = request.form()
    return {'name': fields['name'], 'more': fields.all('more')}


def stream(request, ctx):
    yield 'first %d\n' % (time.time() * 1000)
    time.sleep(1.5)
    yield 'last %d\n' % (time.time() * 1000)


def fail(request, ctx):
    raise TypeError('this is meant to fail')


def teapot(request, ctx):
    return 418, {'retry-after': '7'}, 'short and stout'


def log(request, ctx):
    print('a line from print')
    print('a line to stderr', file=sys.stderr)
    return 'logged'


def nothing(request, ctx):
    return None


async def sleep(request, ctx):
    await asyncio.sleep(float(request.query.get('ms', '1000')) / 1000)
    return 'slept'
