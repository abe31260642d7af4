"""Blank and cold starts, against the runtime's own."""
import os
import statistics
import time

from kit import Product, runtime_command, start_ms, timed, timed_kind, wait_url


def run(args, kids, table, name, work):
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


def wait_blank(product, least=1):
    """So many that have waited for half a second, as those of a pool do."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        db = product.db()
        n = db.execute("SELECT count(*) FROM instance WHERE state = 'blank' AND ended_at IS NULL AND started_at < ?",
                       (time.time() * 1000 - 500,)).fetchone()[0]
        db.close()
        if n >= least:
            return
        time.sleep(0.02)
