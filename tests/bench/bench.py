#!/usr/bin/python3
"""make bench: the product beside bare and beside the floors, interleaved in one run, as ratios (DESIGN 17).

Absolute figures belong to the machine; the ratios carry over.  Each figure is the median of the rounds, with the
spread (lowest to highest) beside it.  Nothing here passes or fails: it prints the table and says which column holds.

    bench.py [--rounds 3] [--seconds 3] [--runtimes node,python,deno] [--only PART,...] [--build build]
    PEERS=1 also measures workerd, functions-framework (npm), fcgiwrap and webhook (Debian) on the same handler.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
THREADS, INSTANCES = 64, 4
HANDLERS = {
    'node': ('main.mjs', 'export function hello() {\n  return { hello: "world" };\n}\n', 'application/javascript+node'),
    'deno': ('main.mjs', 'export function hello() {\n  return { hello: "world" };\n}\n', 'application/javascript+deno'),
    'python': ('main.py', 'def hello(request, ctx):\n    return {"hello": "world"}\n', 'application/python'),
}


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Children:
    """Processes started here; each is ended by pid, whatever happens."""

    def __init__(self):
        self.list = []

    def start(self, argv, **kw):
        p = subprocess.Popen(argv, **kw)
        self.list.append(p)
        return p

    def stop(self, p):
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.list.remove(p)

    def stop_all(self):
        for p in reversed(self.list[:]):
            self.stop(p)


def get(url, headers=None, method='GET', data=None, timeout=30):
    req = urllib.request.Request(url, headers=headers or {}, method=method, data=data)
    try:
        with urllib.request.urlopen(req, timeout=timeout) as r:
            return r.status, dict(r.headers), r.read()
    except urllib.error.HTTPError as e:
        return e.code, dict(e.headers), e.read()


def wait_url(url, deadline=30, want=200):
    end = time.monotonic() + deadline
    last = None
    while time.monotonic() < end:
        try:
            last = get(url, timeout=5)
            if last[0] == want:
                return last
        except OSError as e:
            last = e
        time.sleep(0.02)
    raise SystemExit(f'bench: {url} did not answer {want}: {last}')


def wrk(url, clients, seconds, headers=(), script=None):
    argv = ['wrk', f'-t{1 if clients < 16 else 2}', f'-c{clients}', f'-d{seconds}s', '--latency']
    for h in headers:
        argv += ['-H', h]
    if script:
        argv += ['-s', script]
    out = subprocess.run(argv + [url], capture_output=True, text=True, check=True).stdout
    unit = {'us': 1e-3, 'ms': 1.0, 's': 1e3}

    def percentile(p):
        m = re.search(rf'^\s*{p}%\s+([\d.]+)(us|ms|s)', out, re.M)
        return float(m.group(1)) * unit[m.group(2)]
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    errors = re.search(r'Socket errors: (.*)', out)
    return {'rate': float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1)), 'p50': percentile(50),
            'p99': percentile(99), 'bad': int(bad.group(1)) if bad else 0, 'errors': errors.group(1) if errors else ''}


def runtime_command(args, name):
    """Its program; a version manager's shim (a script) is passed over, as the product does."""
    override = os.environ.get('AT_RUND_' + name.upper())
    if override:
        return override
    for d in os.environ['PATH'].split(':'):
        path = os.path.join(d, {'python': 'python3'}.get(name, name))
        if os.access(path, os.X_OK) and os.path.isfile(path):
            with open(path, 'rb') as f:
                if f.read(2) != b'#!':
                    return path
    return None


def definition(args, name):
    """The executor's command line as backends/runtimes/NAME/NAME.ini has it."""
    text = open(os.path.join(ROOT, 'backends', 'runtimes', name, name + '.ini'), encoding='utf-8').read()
    flags = re.search(r'^flags\s*=\s*\[(.*?)\]', text, re.M | re.S)
    file = re.search(r'^file\s*=\s*"?([^"\s]+)', text, re.M)
    flags = [f.replace('{memory_mb}', '256') for f in re.findall(r'"([^"]*)"', flags.group(1))] if flags else []
    return flags, os.path.normpath(os.path.join(ROOT, 'backends', 'runtimes', name, file.group(1)))


def lighttpd_conf(path, port, sock, upload):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(f'''server.modules = ("mod_fastcgi")
server.document-root = "{upload}"
server.bind = "127.0.0.1"
server.port = {port}
server.stream-response-body = 1
server.upload-dirs = ("{upload}")
server.max-connections = 1024
fastcgi.server = ("/" => (("socket" => "{sock}", "check-local" => "disable")))
''')


class Bare:
    def __init__(self, args, kids, name, work):
        self.kids = kids
        entry, text, _ = HANDLERS[name]
        d = os.path.join(work, 'bare-' + name)
        os.makedirs(d)
        with open(os.path.join(d, entry), 'w', encoding='utf-8') as f:
            f.write(text)
        sock = os.path.join(work, f'bare-{name}.sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sock)
        listener.listen(1024)
        flags, executor = definition(args, name)
        command = [runtime_command(args, name)] + flags
        if name == 'deno':
            command += ['--allow-all']
        self.fcgi = kids.start([os.path.join(args.build, 'tests', 'bare'), '--threads', str(THREADS), '--instances',
                                str(INSTANCES), '--dir', d, '--entry', entry, '--'] + command + [executor],
                               stdin=listener, stdout=subprocess.DEVNULL)
        listener.close()
        self.port = free_port()
        conf = os.path.join(work, f'bare-{name}.conf')
        lighttpd_conf(conf, self.port, sock, work)
        self.web = kids.start(['lighttpd', '-D', '-f', conf], stderr=subprocess.DEVNULL)
        self.url = f'http://127.0.0.1:{self.port}/bundle/local/bench/latest/hello'
        wait_url(self.url)

    def stop(self):
        self.kids.stop(self.web)
        self.kids.stop(self.fcgi)


class Product:
    def __init__(self, args, kids, name, work, extra='', warm=0, bundles=1):
        self.kids, self.home = kids, os.path.join(work, f'home-{name}-{time.monotonic_ns()}')
        os.makedirs(self.home)
        folder = os.path.join(self.home, 'src')
        entry, text, mime = HANDLERS[name]
        for i in range(bundles):
            d = os.path.join(folder, 'bench' if i == 0 else f'bench{i}')
            os.makedirs(d)
            with open(os.path.join(d, entry), 'w', encoding='utf-8') as f:
                f.write(text + ('#' if name == 'python' else '//') + f' {i}\n')
            with open(os.path.join(d, 'bundle.json'), 'w', encoding='utf-8') as f:
                json.dump({'$type': 'dev.at-run.bundle', 'name': os.path.basename(d), 'runtime': mime, 'entry': entry,
                           'endpoints': {'hello': {}}, 'createdAt': '2026-01-01T00:00:00Z'}, f)
        env = dict(os.environ)
        env['PATH'] = os.path.dirname(runtime_command(args, name)) + ':' + env['PATH']
        subprocess.run([os.path.join(args.build, 'at-rund'), '--home', self.home, 'init'], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        self.port = free_port()
        with open(os.path.join(self.home, 'config.ini'), 'w', encoding='utf-8') as f:
            f.write(f'''port = {self.port}
isolation = none
[access]
mode = open
[runtimes]
{name} = {name}.ini
[limits]
queue = 200000
per_author = 200000
per_bundle = 200000
timeout = 10m
[pool]
max = 16
per_bundle = {INSTANCES}
{f"warm.{name} = {warm}" if warm else ""}
[observability]
level = warn
[web]
threads = {THREADS}
[dev]
bundles = {folder}
{extra}
''')
        self.p = kids.start([os.path.join(args.build, 'at-rund'), '--home', self.home, 'serve', '--dev'], env=env,
                            stdout=subprocess.DEVNULL)
        self.base = f'http://127.0.0.1:{self.port}/bundle/local/'
        self.url = self.base + 'bench/latest/hello'
        wait_url(f'http://127.0.0.1:{self.port}/ready')

    def db(self):
        return sqlite3.connect(f'file:{self.home}/at-rund.db?mode=ro', uri=True)

    def pids(self):
        """serve and everything below it, but lighttpd and instances."""
        kids = {}
        for d in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{d}/stat', encoding='utf-8') as f:
                    s = f.read()
                kids.setdefault(int(s.rsplit(')', 1)[1].split()[1]), []).append((int(d), s[s.index('(') + 1:s.rindex(')')]))
            except OSError:
                pass
        found, todo = [(self.p.pid, 'at-rund serve')], [self.p.pid]
        while todo:
            for pid, comm in kids.get(todo.pop(), []):
                if comm.startswith('at-rund'):
                    found.append((pid, comm))
                    todo.append(pid)
        return found

    def stop(self):
        self.kids.stop(self.p)


def pss_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='utf-8') as f:
        return int(re.search(r'^Pss:\s+(\d+)', f.read(), re.M).group(1))


def start_ms(argv, n=15):
    times = []
    for _ in range(n):
        t = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])
        os.waitpid(pid, 0)
        times.append((time.perf_counter() - t) * 1e3)
    return times


class Table:
    def __init__(self):
        self.rows = []

    @staticmethod
    def spread(values):
        return f'{min(values):.3g}..{max(values):.3g}' if len(values) > 1 else ''

    def add(self, what, values, must, aim, lower=True, detail=''):
        v = statistics.median(values)
        ok = (lambda limit: v <= limit) if lower else (lambda limit: v >= limit)
        word = 'aim' if ok(aim) else 'must' if ok(must) else 'MISSED'
        self.rows.append((what, f'{v:.3g}', self.spread(values), f'{"<=" if lower else ">="} {must:g}',
                          f'{"<=" if lower else ">="} {aim:g}', word, detail))
        print('  '.join(self.rows[-1]), flush=True)

    def note(self, what, detail):
        self.rows.append((what, '', '', '', '', '', detail))
        print(f'{what}: {detail}', flush=True)

    def show(self):
        head = ('what', 'ratio', 'spread', 'must', 'aim', 'holds', 'figures')
        rows = [head] + self.rows
        width = [max(len(r[i]) for r in rows) for i in range(6)]
        print()
        for r in rows:
            print('  '.join(c.ljust(w) for c, w in zip(r, width)) + '  ' + r[6])


def warm(args, kids, table, name, work):
    bare, product = Bare(args, kids, name, work), Product(args, kids, name, work)
    wait_url(product.url)
    # Fill the pools, and let every executor compile what is hot: that takes some thousand calls each, not some time.
    for u in (bare.url, product.url):
        calls = 0.0
        while calls < 20000:
            calls += 2 * wrk(u, 16, 2)['rate']
    data = {}
    for _ in range(args.rounds):
        for clients in (1, 16, 64):
            for who, target in (('bare', bare), ('product', product)):
                r = wrk(target.url, clients, args.seconds)
                if r['bad'] or r['errors']:
                    table.note(f'{name} {who} {clients}', f"{r['bad']} bad answers, errors {r['errors']}")
                data.setdefault((who, clients), []).append(r)

    def pairs(clients, key):
        return [p[key] / b[key] for p, b in zip(data['product', clients], data['bare', clients])]

    def med(who, clients, key):
        return statistics.median(r[key] for r in data[who, clients])
    table.add(f'{name}: warm call, 1 client, p50 over bare', pairs(1, 'p50'), 2.0, 1.3,
              detail=f"{med('product', 1, 'p50'):.3f} ms over {med('bare', 1, 'p50'):.3f} ms")
    for c in (16, 64):
        table.add(f'{name}: calls a second at {c} clients, of bare', pairs(c, 'rate'), 0.5, 0.8, lower=False,
                  detail=f"{med('product', c, 'rate'):.0f} of {med('bare', c, 'rate'):.0f}")
    table.add(f'{name}: p99 over p50 at 16 clients', [r['p99'] / r['p50'] for r in data['product', 16]], 6, 3,
              detail=f"{med('product', 16, 'p99'):.2f} / {med('product', 16, 'p50'):.2f} ms; bare "
                     f"{med('bare', 16, 'p99'):.2f} / {med('bare', 16, 'p50'):.2f}")
    bare.stop()
    product.stop()


def idle_memory(args, kids, table, work):
    product = Product(args, kids, 'node', work)
    parts = [(comm, pid, pss_kib(pid)) for pid, comm in product.pids()]
    table.add('memory idle, PSS MiB', [sum(k for _, _, k in parts) / 1024], 24, 10,
              detail=', '.join(f'{c} {k / 1024:.1f}' for c, _, k in parts))
    product.stop()


def accepted(args, kids, table, work):
    """Durable 202s a second against SQLite alone with the same batches: the product's own commits are counted."""
    product = Product(args, kids, 'node', work)
    wait_url(product.url)
    script = os.path.join(work, 'post.lua')
    with open(script, 'w', encoding='utf-8') as f:
        f.write('wrk.method = "POST"\nwrk.body = "{}"\nwrk.headers["Prefer"] = "respond-async"\n')
    ratios, figures = [], []
    for _ in range(args.rounds):
        db = product.db()
        before = db.execute('SELECT count(DISTINCT admitted_at), count(*) FROM job WHERE mode=\'async\'').fetchone()
        r = wrk(product.url, 64, args.seconds, script=script)
        after = db.execute('SELECT count(DISTINCT admitted_at), count(*) FROM job WHERE mode=\'async\'').fetchone()
        db.close()
        if r['bad']:
            raise SystemExit(f"bench: {r['bad']} asynchronous calls were not accepted")
        jobs, turns = after[1] - before[1], max(1, after[0] - before[0])
        group = max(1, round(jobs / turns))
        floor = float(subprocess.run([os.path.join(args.build, 'tests', 'store_bench'), '--durable', '--group', str(group),
                                      '--seconds', str(args.seconds)], capture_output=True, text=True, check=True).stdout)
        ratios.append(r['rate'] / floor)
        figures.append(f"{r['rate']:.0f} of {floor:.0f}/s, {group} a commit")
    table.add('accepted (202, durable) a second, of SQLite alone', ratios, 0.5, 0.8, lower=False, detail='; '.join(figures))
    product.stop()


def starts(args, kids, table, name, work):
    command = runtime_command(args, name)
    empty = os.path.join(work, 'empty.py' if name == 'python' else 'empty.mjs')
    open(empty, 'w', encoding='utf-8').close()
    argv = [command] + (['run'] if name == 'deno' else []) + [empty]
    own = start_ms(argv)
    own_ms = statistics.median(own)
    n = 12
    # Blank: one blank always waits; each call brings a bundle that no instance has seen.
    product = Product(args, kids, name, work, warm=2, bundles=n + 1)
    wait_url(product.url)
    warm_ms = statistics.median(timed(product.url) for _ in range(50))
    blank, cold = [], []
    for i in range(1, n + 1):
        wait_blank(product)
        ms, kind = timed_kind(f'{product.base}bench{i}/latest/hello')
        if kind == 'blank':
            blank.append((ms - warm_ms) / own_ms)
    product.stop()
    product = Product(args, kids, name, work, bundles=n + 1)
    for i in range(1, n + 1):
        ms, kind = timed_kind(f'{product.base}bench{i}/latest/hello')
        if kind == 'cold':
            cold.append(ms / own_ms)
    product.stop()
    if blank:
        table.add(f'{name}: blank start adds, of the runtime\'s own start', blank, 0.5, 0.2,
                  detail=f'own start {own_ms:.1f} ms, warm {warm_ms:.2f} ms, {len(blank)} calls')
    if cold:
        table.add(f'{name}: cold start over the runtime\'s own start', cold, 1.5, 1.1,
                  detail=f'own start {own_ms:.1f} ms, {len(cold)} calls')


def timed_kind(url):
    t = time.perf_counter()
    status, headers, body = get(url)
    ms = (time.perf_counter() - t) * 1e3
    if status != 200:
        raise SystemExit(f'bench: {url}: {status} {body[:300]}')
    return ms, {k.lower(): v for k, v in headers.items()}.get('at-run-instance')


def timed(url):
    return timed_kind(url)[0]


def wait_blank(product):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        db = product.db()
        n = db.execute("SELECT count(*) FROM instance WHERE state='blank' AND ended_at IS NULL").fetchone()[0]
        db.close()
        if n > 0:
            return
        time.sleep(0.02)


def burst(args, product, n):
    """n jobs put into the ledger while the scheduler stands still; the seconds from their first admission to their last end."""
    scheduler = next(pid for pid, comm in product.pids() if comm.startswith('at-rund-sch'))
    db = product.db()
    before = db.execute('SELECT coalesce(max(id), 0) FROM job').fetchone()[0]
    os.kill(scheduler, signal.SIGSTOP)
    subprocess.run([os.path.join(args.build, 'tests', 'enqueue'), '--home', product.home, '--bundle', 'bench', '--endpoint',
                    'hello', '--timeout', '600000', '-n', str(n), '-c', '64', '--no-wait'], check=True,
                   stdout=subprocess.DEVNULL)
    os.kill(scheduler, signal.SIGCONT)
    end = time.monotonic() + 300
    while True:
        # One seek: the newest is among the last to end.
        left = db.execute("SELECT count(*) FROM (SELECT 1 FROM job WHERE done_at IS NULL LIMIT 1)").fetchone()[0]
        if left == 0:
            break
        if time.monotonic() > end:
            raise SystemExit('bench: the backlog does not end')
        time.sleep(0.005 if n < 1000 else 0.5)
    first, last, good = db.execute("SELECT min(admitted_at), max(done_at), sum(outcome = 'ok') FROM job WHERE id > ?",
                                   (before,)).fetchone()
    db.close()
    if good != n:
        raise SystemExit(f'bench: {good} of {n} jobs ended well')
    return (last - first) / 1e3


def backlog(args, kids, table, work):
    """Claim and dispatch while 100 and while 100,000 jobs wait: the same scheduler, the same handler."""
    product = Product(args, kids, 'node', work)
    wait_url(product.url)
    wrk(product.url, 16, args.seconds)
    few = [100 / burst(args, product, 100) for _ in range(40)][10:]
    many = args.backlog / burst(args, product, args.backlog)
    product.stop()
    table.add(f'claim and dispatch with {args.backlog} queued over with 100', [statistics.median(few) / many], 1.5, 1.1,
              detail=f'{many:.0f} jobs/s against {statistics.median(few):.0f}')


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--seconds', type=int, default=3)
    ap.add_argument('--backlog', type=int, default=100000)
    ap.add_argument('--runtimes', default='node,python,deno')
    ap.add_argument('--only', default='warm,accepted,starts,memory,backlog,peers')
    ap.add_argument('--build', default=os.path.join(ROOT, 'build'))
    args = ap.parse_args()
    only, kids, table = args.only.split(','), Children(), Table()
    work = tempfile.mkdtemp(prefix='at-rund-bench-')
    names = [n for n in args.runtimes.split(',') if runtime_command(args, n)]
    for n in args.runtimes.split(','):
        if n not in names:
            table.note(n, 'not installed: left out')
    try:
        for name in names:
            if 'warm' in only:
                warm(args, kids, table, name, work)
            if 'starts' in only:
                starts(args, kids, table, name, work)
        if 'accepted' in only:
            accepted(args, kids, table, work)
        if 'memory' in only:
            idle_memory(args, kids, table, work)
        if 'backlog' in only:
            backlog(args, kids, table, work)
        if 'peers' in only and os.environ.get('PEERS') == '1':
            sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
            import peers
            peers.run(args, kids, table, work, wrk, free_port, wait_url)
    finally:
        kids.stop_all()
        shutil.rmtree(work, ignore_errors=True)
    table.show()


if __name__ == '__main__':
    main()
