#!/usr/bin/env python3
"""What an author, a bundle and a caller may use, and when they may again."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
bundles = os.path.join(where, 'bundles')
CODE = """import time

def x(request, ctx):
    return 'x'

def burn(request, ctx):
    end = time.process_time() + float(request.query.get('s', '0.5'))
    while time.process_time() < end:
        pass
    return 'burnt'

def talk(request, ctx):
    print('y' * 60000)
    return 'z' * 200000

def wait(request, ctx):
    time.sleep(3)
    return 'waited'
"""
runner = None


def start(**limits):
    global runner
    if runner is None:
        os.makedirs(bundles, exist_ok=True)
        for name in ('one', 'two'):
            with open(os.path.join(bundles, name + '.py'), 'w') as f:
                f.write(CODE)
        runner = Runner(where, bundles=bundles, sections={'access': {'mode': 'open'}, 'pool': {'max': '4', 'per_bundle': '4', 'warm.python': '2'}}).init()
    else:
        runner.stop()
    runner.conf['limits'] = {k: str(v) for k, v in limits.items()}
    runner.write()
    runner.start()
    check(call(runner.url + '/ready').status == 200)
    # Two calls are to run side by side at once, also where python takes its time to start.
    until(lambda: runner.sql("SELECT count(*) FROM instance WHERE state = 'blank'")[0][0] >= 2, 'two blanks')


def ask(endpoint, bundle='one', headers=None, **kw):
    return call('%s/bundle/local/%s/latest/%s' % (runner.url, bundle, endpoint), headers=headers, **kw)


def too_soon(a, key):
    """The time after which to come again."""
    same((a.status, a.error), (429, 'RateLimitExceeded'), a)
    check('limits.' + key in a.json['message'], a)
    seconds = int(a.header('retry-after'))
    check(seconds >= 1 and 'again in' in a.json['message'], a)
    return seconds


def starts(key):
    """As many at once as a minute may have; then one each time a part of a minute has passed, and not before."""
    start(**{key: 30})  # one more each 2 s
    answers = [ask('x') for _ in range(31)]
    ok = [a for a in answers if a.status == 200]
    # The bucket fills while we ask; what is refused is told how long that takes.
    check(30 <= len(ok) <= 32, [a.status for a in answers])
    a = next(a for a in [ask('x') for _ in range(5)] if a.status != 200)
    seconds = too_soon(a, key)
    check(seconds <= 2, a)
    time.sleep(seconds)  # that it is true is the claim
    same(ask('x').status, 200)
    other = ask('x', 'two').status
    same(other, 200 if key == 'bundle_starts' else other)
    rows = runner.sql("SELECT error_name, outcome FROM job WHERE outcome = 'refused' LIMIT 1")
    same(rows, [('RateLimitExceeded', 'refused')])


def nothing_is_accepted_that_is_too_much():
    start(author_starts=1)
    same(ask('x', headers=[('Prefer', 'respond-async')]).status, 202)
    seconds = too_soon(ask('x', headers=[('Prefer', 'respond-async')]), 'author_starts')
    check(55 <= seconds <= 61, seconds)


def open_calls(**limits):
    start(**limits)
    (key,) = limits
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask('wait'))) for _ in range(2)]
    for x in threads:
        x.start()
    until(lambda: runner.sql("SELECT count(*) FROM job WHERE state = 'running'") == [(2,)], 'two run')
    too_soon(ask('x'), key)
    for x in threads:
        x.join()
    same([a.status for a in answers], [200, 200])
    same(ask('x').status, 200)


def place_in_the_queue():
    """The door's own refusal says when a place is free: by how long such calls took, and before any did by their deadline."""
    start(per_bundle=2, timeout='20s')
    for known in (False, True):
        answers = []
        threads = [threading.Thread(target=lambda a=answers: a.append(ask('wait').status)) for _ in range(2)]
        for x in threads:
            x.start()
        until(lambda: runner.sql("SELECT count(*) FROM job WHERE state = 'running'") == [(2,)], 'two run')
        seconds = too_soon(ask('x'), 'per_bundle')
        check(seconds <= (4 if known else 25), known, seconds)
        if known:
            check(seconds >= 2, seconds)
            time.sleep(seconds)  # that it is true is the claim
            same(ask('x').status, 200)
        for x in threads:
            x.join()
        same(answers, [200, 200])
    start(per_bundle=2, timeout='2s')
    threads = [threading.Thread(target=lambda: ask('wait')) for _ in range(2)]
    for x in threads:
        x.start()
    until(lambda: runner.sql("SELECT count(*) FROM job WHERE done_at IS NULL") == [(2,)], 'two are open')
    seconds = too_soon(ask('x'), 'per_bundle')
    check(seconds <= 2, seconds)
    time.sleep(seconds)
    check(ask('x').status != 429, 'a place after the deadline')
    for x in threads:
        x.join()


def processor_time():
    start(author_cpu='1s', caller_cpu='1h')
    same(ask('x').status, 200)
    a = until(lambda: (a := ask('burn')).status != 200 and a, 'the day is used up', 40)
    seconds = too_soon(a, 'author_cpu')
    left = 86400 - time.time() % 86400
    check(abs(seconds - left) < 30, seconds, left)
    runner.stop()  # and the next scheduler knows it
    runner.start()
    too_soon(ask('x'), 'author_cpu')
    used = dict(runner.sql('SELECT kind, cpu_ms FROM v_usage'))
    check(used['author'] >= 1000 and used['caller'] > 0, used)


def what_is_kept():
    start()
    runner.conf['scheduler'] = {'keep_author': '1M', 'keep_log': '128K'}
    start(log='64K', log_line='8K')
    rows = [int(ask('talk', headers=[('x', 'y')]).header('at-run-job').split('-')[0]) for _ in range(12)]

    def kept():
        return [r[0] for r in runner.sql('SELECT id FROM job WHERE id >= ? ORDER BY id', rows[0])]
    until(lambda: len(kept()) <= 5, 'the oldest of the author go', 30)
    same(kept(), rows[-len(kept()):], 'the newest stay')
    check(len(kept()) >= 3, kept())
    until(lambda: runner.sql('SELECT sum(length(text)) FROM log')[0][0] <= 128 << 10, 'the oldest lines go', 30)
    same(ask('x').status, 200)


t.run('quotas: starts of an author', starts, 'author_starts')
t.run('quotas: starts of a bundle', starts, 'bundle_starts')
t.run('quotas: starts of a caller', starts, 'caller_starts')
t.run('quotas: nothing is accepted that is too much', nothing_is_accepted_that_is_too_much)
t.run('quotas: calls of a caller that are not done', lambda: open_calls(per_caller=2))
t.run('quotas: calls of a caller at once', lambda: open_calls(caller_running=2))
t.run('quotas: a place in the queue', place_in_the_queue)
t.run('quotas: processor time a day', processor_time)
t.run('quotas: what an author, and the log, may hold', what_is_kept)
t.end()
