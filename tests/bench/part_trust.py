"""What it costs to believe: proofs and tokens beside one verification of a signature, and access by a large graph beside a
short list."""
import http.server
import json
import os
import socket
import statistics
import subprocess
import threading
import time
import urllib.parse

from kit import Product, free_port, get

OPERATOR, CALLER = 'did:plc:' + 'o' * 24, 'did:plc:' + 'c' * 24
CROWD = 10000
CALLS = 300


def crowd_did(n):
    return 'did:plc:' + ''.join('abcdefghijklmnopqrstuvwxyz234567'[n >> 5 * i & 31] for i in range(24))


class World(http.server.BaseHTTPRequestHandler):
    """A directory and a server: the caller's key, and whom the operator follows."""
    protocol_version = 'HTTP/1.1'
    multibase = url = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        at = urllib.parse.urlsplit(self.path)
        if at.path.endswith('listRecords'):
            start = int(dict(urllib.parse.parse_qsl(at.query)).get('cursor', 0))
            every = [CALLER] + [crowd_did(i) for i in range(CROWD - 1)]
            body = {'records': [{'uri': 'at://%s/app.bsky.graph.follow/%d' % (OPERATOR, start + i),
                                 'cid': 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm', 'value': {'subject': d}}
                                for i, d in enumerate(every[start:start + 100])]}
            if start + 100 < CROWD:
                body['cursor'] = str(start + 100)
        else:
            did = urllib.parse.unquote(at.path[1:])
            body = {'id': did, 'verificationMethod': [{'id': '#atproto', 'type': 'Multikey', 'controller': did,
                                                       'publicKeyMultibase': self.multibase}],
                    'service': [{'id': '#atproto_pds', 'type': 'AtprotoPersonalDataServer', 'serviceEndpoint': self.url}]}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def bench(args, *words):
    return subprocess.run([os.path.join(args.build, 'tests', 'trust_bench'), *words], capture_output=True, text=True,
                          check=True).stdout


def pure(args, table, curve):
    """The library alone.  The deepest path that keys are found for has eleven levels; a twentieth costs what they did."""
    rounds = [json.loads(bench(args, 'measure', curve)) for _ in range(args.rounds)]
    ratios, details = [], ''
    for r in rounds:
        (n1, t1), _, (n, t) = r['proof']
        twenty = t + (20 - n) * (t - t1) / (n - n1)
        ratios.append(twenty / r['verify'])
        details = f"{r['verify']:.1f} us; {n1} level {t1:.1f}, {n} levels {t:.1f}, so 20 levels {twenty:.1f} us"
    table.add(f'{curve}: proof of a warm author, 20 levels, over one verification', ratios, 5, 2, detail=details)
    table.add(f'{curve}: a token read, judged and verified, over one verification', [r['token'] / r['verify'] for r in rounds],
              1.5, 1.2, detail=f"{rounds[-1]['token']:.1f} us")
    return statistics.median(r['verify'] for r in rounds)


def heads(url, lines):
    """Requests for one connection; of lines that are no token nothing is said."""
    path, host = '/' + url.split('/', 3)[3], url.split('/')[2]
    return [('GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n' % (path, host, 'Authorization: Bearer %s\r\n' % x if x else '')).encode()
            for x in lines]


def call(connection, request):
    """In microseconds."""
    start = time.monotonic_ns()
    connection.sendall(request)
    answer = connection.recv(65536)
    took = time.monotonic_ns() - start
    if not answer.startswith(b'HTTP/1.1 200') or b'world' not in answer:
        raise SystemExit('bench: %r' % answer[:300])
    return took / 1000


def wait_token(args, product):
    """The caller's key is known, and whom the operator follows."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        token = bench(args, 'tokens', 'K-256', '1', OPERATOR, CALLER).strip()
        if get(product.url, {'Authorization': 'Bearer ' + token})[0] == 200:
            return
        time.sleep(0.2)
    raise SystemExit('bench: no token is taken')


def connect(product):
    s = socket.create_connection(('127.0.0.1', product.port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def alternate(args, *kinds):
    """Medians of two kinds of calls that take turns one by one, so that whatever else the machine does meets both alike.  A kind is
    a product and whether its calls bear tokens."""
    pairs = []
    for _ in range(args.rounds * args.seconds * 3):
        lines = [bench(args, 'tokens', 'K-256', str(CALLS), OPERATOR, CALLER).split() if token else [None] * CALLS
                 for _, token in kinds]
        requests = [heads(product.url, each) for (product, _), each in zip(kinds, lines)]
        took = [[], []]
        with connect(kinds[0][0]) as one, connect(kinds[1][0]) as other:
            for n in range(CALLS):
                for i in (0, 1) if n % 2 else (1, 0):
                    took[i].append(call((one, other)[i], requests[i][n]))
        pairs.append([statistics.median(t) for t in took])
    return pairs


def run(args, kids, table, work):
    verify_us = {curve: pure(args, table, curve) for curve in ('K-256', 'P-256')}
    port = free_port()
    World.multibase, World.url = bench(args, 'key', 'K-256').strip(), f'http://localhost:{port}'
    server = http.server.ThreadingHTTPServer(('127.0.0.1', port), World)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    atproto = f'[atproto]\nplc_url = {World.url}\nhandle_resolver = {World.url}\ngraph_fresh = 1h\n'
    callers = {'open': '', 'allowlist': f'[callers]\nmode = allowlist\nallowlist = [{crowd_did(7)}, {CALLER}]\n',
               'follows': '[callers]\nmode = follows\n'}
    products = {mode: Product(args, kids, 'python', work, extra=atproto + extra, top='did = ' + OPERATOR)
                for mode, extra in callers.items()}
    for product in products.values():
        wait_token(args, product)
    tokens = alternate(args, (products['open'], False), (products['open'], True))
    graph = alternate(args, (products['allowlist'], True), (products['follows'], True))
    for product in products.values():
        product.stop()
    server.shutdown()
    without, with_one = (statistics.median(p[i] for p in tokens) for i in range(2))
    table.add('a token on a warm call: what it adds, over one verification', [(t - n) / verify_us['K-256'] for n, t in tokens],
              1.5, 1.2, detail=f"{with_one:.0f} us with, {without:.0f} us without a token; one verification "
                               f"{verify_us['K-256']:.1f} us")
    short, long = (statistics.median(p[i] for p in graph) for i in range(2))
    table.add(f'access by {CROWD} follows over an allowlist of 2: p50 of a warm call', [f / a for a, f in graph], 1.1, 1.03,
              detail=f"{long:.0f} us over {short:.0f} us")
