#!/usr/bin/python3 -B
"""make bench: the product beside bare and beside the floors, interleaved in one run, as ratios (DESIGN 17).

Absolute figures belong to the machine; the ratios carry over.  Each figure is the median of the rounds, with the
spread (lowest to highest) beside it.  Nothing here passes or fails: it prints the table and says which column holds.

    bench.py [--rounds 3] [--seconds 3] [--runtimes node,python,deno] [--walls sandbox,container] [--only PART,...]
             [--build build]
    PEERS=1 also measures workerd, functions-framework (npm), fcgiwrap and webhook (Debian) on the same handler.

A part is a file part_NAME.py with run(args, kids, table, work), or run(args, kids, table, name, work) for one runtime
at a time; it stands in one of the two lists below.
"""
import argparse
import importlib
import os
import shutil
import tempfile

from kit import ROOT, Children, Table, runtime_command

A_RUNTIME = ('warm', 'starts', 'walls')
ONCE = ('accepted', 'memory', 'backlog', 'gate', 'trust', 'streams', 'otel', 'page')


def run_part(part, *args):
    importlib.import_module('part_' + part).run(*args)


def run_all(args, kids, table, work):
    only = args.only.split(',')
    for name in args.runtimes.split(','):
        if not runtime_command(args, name):
            table.note(name, 'not installed: left out')
            continue
        for part in A_RUNTIME:
            if part in only:
                run_part(part, args, kids, table, name, work)
    for part in ONCE:
        if part in only:
            run_part(part, args, kids, table, work)
    if 'peers' in only and os.environ.get('PEERS') == '1':
        importlib.import_module('peers').run(args, kids, table, work)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--seconds', type=int, default=3)
    ap.add_argument('--backlog', type=int, default=100000)
    ap.add_argument('--runtimes', default='node,python,deno')
    ap.add_argument('--walls', default='sandbox,container')
    ap.add_argument('--only', default=','.join(A_RUNTIME + ONCE + ('peers',)))
    ap.add_argument('--build', default=os.path.join(ROOT, 'build'))
    args = ap.parse_args()
    args.build = os.path.abspath(args.build)
    if not shutil.which('wrk'):
        raise SystemExit('bench: no wrk in PATH: sh contrib/check.sh --setup installs it')
    kids, table = Children(), Table()
    work = tempfile.mkdtemp(prefix='at-rund-bench-')
    try:
        run_all(args, kids, table, work)
    finally:
        kids.stop_all()
        shutil.rmtree(work, ignore_errors=True)
    table.show()


if __name__ == '__main__':
    main()
