"""Five endpoints in Python: JSON, HTML, bytes, a stream, an error."""
import platform
import time


def hello(request, ctx):
    name = request.query.get('name', 'world')
    print(f'said hello to {name}')
    return {'hello': name, 'runtime': 'python', 'version': platform.python_version(), 'caller': ctx.caller,
            'job': ctx.job}


def page(request, ctx):
    return 200, {'content-type': 'text/html; charset=utf-8'}, (
        '<!doctype html><title>at-rund</title><h1>Hello from python</h1>')


def echo(request, ctx):
    kind = request.headers.get('content-type', 'application/octet-stream')
    return 200, {'content-type': kind, 'x-method': request.method}, request.body


def stream(request, ctx):
    for n in range(1, 6):
        if n > 1:
            time.sleep(0.25)
        yield f'line {n}\n'


def boom(request, ctx):
    raise RuntimeError('this endpoint always fails')
