"""Behind a wall, beside the wall `none`: warm calls, blank starts, cold starts."""
import json
import os
import shutil
import statistics
import subprocess

from kit import IMAGES, Caller, Product, runtime_command, start_ms, timed, timed_kind, wait_url, wrk
from part_starts import wait_blank

TURN = 200  # calls


def own_start(args, wall, name):
    """The wall's own start: what a person would type to start nothing behind it.  None: it cannot be typed here."""
    if wall == 'sandbox':
        argv = ['bwrap', '--unshare-all', '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', 'true']
    elif wall == 'container':
        with open(os.path.join(IMAGES, 'images', name, 'image.json'), encoding='utf-8') as f:
            image = json.load(f)['image']
        # Images hold nothing but a runtime; the gate is a program that ends at once.  As the product's probe does it here.
        argv = ['podman', '--runtime', 'runc', 'run', '--rm', '--network', 'none', '--ulimit', 'nofile=256:256', '--ulimit',
                'nproc=64:64', '--log-driver', 'none', '--volume', os.path.join(args.build, 'at-rund-gate') + ':/gate:ro', image,
                '/gate', '--version']
    else:
        return None
    found = shutil.which(argv[0])
    if found is None or subprocess.run([found] + argv[1:], capture_output=True).returncode != 0:
        return None
    return [found] + argv[1:]


def run(args, kids, table, name, work):
    for wall in args.walls.split(','):
        if wall == 'container':
            r = subprocess.run([os.path.join(args.build, 'at-rund'), '--home', IMAGES, 'build', '--runtime', name], capture_output=True,
                               text=True)
            if r.returncode != 0:
                table.note(f'{name}, container', r.stderr.strip()[-200:])
                continue
        try:
            warm(args, kids, table, name, work, wall)
            starts(args, kids, table, name, work, wall)
        except SystemExit as e:
            table.note(f'{name}, {wall}', f'does not answer here: {e}'[:200])


def warm(args, kids, table, name, work, wall):
    pair = [Product(args, kids, name, work, wall=w) for w in ('none', wall)]
    data = {}
    for p in pair:
        wait_url(p.url)
        calls = 0.0
        while calls < 20000:
            calls += 2 * wrk(p.url, 16, 2)['rate']
    # In short turns: what else the machine does, and how warm it is, changes within a second.
    callers = [Caller(p.url) for p in pair]
    turns = [[c.p50(TURN) for c in callers[::1 if r % 2 else -1]][::1 if r % 2 else -1]
             for r in range(max(8, 10 * args.rounds * args.seconds))]
    for r in range(args.rounds * args.seconds):
        for i in ((0, 1) if r % 2 else (1, 0)):
            data.setdefault((i, 16), []).append(wrk(pair[i].url, 16, 1))
    for p in pair:
        p.stop()
    none, walled = (statistics.median(t[i] for t in turns) for i in (0, 1))
    table.add(f'{name}: warm call behind {wall}, 1 client, p50 over none', [w / n for n, w in turns], 1.15, 1.05,
              detail=f'{walled:.3f} over {none:.3f} ms, {len(turns)} turns of {TURN} calls')
    table.add(f'{name}: none\'s calls a second at 16 clients, over those behind {wall}',
              [n['rate'] / w['rate'] for n, w in zip(data[0, 16], data[1, 16])], 1.15, 1.05,
              detail='; '.join(f"{n['rate']:.0f} over {w['rate']:.0f}" for n, w in zip(data[0, 16], data[1, 16])))


def starts(args, kids, table, name, work, wall):
    empty = os.path.join(work, 'empty.py' if name == 'python' else 'empty.mjs')
    open(empty, 'w', encoding='utf-8').close()
    runtime = [runtime_command(args, name)] + (['run'] if name == 'deno' else []) + [empty]
    own = statistics.median(start_ms(runtime))
    argv = own_start(args, wall, name)
    if argv is None:
        table.note(f'{name}, {wall}', 'its own start cannot be measured here')
        return
    walls = statistics.median(start_ms(argv, 9))
    n = 12
    product = Product(args, kids, name, work, warm=2, bundles=n + 1, wall=wall)
    wait_url(product.url)
    usual = statistics.median(timed(product.url) for _ in range(50))
    blank, cold = [], []
    for i in range(1, n + 1):
        wait_blank(product, 2)  # all: the next container's start would be measured otherwise
        ms, kind = timed_kind(f'{product.base}bench{i}/latest/hello')
        if kind == 'blank':
            blank.append((ms - usual) / own)
    product.stop()
    product = Product(args, kids, name, work, bundles=n + 1, wall=wall)
    sums = []
    for i in range(1, n + 1):
        # Side by side, so that what else the machine does is on both sides of the ratio.
        sums.append(start_ms(runtime, 1)[0] + start_ms(argv, 1)[0])
        ms, kind = timed_kind(f'{product.base}bench{i}/latest/hello')
        if kind == 'cold':
            cold.append(ms / statistics.median(sums[-3:]))
    product.stop()
    if blank:
        table.add(f'{name}: blank start behind {wall} adds, of the runtime\'s own start', blank, 0.5, 0.2,
                  detail=f'own start {own:.1f} ms, warm {usual:.2f} ms, {len(blank)} calls')
    if cold:
        table.add(f'{name}: cold start behind {wall} over the sum of both starts', cold, 1.5, 1.1,
                  detail=f'own starts {own:.1f} and {walls:.1f} ms, {len(cold)} calls')
