"""What it costs to believe: proofs and tokens beside one verification of a signature, and access by a large graph beside a
short list."""
import http.server
import json
import os
import statistics
import subprocess
import threading
import urllib.parse

from kit import Product, free_port, wait_url, wrk

OPERATOR, CALLER = 'did:plc:' + 'o' * 24, 'did:plc:' + 'c' * 24
CROWD = 10000
LUA = '''
local all, at = {}, 0
for line in io.lines("%s") do all[#all + 1] = line end
request = function()
  at = at + 1
  local one = all[at] or all[1]
  return wrk.format("GET", nil, {[#one > 1 and "Authorization" or "X-None"] = "Bearer " .. one})
end
'''


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


def run(args, kids, table, work):
    verify_us = {curve: pure(args, table, curve) for curve in ('K-256', 'P-256')}
    port = free_port()
    World.multibase, World.url = bench(args, 'key', 'K-256').strip(), f'http://localhost:{port}'
    server = http.server.ThreadingHTTPServer(('127.0.0.1', port), World)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    atproto = f'[atproto]\nplc_url = {World.url}\nhandle_resolver = {World.url}\ngraph_fresh = 1h\n'
    callers = {'open': '', 'allowlist': f'[callers]\nmode = allowlist\nallowlist = [{crowd_did(7)}, {CALLER}]\n',
               'follows': '[callers]\nmode = follows\n'}
    script, tokens = os.path.join(work, 'tokens.lua'), os.path.join(work, 'tokens')
    with open(script, 'w', encoding='utf-8') as f:
        f.write(LUA % tokens)
    products = {mode: Product(args, kids, 'python', work, extra=atproto + extra, top='did = ' + OPERATOR)
                for mode, extra in callers.items()}
    data = {}

    def load(mode, token, seconds):
        lines = bench(args, 'tokens', 'K-256', str(4000 * seconds), OPERATOR, CALLER) if token else 'x\n' * 10
        with open(tokens, 'w', encoding='utf-8') as f:
            f.write(lines)
        return wrk(products[mode].url, 1, seconds, script=script)
    wait_url(products['open'].url)
    for mode in products:
        load(mode, True, 3)
    for _ in range(args.rounds):
        for mode, token in (('open', False), ('open', True), ('allowlist', True), ('follows', True)):
            r = load(mode, token, args.seconds)
            if r['bad'] or r['errors']:
                table.note(f'trust: {mode}', f"{r['bad']} bad answers, errors {r['errors']}")
            data.setdefault((mode, token), []).append(r['p50'] * 1000)
    for product in products.values():
        product.stop()
    server.shutdown()
    med = {k: statistics.median(v) for k, v in data.items()}
    adds = [t - n for t, n in zip(data['open', True], data['open', False])]
    table.add('a token on a warm call: what it adds, over one verification', [a / verify_us['K-256'] for a in adds], 1.5, 1.2,
              detail=f"{med['open', True]:.0f} us with, {med['open', False]:.0f} us without a token; one verification "
                     f"{verify_us['K-256']:.1f} us")
    table.add(f'access by {CROWD} follows over an allowlist of 2: p50 of a warm call',
              [f / a for f, a in zip(data['follows', True], data['allowlist', True])], 1.1, 1.03,
              detail=f"{med['follows', True]:.0f} us over {med['allowlist', True]:.0f} us")
