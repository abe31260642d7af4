"""Warm calls: latency of one client, calls a second of sixteen and sixty-four, beside bare."""
import statistics

from kit import Bare, Product, wait_url, wrk


def run(args, kids, table, name, work):
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
