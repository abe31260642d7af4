"""OpenTelemetry: calls a second at 16 clients with traces, metrics and logs going to a collector, of those without, in turns."""
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


def run(args, kids, table, work):
    sink = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    pair = [start(args, kids, work, None), start(args, kids, work, f'http://127.0.0.1:{sink.server_port}'),
            start(args, kids, work, f'http://127.0.0.1:{free_port()}')]
    for p in pair:
        calls = 0.0
        while calls < 20000:
            calls += 2 * wrk(p.url, 16, 2)['rate']
    rates = [[], [], []]
    for r in range(max(6, args.rounds * args.seconds)):
        for i in (0, 1, 2) if r % 2 else (2, 1, 0):
            got = wrk(pair[i].url, 16, 1)
            if got['bad'] or got['errors']:
                table.note('otel', f"{got['bad']} bad answers, errors {got['errors']}")
            rates[i].append(got['rate'])
    off = statistics.median(rates[0])
    for i, what in ((1, 'to a collector'), (2, 'while none listens')):
        table.add(f'telemetry {what}: calls a second at 16 clients, of those without', [a / b for a, b in zip(rates[i], rates[0])], 0.97, 0.99,
                  lower=False, detail=f'{statistics.median(rates[i]):.0f} of {off:.0f}')
    shown = json.loads(subprocess.run([os.path.join(args.build, 'at-rund'), '--home', pair[1].home, 'status', '--json'],
                                      capture_output=True, text=True).stdout)['telemetry']
    table.note('telemetry', f"{Sink.taken >> 20} MiB taken; spans {shown['traces']['sent']} sent, {shown['traces']['dropped']} dropped")
    for p in pair:
        p.stop()
    sink.shutdown()
