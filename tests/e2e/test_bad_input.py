"""What bad input gets: malformed URLs, too much of everything, servers that lie, executors that break the rules, and
databases that are not ours.  The door alone is tested by test_fcgi_wire.py, the fetcher alone by test_fetcher.py."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from hostile import Hostile  # noqa: E402

t = Cases()
where = scratch()
bundles = os.path.join(where, 'bundles')
hostile = runner = None
DID = 'did:plc:' + 'b' * 24


def put(path, text):
    full = os.path.join(bundles, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'w') as f:
        f.write(text)


# ---- a runner with a PDS that lies and an executor that does ----

def start():
    global hostile, runner
    put('good.py', "import time\n\ndef x(request, ctx):\n    return 'good'\n\ndef size(request, ctx):\n"
        "    return str(len(request.body))\n\ndef slow(request, ctx):\n    time.sleep(float(request.query.get('s', '1')))\n"
        "    return 'slow'\n\ndef big(request, ctx):\n    return b'x' * int(request.query['n'])\n")
    put('listed/bundle.json', '{"runtime":"application/python","entry":"main.py","endpoints":{"x":{}}}')
    put('listed/main.py', "def x(request, ctx):\n    return 'x'\n\ndef y(request, ctx):\n    return 'y'\n")
    hostile = Hostile()
    runner = Runner(where, bundles=bundles, sections={
        'access': {'mode': 'open'},
        'atproto': {'plc_url': hostile.url, 'handle_resolver': hostile.url, 'ports': [str(hostile.port)], 'blob': '1M',
                    'unpacked': '1M', 'connect_timeout': '1s', 'first_byte_timeout': '2s', 'fetch_timeout': '3s'},
        'limits': {'timeout': '8s', 'request': '64K', 'response': '256K', 'header': '16K', 'url': '2K', 'queue': '40',
                   'per_author': '20', 'per_bundle': '10'},
        'pool': {'max': '3', 'per_bundle': '2'},
    })
    runner.init()
    home_runtimes = os.path.join(runner.home, 'runtimes')
    shutil.copy(os.path.join(ROOT, 'tests', 'e2e', 'executor_garbage.py'), home_runtimes)
    with open(os.path.join(home_runtimes, 'garbage.ini'), 'w') as f:
        f.write('mimeTypes = [ "application/garbage" ]\n[executor]\ncommand = python3\nflags = [ "-I" ]\n'
                'file = executor_garbage.py\n')
    runner.conf['runtimes']['garbage'] = 'garbage.ini'
    runner.write()
    runner.start()
    same(call(runner.url + '/bundle/local/good/latest/x').text, 'good')


def at(path):
    return call(runner.url, path=path, timeout=30)


def named(a, status, *names):
    statuses = status if isinstance(status, tuple) else (status,)
    check(a.status in statuses, 'want %s:' % (statuses,), a)
    check(re.fullmatch(r'[A-Z][A-Za-z]+', a.json['error']) and a.json['message'], a)
    if names:
        check(a.json['error'] in names, 'want one of %s:' % (names,), a)


# ---- URLs ----

B = '/bundle/%s/hello/latest/x' % DID
MALFORMED = {
    'a DID without method': '/bundle/did:/hello/latest/x',
    'a DID in capitals': '/bundle/DID:plc:%s/hello/latest/x' % ('a' * 24),
    'a did:plc of the wrong length': '/bundle/did:plc:abc/hello/latest/x',
    'a did:plc with a wrong letter': '/bundle/did:plc:%s1/hello/latest/x' % ('a' * 23),
    'a method nobody knows': '/bundle/did:example:abc/hello/latest/x',
    'a DID that ends in a colon': '/bundle/did:web:/hello/latest/x',
    'a handle without a dot': '/bundle/nodot/hello/latest/x',
    'a handle with an underscore': '/bundle/under_score.example.com/hello/latest/x',
    'a handle that begins with a hyphen': '/bundle/-a.example.com/hello/latest/x',
    'a handle of a digit domain': '/bundle/1.2.3.4/hello/latest/x',
    'a name with a space': '/bundle/%s/he%%20llo/latest/x' % DID,
    'a name with a colon': '/bundle/%s/he:llo/latest/x' % DID,
    'a version with an at sign': '/bundle/%s/hello/@1/x' % DID,
    'an endpoint that is no name': '/bundle/%s/hello/latest/x%%20y' % DID,
    'a dot segment': '/bundle/%s/./latest/x' % DID,
    'two dots': '/bundle/%s/../latest/x' % DID,
    'two dots at the end': B + '/..',
    'an empty segment': '/bundle/%s//latest/x' % DID,
    'an empty segment in the rest': B + '/a//b',
    'encoded dots': B + '/%2e%2e/y',
    'encoded dots, one plain': B + '/.%2E/y',
    'an encoded slash': B + '/a%2Fb',
    'an encoded backslash': B + '/a%5Cb',
    'an encoded NUL': B + '/a%00b',
    'an encoded NUL in the query': B + '?a=%00',
    'a broken escape': B + '/a%zz',
    'a broken escape at the end': B + '/a%2',
    'bytes that are no UTF-8': B + '/%ff%fe',
    'an over-long name': '/bundle/%s/%s/latest/x' % (DID, 'n' * 700),
    'an over-long endpoint': '/bundle/%s/hello/latest/%s' % (DID, 'e' * 700),
    'an over-long DID': '/bundle/did:web:%s.com/hello/latest/x' % ('a' * 1500),
}
NOWHERE = {
    'no route': '/nowhere', 'a bundle without endpoint': '/bundle/%s/hello/latest' % DID,
    'a bundle and nothing': '/bundle/', 'another method of XRPC': '/xrpc/dev.at-run.nothing',
}


def malformed(path):
    a = at(path)
    if a.status == 400 and not (a.header('content-type') or '').startswith('application/json'):
        return  # lighttpd said so before we were asked
    named(a, 400)


def unknown():
    named(at('/bundle/local/nothing/latest/x'), 404, 'BundleNotFound')
    named(at('/bundle/local/listed/latest/y'), 404, 'EndpointNotFound')
    named(at('/bundle/local/good/latest/nothing'), 404, 'EndpointNotFound')
    named(at('/bundle/did:plc:%s/hello/latest/x' % ('n' * 24)), 404)
    named(at('/bundle/%s/missing/latest/x' % hostile.did), 404)
    named(at('/bundle/nobody.test/hello/latest/x'), (400, 404, 502))
    for path in ('/bundle/local/nothing/latest/x', '/bundle/local/listed/latest/y',
                 '/bundle/%s/missing/latest/x' % hostile.did):
        a = call(runner.url, 'POST', b'', [('Prefer', 'respond-async')], path=path)
        named(a, 404)


def bad_xrpc():
    named(at('/xrpc/not..valid'), (400, 404, 501))
    named(at('/xrpc/dev.at-run.getJob'), 400)
    named(at('/xrpc/dev.at-run.getJob?id=nonsense'), 400)
    named(at('/xrpc/dev.at-run.getJob?id=1-' + '0' * 32), (400, 404), 'JobNotFound')
    named(at('/job/1-' + '0' * 32), 404)
    named(at('/job/..%2f..'), (400, 404))
    a = call(runner.url + '/xrpc/dev.at-run.cancelJob', 'POST', b'{"id": 7}', [('Content-Type', 'application/json')])
    named(a, 400)
    a = call(runner.url + '/xrpc/dev.at-run.cancelJob', 'POST', b'{"id":"1-' + b'0' * 32 + b'"} x',
             [('Content-Type', 'application/json')])
    named(a, 400)
    named(call(runner.url + '/xrpc/dev.at-run.describeRunner', 'POST', b''), (400, 405))


# ---- too much ----

def limit(a, status, key, value):
    named(a, status)
    check(key in a.json['message'], 'the key %s is not named:' % key, a)
    check(value in a.json['message'], 'the value %s is not named:' % value, a)


def long_url():
    limit(at('/bundle/local/good/latest/x?' + 'q' * 3000), (414, 400), 'limits.url', '2')


def long_body():
    a = call(runner.url + '/bundle/local/good/latest/size', 'POST', b'x' * 65536)
    same((a.status, a.text), (200, '65536'), a)
    limit(call(runner.url + '/bundle/local/good/latest/size', 'POST', b'x' * 65537), 413, 'limits.request', '64')
    limit(call(runner.url + '/bundle/local/good/latest/size', 'POST', b'x' * 500000, chunked=True), 413, 'limits.request', '64')


def long_header():
    a = call(runner.url + '/bundle/local/good/latest/x', headers=[('X-%d' % i, 'y' * 1000) for i in range(20)])
    check(a.status in (431, 400), a)
    if a.header('content-type', '').startswith('application/json'):  # some servers refuse before we are asked
        limit(a, 431, 'limits.header', '16')


def long_answer():
    a = call(runner.url + '/bundle/local/good/latest/big?n=262144')
    same((a.status, len(a.body)), (200, 262144))
    a = call(runner.url + '/bundle/local/good/latest/big?n=262145')
    if not a.cut:  # an answer that had begun can only be cut, and a caller sees that
        limit(a, (502, 507), 'limits.response', '256')
    row = runner.sql("SELECT outcome, error FROM job ORDER BY id DESC LIMIT 1")[0]
    check(row[0] == 'output' and 'limits.response' in row[1] and '256' in row[1], row)


def full_queues():
    """More calls than limits.per_bundle: refused with Retry-After, nothing of them stored."""
    url = runner.url + '/bundle/local/good/latest/slow?s=0.7'
    got = []
    threads = [threading.Thread(target=lambda: got.append(call(url, timeout=30))) for _ in range(30)]
    for th in threads:
        th.start()
    for th in threads:
        th.join(60)
    same(len(got), 30)
    refused = [a for a in got if a.status != 200]
    check(10 <= len(refused) < 30, 'refused %d of 30' % len(refused), [a.status for a in got])
    for a in refused:
        if a.status == 504:  # waited its whole time in the queue
            continue
        limit(a, (429, 503), 'limits.per_', '0')
        check((a.header('retry-after') or '').isdigit(), a)
    check(any(a.status in (429, 503) for a in refused), [a.status for a in refused])
    same(call(runner.url + '/bundle/local/good/latest/x').text, 'good', 'afterwards')


def raw_requests():
    """Bytes that are no HTTP, through lighttpd: whatever it says, we are there afterwards."""
    for data in (b'\0' * 1000, b'GET\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'GET /bundle/\xff HTTP/1.1\r\nHost: x\r\n\r\n',
                 b'POST /bundle/local/good/latest/size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n',
                 b'POST /bundle/local/good/latest/size HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n',
                 b'POST /bundle/local/good/latest/size HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg',
                 b'GET /bundle/local/good/latest/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' + b'X: ' + b'y' * 70000 + b'\r\n\r\n'):
        a = raw(runner.port, data, timeout=5)
        check(a is None or a.status >= 400, brief(data, 60), a)
    same(call(runner.url + '/bundle/local/good/latest/x').text, 'good')


# ---- a PDS that lies ----

STATUS = {'remote': (502,), 'timeout': (504,), 'notfound': (404,), 'input': (400, 404, 422, 502)}


def cached():
    rows = runner.sql('SELECT count(*) FROM bundle')[0][0]
    return rows, sorted(os.listdir(os.path.join(runner.home, 'bundles')))


def fine():
    a = call('%s/bundle/%s/fine/latest/default' % (runner.url, hostile.did))
    check(a.status == 200, a)


def lies(mode, want):
    before = cached()
    a = call('%s/bundle/%s/%s/latest/default' % (runner.url, hostile.did, mode), timeout=30)
    if want is None:
        same(a.status, 200, a)
        return
    named(a, STATUS[want[0]])
    check(runner.home not in a.text and '169.254' not in a.text, 'more than the caller should know:', a)
    check(cached() == before, 'something was cached:', before, cached())
    outcome = runner.sql("SELECT outcome FROM job WHERE bundle = ? ORDER BY id DESC LIMIT 1", mode)
    same(outcome, [('refused',)] if want[0] != 'timeout' else outcome)
    b = call('%s/bundle/%s/%s/latest/default' % (runner.url, hostile.did, mode), 'POST', b'',
             [('Prefer', 'respond-async')], timeout=30)
    check(b.status != 202, 'accepted before it was known to exist:', b)


def proof_lies():
    for lie, link in hostile.lies.items():
        a = call('%s/bundle/%s/lie-%s/latest/default' % (runner.url, hostile.did, lie), timeout=30)
        if link == '-':
            same(a.status, 200, lie)
        else:
            check(a.status != 200, lie, a)
            named(a, {'absent': 404, 'another-record': 400}.get(lie, 502))


# ---- an executor that breaks the rules ----

MODES = ('random', 'zeros', 'long-frame', 'too-long', 'unknown-kind', 'host-kind', 'two-heads', 'body-first', 'other-call',
         'hello-again', 'head-no-json', 'head-deep', 'head-status', 'head-split', 'head-name', 'head-huge', 'log-garbage',
         'half-frame', 'exit', 'kill', 'endless', 'silent', 'load-garbage', 'load-exit', 'nonzero-middle')


def scheduler_pid():
    return runner.sql('SELECT pid, id FROM run ORDER BY id DESC LIMIT 1')


def garbage(mode):
    before = scheduler_pid()
    put('g-%s/bundle.json' % mode, '{"runtime":"application/garbage","entry":"main.txt"}')
    put('g-%s/main.txt' % mode, '# %s\n' % mode)
    a = call('%s/bundle/local/g-%s/latest/x' % (runner.url, mode), timeout=30)
    # An answer that had begun can only be cut; of one without a byte lighttpd shows the cut by closing only.
    if not a.cut and not (a.status == 200 and a.body == b'' and a.header('connection') == 'close'):
        named(a, (500, 502, 504, 507))
    check('evil' not in str(a.headers), a)
    same(call(runner.url + '/bundle/local/good/latest/x').text, 'good', 'the next call')
    same(scheduler_pid(), before, 'the scheduler')
    row = runner.sql('SELECT state, outcome FROM job WHERE bundle = ?', 'g-' + mode)
    check(row and all(s == 'done' and o not in ('ok', None) for s, o in row), row)


def log_flood():
    """80 MB of log lines: cut at limits.log, the answer still comes."""
    put('g-flood/bundle.json', '{"runtime":"application/garbage","entry":"main.txt"}')
    put('g-flood/main.txt', '# log-flood\n')
    a = call(runner.url + '/bundle/local/g-flood/latest/x', timeout=30)
    same((a.status, a.text), (200, 'after the flood'), a)
    kept = runner.sql('SELECT coalesce(sum(length(text)), 0) FROM log WHERE job = ?', int(a.header('at-run-job').split('-')[0]))
    check(kept[0][0] < 80 * 1024, kept)


def bounded():
    """After all of this nothing has grown: no instances beyond pool.max, no open job."""
    until(lambda: runner.sql("SELECT count(*) FROM job WHERE state != 'done'") == [(0,)], 'every job is done', 20)
    live = runner.sql('SELECT count(*) FROM instance WHERE ended_at IS NULL')[0][0]
    check(live <= 3, '%d instances live' % live)


def stops():
    same(runner.stop(), 0)
    until(lambda: not processes_of(where), 'no process is left: %s' % processes_of(where), 10)


# ---- databases that are not ours ----

def bad_database(what, make, *words):
    home = Runner(where, name='db-' + word())
    home.init()
    make(home.db)
    p = Process([os.path.join(home.build, 'at-rund'), 'serve', '--dev'], home.log, env=home.env, cwd=where)
    try:
        until(lambda: not p.alive() or 'at-rund.db' in home.tail(), 'serve says no', 20)
        until(lambda: not p.alive(), 'serve ends instead of trying again for ever: ' + home.tail(600), 20)
        check(p.p.returncode not in (0, None), 'exit status', p.p.returncode)
    finally:
        p.stop(seconds=5)
    said = home.tail()
    for w in ('at-rund.db',) + words:
        check(w in said, 'does not say %r: %s' % (w, said[-800:]))


def corrupt(db):
    with open(db, 'wb') as f:
        f.write(b'SQLite format 3\0' + os.urandom(8192))


def no_database(db):
    with open(db, 'wb') as f:
        f.write(b'this is my diary\n' * 100)


def newer(db):
    c = sqlite3.connect(db)
    c.executescript('PRAGMA application_id = 0x61747264; PRAGMA user_version = 9999; CREATE TABLE x (y);')
    c.close()


def of_others(db):
    c = sqlite3.connect(db)
    c.executescript('PRAGMA application_id = 252006673; PRAGMA user_version = 1; CREATE TABLE x (y);')
    c.close()


def rev_over_a_restart():
    """The newest revision stands in the ledger: a scheduler that has never met the author refuses an older one too."""
    fine()
    same(runner.sql('SELECT rev FROM repo WHERE did = ?', hostile.did), [(hostile.rev,)])
    runner.stop()
    runner.start()
    a = call('%s/bundle/%s/lie-old-rev/latest/default' % (runner.url, hostile.did), timeout=30)
    named(a, 502, 'RevWentBack')
    same(runner.sql('SELECT rev FROM repo WHERE did = ?', hostile.did), [(hostile.rev,)])


t.picked, t.pick = t.pick, []
t.run('a runner with a PDS that lies and an executor that does', start)
t.pick = t.picked
if t.failed == 0 and runner is not None:
    for name, path in MALFORMED.items():
        t.run('400: ' + name, malformed, path)
    for name, path in NOWHERE.items():
        t.run('404: ' + name, lambda p: named(at(p), (404, 400, 501)), path)
    t.run('404: what does not exist, before any 202', unknown)
    t.run('XRPC with bad parameters', bad_xrpc)
    t.run('a URL over limits.url', long_url)
    t.run('a body over limits.request, also chunked', long_body)
    t.run('headers over limits.header', long_header)
    t.run('an answer over limits.response', long_answer)
    t.run('queues that are full', full_queues)
    t.run('bytes that are no HTTP', raw_requests)
    t.run('a PDS that tells the truth', fine)
    for mode, want in hostile.modes.items():
        t.run('a PDS that lies: ' + mode, lies, mode, want)
    t.run('proofs that lie', proof_lies)
    t.run('a revision that went back, before a scheduler that has just begun', rev_over_a_restart)
    for mode in MODES:
        t.run('an executor that breaks the rules: ' + mode, garbage, mode)
    t.run('an executor that floods the log', log_flood)
    t.run('nothing has grown', bounded)
    t.run('stop ends everything', stops)
t.run('a corrupt database', bad_database, 'corrupt', corrupt)
t.run('a file that is no database', bad_database, 'diary', no_database)
t.run('a newer database', bad_database, 'newer', newer, '9999')
t.run('the database of another program', bad_database, 'other', of_others)
t.end()
