"""A hundred thousand jobs that wait."""
import contextlib
import os
import signal
import sqlite3
import statistics
import subprocess
import time

from kit import Product, wait_url, wrk


def stop(scheduler, product):
    """While the write lock is ours: stopped in a transaction of its own it would let nobody write."""
    with contextlib.closing(sqlite3.connect(os.path.join(product.home, 'at-rund.db'), isolation_level=None)) as db:
        db.execute('BEGIN IMMEDIATE')
        os.kill(scheduler, signal.SIGSTOP)
        while not stands_still(scheduler):
            os.sched_yield()
        db.execute('ROLLBACK')


def stands_still(pid):
    with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
        return f.read().rsplit(')', 1)[1].split()[0] == 'T'


def burst(args, product, n):
    """n jobs put into the ledger while the scheduler stands still; the seconds from their first admission to their last end."""
    scheduler = next(pid for pid, comm in product.pids() if comm.startswith('at-rund-sch'))
    db = product.db()
    before = db.execute('SELECT coalesce(max(id), 0) FROM job').fetchone()[0]
    stop(scheduler, product)
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


def run(args, kids, table, work):
    """Claim and dispatch while 100 and while 100,000 jobs wait: the same scheduler, the same handler."""
    product = Product(args, kids, 'node', work)
    wait_url(product.url)
    wrk(product.url, 16, args.seconds)
    few = [100 / burst(args, product, 100) for _ in range(40)][10:]
    many = args.backlog / burst(args, product, args.backlog)
    product.stop()
    table.add(f'claim and dispatch with {args.backlog} queued over with 100', [statistics.median(few) / many], 1.5, 1.1,
              detail=f'{many:.0f} jobs/s against {statistics.median(few):.0f}')
