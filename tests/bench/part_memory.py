"""What an idle runner weighs."""
from kit import Product, pss_kib


def run(args, kids, table, work):
    product = Product(args, kids, 'node', work)
    parts = [(comm, pid, pss_kib(pid)) for pid, comm in product.pids()]
    table.add('memory idle, PSS MiB', [sum(k for _, _, k in parts) / 1024], 24, 10,
              detail=', '.join(f'{c} {k / 1024:.1f}' for c, _, k in parts))
    product.stop()
