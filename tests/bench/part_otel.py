"""OpenTelemetry at 16 clients: calls a second, and processor time a call, with traces, metrics and logs going to a collector, of
those without.  Processor time is that of all the product's processes with web server and instances: on a machine that is
busy it decides how many calls there are, and it does not depend on what else runs here."""
import http.server
import json
import os
import statistics
import subprocess
import threading

import kit
from kit import Product, free_port, wait_url, wrk


class Sink(http.server.BaseHTTPRequestHandler):
    """A collector that reads what comes and says yes; what a real one does with it is not the runner's cost."""
    protocol_version = 'HTTP/1.1'
    taken = 0

    def do_POST(self):
        n = int(self.headers['Content-Length'])
        self.rfile.read(n)
        Sink.taken += n
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


def start(args, kids, work, endpoint):
    for k in [k for k in os.environ if k.startswith('OTEL_')]:
        del os.environ[k]
    if endpoint:
        os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = endpoint
    p = Product(args, kids, 'node', work)
    os.environ.pop('OTEL_EXPORTER_OTLP_ENDPOINT', None)
    wait_url(p.url)
    return p


def tree(pid):
    """It and everything below it."""
    children = {}
    for d in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{d}/stat', encoding='utf-8') as f:
                children.setdefault(int(f.read().rsplit(')', 1)[1].split()[1]), []).append(int(d))
        except OSError:
            pass
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_us(pids):
    total = 0
    for pid in pids:
        try:
            for t in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{t}/schedstat', encoding='utf-8') as f:
                    total += int(f.read().split()[0])
        except OSError:
            pass
    return total / 1000


def second(p):
    """Calls a second, processor time of a call."""
    pids = tree(p.p.pid)
    before = cpu_us(pids)
    got = wrk(p.url, 16, 1)
    if got['bad'] or got['errors']:
        raise SystemExit(f"bench: {got['bad']} bad answers, errors {got['errors']}")
    return got['rate'], (cpu_us(pids) - before) / got['rate']


def once(args, kids, work, where, first):
    """Products side by side, from their start to their end, in turns of a second; which is started first is another each time."""
    products = [None] * len(where)
    for n in range(len(where)):
        i = (first + n) % len(where)
        products[i] = start(args, kids, work, where[i])
    for p in products:
        calls = 0.0
        while calls < 20000:
            calls += 2 * wrk(p.url, 16, 2)['rate']
    got = [[] for _ in products]
    for r in range(4 * args.seconds):
        for i in range(len(products))[::1 if r % 2 else -1]:
            got[i].append(second(products[i]))
    shown = json.loads(subprocess.run([os.path.join(args.build, 'at-rund'), '--home', products[1].home, 'status', '--json'],
                                      capture_output=True, text=True).stdout)['telemetry']
    for p in products:
        p.stop()
    return got, shown


def run(args, kids, table, work):
    """Two products without differ by a few percent as well, from start to start: so many are started, all with one instance."""
    sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    instances, kit.INSTANCES = kit.INSTANCES, 1
    where = [None, f'http://127.0.0.1:{sink.server_port}', f'http://127.0.0.1:{free_port()}']
    starts = [once(args, kids, work, where, n) for n in range(3 * args.rounds)]
    kit.INSTANCES = instances
    for i, what in ((1, 'to a collector'), (2, 'while none listens')):
        for k, name, must, aim in ((1, 'processor time a call at 16 clients, over that without', 1.03, 1.01),
                                   (0, 'calls a second at 16 clients, of those without', 0.97, 0.99)):
            ratios = [statistics.median(x[k] / y[k] for x, y in zip(got[i], got[0])) for got, _ in starts]
            mine, plain = (statistics.median(x[k] for got, _ in starts for x in got[j]) for j in (i, 0))
            table.add(f'telemetry {what}: {name}', ratios, must, aim, lower=k == 1,
                      detail=f'{mine:.0f}, without {plain:.0f}' + (' us' if k == 1 else ''))
    traces = [shown['traces'] for _, shown in starts]
    table.note('telemetry', f"{Sink.taken >> 20} MiB taken; spans {sum(t['sent'] for t in traces)} sent, "
               f"{sum(t['dropped'] for t in traces)} dropped")
    sink.shutdown()
