"""Durable 202s a second, beside SQLite alone.

What is compared: the product takes calls at its FastCGI socket (flood.c, 64 connections, no web server between), inserts
their rows, admits them, makes that durable and says 202.  All instances are busy with a handler that does not end, so
accepted jobs wait: to run them is another row's business.  SQLite alone inserts and admits the same rows in one process and
one transaction in FULL, as many a commit as the product had a sync of its log: those the scheduler counts itself.
Beside it stand the figures through lighttpd, and while accepted jobs are run as they come.
"""
import os
import statistics
import subprocess
import time

from kit import INSTANCES, Product, get, wait_url, wrk

HOLD = ('hold', 'export function hold() {\n  return new Promise((resolve) => setTimeout(resolve, 550000));\n}\n')


def ask(db, sql):
    return db.execute(sql).fetchone()[0] or 0


def hold_all(product, db):
    for _ in range(INSTANCES):
        status, _, body = get(product.base + 'bench/latest/hold', {'Prefer': 'respond-async'}, 'POST', b'{}')
        if status != 202:
            raise SystemExit(f'bench: hold: {status} {body[:300]}')
    end = time.monotonic() + 20
    while ask(db, "SELECT count(*) FROM job WHERE state = 'running'") < INSTANCES:
        if time.monotonic() > end:
            raise SystemExit('bench: the instances do not get busy')
        time.sleep(0.05)


def syncs(product, db):
    """After the next beat: the scheduler tells with it."""
    seen = ask(db, 'SELECT max(seen_at) FROM run')
    while ask(db, 'SELECT max(seen_at) FROM run') == seen:
        time.sleep(0.05)
    return ask(db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'syncs'")


def flood(args, product):
    out = subprocess.run([os.path.join(args.build, 'tests', 'flood'), '--socket', os.path.join(product.home, 'run', 'fcgi.sock'),
                          '--uri', '/bundle/local/bench/latest/hello', '--clients', '64', '--seconds', str(args.seconds)],
                         capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit('bench: ' + out.stderr)
    return float(out.stdout.split()[0])


def floor(args, group):
    return float(subprocess.run([os.path.join(args.build, 'tests', 'store_bench'), '--durable', '--group', str(group),
                                 '--seconds', str(args.seconds)], capture_output=True, text=True, check=True).stdout)


def measure(args, kids, work, busy, run):
    """Calls a second, and how many shared a sync."""
    product = Product(args, kids, 'node', work, more=HOLD, extra='[scheduler]\ngrace = 1s\n')
    wait_url(product.url)
    db = product.db()
    if busy:
        hold_all(product, db)
    before = ask(db, "SELECT count(*) FROM job WHERE mode = 'async'"), syncs(product, db)
    rate = run(product)
    after = ask(db, "SELECT count(*) FROM job WHERE mode = 'async'"), syncs(product, db)
    db.close()
    product.stop()
    return rate, (after[0] - before[0]) / max(1, after[1] - before[1])


def through_lighttpd(args, work):
    script = os.path.join(work, 'post.lua')
    with open(script, 'w', encoding='utf-8') as f:
        f.write('wrk.method = "POST"\nwrk.body = "{}"\nwrk.headers["Prefer"] = "respond-async"\n')

    def run(product):
        r = wrk(product.url, 64, args.seconds, script=script)
        if r['bad']:
            raise SystemExit(f"bench: {r['bad']} asynchronous calls were not accepted")
        return r['rate']
    return run


def run(args, kids, table, work):
    ratios, figures, web, running = [], [], [], []
    for _ in range(args.rounds):
        rate, group = measure(args, kids, work, True, lambda p: flood(args, p))
        alone = floor(args, max(1, round(group)))
        ratios.append(rate / alone)
        figures.append(f'{rate:.0f} of {alone:.0f}/s, {group:.0f} a sync')
        web.append(measure(args, kids, work, True, through_lighttpd(args, work))[0])
        running.append(measure(args, kids, work, False, lambda p: flood(args, p))[0])
    table.add('accepted (202, durable) a second at the FastCGI socket, of SQLite alone', ratios, 0.5, 0.8, lower=False,
              detail='; '.join(figures))
    table.note('accepted, the same through lighttpd', f'{statistics.median(web):.0f}/s')
    table.note('accepted at the socket while the jobs are run as they come', f'{statistics.median(running):.0f}/s')
