"""One stream through the gate of a wall, beside the same stream without: a bundle that downloads, and its code run by hand.

Everything lives in network namespaces of tests/e2e/land.py; needs root.
"""
import json
import os
import subprocess
import sys

from kit import HANDLERS, ROOT, Children, Product, get, wait_url

sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
HERE = os.path.dirname(os.path.abspath(__file__))
BYTES = 600_000_000
CODE = '''
import socket, time
def hello(request, ctx):
    buf = bytearray(1 << 20)
    s = socket.create_connection((%r, 80))
    s.sendall(b'GET /big?n=%d HTTP/1.0\\r\\n\\r\\n')
    began, got = time.monotonic(), 0
    while (k := s.recv_into(buf)):
        got += k
    assert got >= %d, got
    return got / (time.monotonic() - began) / 1e6
'''


def inside(build, work, wall, rounds):
    """In the namespace: the product and the plain process, in turns.  Prints [[direct, through], ...]."""
    from land import PUBLIC
    kids = Children()
    args = type('', (), {'build': build})()
    HANDLERS['python'] = ('main.py', CODE % ('public.test', BYTES, BYTES), 'application/python')
    try:
        product = Product(args, kids, 'python', work, wall=wall, net=['public.test:80'],
                          extra='[limits]\negress = 100G\n')
        direct = os.path.join(work, 'direct.py')
        with open(direct, 'w', encoding='utf-8') as f:
            f.write(CODE % (PUBLIC, BYTES, BYTES) + '\nprint(hello(None, None))\n')
        wait_url(product.url)
        pairs = []
        for _ in range(rounds):
            p = subprocess.run([sys.executable, direct], capture_output=True, text=True, check=True)
            pairs.append([float(p.stdout), float(get(product.url, timeout=60)[2])])
        print(json.dumps(pairs))
        product.stop()
    finally:
        kids.stop_all()


def run(args, kids, table, work):
    from land import Land, why_not
    why = why_not()
    if why:
        table.note('gate', why + ': left out')
        return
    with Land() as land:
        for wall in args.walls.split(','):
            d = os.path.join(work, 'gate-' + wall)
            os.makedirs(d)
            p = subprocess.run(land.at_home(sys.executable, '-B', os.path.abspath(__file__), args.build, d, wall, str(args.rounds)),
                               capture_output=True, text=True)
            if p.returncode != 0:
                table.note(f'{wall}: gate', p.stderr.strip().splitlines()[-1] if p.stderr.strip() else 'no answer')
                continue
            pairs = json.loads(p.stdout.splitlines()[-1])
            table.add(f'{wall}: one stream through the gate, of a direct one', [b / a for a, b in pairs], 0.5, 0.8, lower=False,
                      detail='; '.join(f'{b:.0f} of {a:.0f} MB/s' for a, b in pairs))


if __name__ == '__main__':
    inside(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
