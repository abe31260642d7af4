"""OpenTelemetry at 16 clients: calls a second, and processor time a call, with traces, metrics and logs going to a collector, of
those without, in turns.  Processor time is that of all the product's processes with web server and instances: on a machine that is
busy it decides how many calls there are, and it does not depend on what else runs here."""
import http.server
import json
import os
import statistics
import subprocess
import threading

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


def run(args, kids, table, work):
    sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    products = [start(args, kids, work, None), start(args, kids, work, f'http://127.0.0.1:{sink.server_port}'),
                start(args, kids, work, f'http://127.0.0.1:{free_port()}')]
    for p in products:
        calls = 0.0
        while calls < 20000:
            calls += 2 * wrk(p.url, 16, 2)['rate']
    pids = [tree(p.p.pid) for p in products]
    rates, costs = [[], [], []], [[], [], []]
    for r in range(max(16, args.rounds * args.seconds)):
        for i in (0, 1, 2) if r % 2 else (2, 1, 0):
            before = cpu_us(pids[i])
            got = wrk(products[i].url, 16, 1)
            if got['bad'] or got['errors']:
                table.note('otel', f"{got['bad']} bad answers, errors {got['errors']}")
            rates[i].append(got['rate'])
            costs[i].append((cpu_us(pids[i]) - before) / got['rate'])
    for i, what in ((1, 'to a collector'), (2, 'while none listens')):
        table.add(f'telemetry {what}: processor time a call at 16 clients, over that without', [a / b for a, b in zip(costs[i], costs[0])],
                  1.03, 1.01, detail=f'{statistics.median(costs[i]):.1f} over {statistics.median(costs[0]):.1f} us')
        table.add(f'telemetry {what}: calls a second at 16 clients, of those without', [a / b for a, b in zip(rates[i], rates[0])],
                  0.97, 0.99, lower=False, detail=f'{statistics.median(rates[i]):.0f} of {statistics.median(rates[0]):.0f}')
    shown = json.loads(subprocess.run([os.path.join(args.build, 'at-rund'), '--home', products[1].home, 'status', '--json'],
                                      capture_output=True, text=True).stdout)['telemetry']
    table.note('telemetry', f"{Sink.taken >> 20} MiB taken; spans {shown['traces']['sent']} sent, {shown['traces']['dropped']} dropped")
    for p in products:
        p.stop()
    sink.shutdown()
