"""Durable 202s."""
import os
import subprocess

from kit import Product, wait_url, wrk


def run(args, kids, table, work):
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
