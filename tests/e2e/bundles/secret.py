"""What a handler does with a secret, well and badly."""
import hashlib
import os


def total(value):
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()


def see(request, ctx):
    return {'names': sorted(n for n in ctx.env if n.endswith('_KEY') or n == 'PEM'), 'api': total(ctx.env.get('API_KEY')),
            'ctx': total(ctx.env.get('API_KEY')), 'pem': total(ctx.env.get('PEM')), 'process': 'API_KEY' not in os.environ}


def say(request, ctx):
    print('the key is', ctx.env['API_KEY'])
    os.write(2, ('raw ' + ctx.env['API_KEY'] + '\n').encode())
    return 'said'


def fail(request, ctx):
    raise RuntimeError('cannot use ' + ctx.env['API_KEY'])
