"""The main job: bundles in three languages on a real PDS, called through every web server."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

MIME = {'deno': 'application/javascript+deno', 'node': 'application/javascript+node', 'python': 'application/python'}
FILE = {'deno': 'hello.ts', 'node': 'hello.mjs', 'python': 'hello.py'}
PATTERN = bytes((i * 7 + (i >> 8)) & 255 for i in range(1 << 20))
LANGUAGES = ('deno', 'node', 'python')

t = Cases()
where = scratch()
pds = runner = based = alice = None
cids = {}


# ---- what is deployed ----

def setup():
    global pds, runner, alice
    pds = Pds(where)
    alice = pds.account('alice.test')
    for language in LANGUAGES:
        file = FILE[language]
        # TypeScript's MIME type of its own is not what deno's runtime is called by, so the record names the runtime.
        cids[language] = alice.deploy('hello-' + language, source(file), 'text/plain', runtime=MIME[language], entry=file)
    tree = {'main.mjs': b"import { name } from './lib/name.mjs';\nexport const who = () => name;\n",
            'lib/name.mjs': b"export const name = 'from the archive';\n"}
    alice.deploy('tarred', tar_gz(tree), 'application/gzip', runtime=MIME['node'], entry='main.mjs')
    alice.deploy('zipped', zipped(tree), 'application/zip', runtime=MIME['node'], entry='main.mjs')
    alice.deploy('tasks', b"export async function work(r) { await new Promise((d) => setTimeout(d, 300)); "
                 b"return 'worked'; }\nexport const forever = () => new Promise(() => setInterval(() => {}, 1000));\n",
                 'application/javascript', runtime=MIME['node'], entry='main.mjs',
                 endpoints={'work': {}, 'forever': {}, 'later': {'task': True}})
    runner = Runner(where, user='www-data', did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
        'limits': {'timeout': '20s'}, 'pool': {'max': '6'},
    })
    runner.init().start()
    return runner


def url(base, language, endpoint, rest='', author=None, version='latest'):
    return '%s/bundle/%s/hello-%s/%s/%s%s' % (base, author or alice.did, language, version, endpoint, rest)


# ---- what every server must pass on ----

def json_answer(base, language):
    a = call(url(base, language, 'json', '?name=W%C3%B6rld'))
    same(a.status, 200, a)
    same(a.json, {'hello': 'Wörld', 'runtime': language})
    check((a.header('content-type') or '').startswith('application/json'), a.headers)
    same(a.header('at-run-bundle'), cids[language])
    check(a.header('at-run-job'), a.headers)
    check(a.header('at-run-instance') in ('warm', 'blank', 'cold'), a.headers)
    check('sandbox' in (a.header('content-security-policy') or ''), a.headers)
    same(a.header('x-content-type-options'), 'nosniff')


def html_answer(base, language):
    a = call(url(base, language, 'html'))
    same((a.status, a.text, a.header('content-type'), a.header('x-own')),
         (200, '<h1>Grüße</h1>', 'text/html; charset=utf-8', 'yes'))


def binary_down(base, language):
    a = call(url(base, language, 'bytes'))
    same(a.status, 200, a)
    check(a.body == PATTERN, 'other bytes: %d of them' % len(a.body))


def binary_up(base, language):
    a = call(url(base, language, 'echo'), 'POST', PATTERN, [('Content-Type', 'application/x-own')])
    same(a.status, 200, a)
    check(a.body == PATTERN, 'other bytes came back: %d of them' % len(a.body))
    same(a.header('content-type'), 'application/x-own')


def chunked_up(base, language):
    a = call(url(base, language, 'inspect'), 'POST', PATTERN[:300000], [('Content-Type', 'application/x-own')], chunked=True)
    same((a.status, a.json['size'], a.json['type']), (200, 300000, 'application/x-own'), a)


def streaming(base, language, live=True):
    a, pieces = stream(url(base, language, 'stream'))
    same(a.status, 200, a)
    lines = a.text.split()
    check(len(lines) == 4 and lines[0] == 'first' and lines[2] == 'last', a)
    if live:
        arrived = pieces[0][0] * 1000
        check(arrived < int(lines[3]), 'the first chunk arrived %.0f ms after the last was written'
              % (arrived - int(lines[3])))


def post_form(base, language):
    a = call(url(base, language, 'form'), 'POST', b'name=%C3%9Cmit&more=1&more=2',
             [('Content-Type', 'application/x-www-form-urlencoded')])
    same((a.status, a.json), (200, {'name': 'Ümit', 'more': ['1', '2']}), a)


def head(base, language):
    a = call(url(base, language, 'html'), 'HEAD')
    same((a.status, a.body, a.header('content-type')), (200, b'', 'text/html; charset=utf-8'), a)


def thrown(base, language):
    a = call(url(base, language, 'fail'))
    check(a.status in (500, 502), a)
    check('this is meant to fail' in a.text, a)
    check(FILE[language] in a.text, 'no file and line of the bundle:', a)
    check('/tmp/' not in a.text and runner.home not in a.text, 'host paths in', a)


def own_status(base, language):
    a = call(url(base, language, 'teapot'))
    same((a.status, a.text, a.header('retry-after')), (418, 'short and stout', '7'), a)


def inspect(base, language):
    for method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE'):
        body = b'12345' if method in ('POST', 'PUT', 'PATCH') else None
        a = call(url(base, language, 'inspect', '/more/p%C3%A4th?a=1&b=%20x&a=2'), method, body,
                 [('X-Test', 'seen'), ('Content-Type', 'text/x-own')])
        same(a.status, 200, a)
        j = a.json
        same((j['method'], j['query'], j['header'], j['size'], j['type']),
             (method, '?a=1&b=%20x&a=2', 'seen', len(body or b''), 'text/x-own'), method)
        check(j['path'].endswith('/inspect/more/p%C3%A4th'), j)


def nothing(base, language):
    a = call(url(base, language, 'nothing'))
    same((a.status, a.body), (204, b''), a)


EVERY = [json_answer, html_answer, binary_down, binary_up, chunked_up, streaming, post_form, head, thrown, own_status,
         inspect, nothing]


def through(name, make, of, live=True, languages=LANGUAGES):
    """All of it through one web server, started with what `at-rund web-config` prints."""
    name += ' at ' + (of.base or '/')
    if not t.wanted('through ' + name) and t.pick:
        return
    made = []

    def up():
        made.append(make(where, of))
    t.run('through %s: starts with what web-config prints' % name, up)
    if not made:
        return
    for language in languages:
        for fn in EVERY:
            label = 'through %s: %s, %s' % (name, language, fn.__name__.replace('_', ' '))
            t.run(label, fn, made[0].url, language, *([live] if fn is streaming else []))
    if of.base:
        t.run('through %s: nothing above it, Location below it' % name, below, made[0])
    made[0].stop()


def below(w):
    a = call(url(w.root, 'node', 'json'))
    check(a.header('at-run-job') is None and 'runtime' not in a.text, 'without the base path:', a)
    a = call(url(w.url, 'node', 'json'), 'POST', b'', [('Prefer', 'respond-async')])
    check('/run/job/' in (a.header('location') or ''), a)


def through_own(_where, _runner):
    """The lighttpd of at-rund serve."""
    return type('Own', (), {'url': runner.url, 'stop': lambda self: None})()


SERVERS = (('lighttpd', lighttpd, True), ('apache', apache, True), ('caddy', caddy, True), ('nginx', nginx, True),
           ('.htaccess with mod_proxy_fcgi', htaccess_proxy, False), ('.htaccess with mod_fcgid', htaccess_fcgid, False),
           ('.htaccess with mod_cgid', htaccess_cgi, True), ('plain CGI', apache_cgi, True))


# ---- names and versions ----

def by_handle():
    same(call(url(runner.url, 'node', 'json', author='alice.test')).json['runtime'], 'node')
    same(call(url(runner.url, 'node', 'json', author='ALICE.test')).json['runtime'], 'node')


def by_version():
    a = call(url(runner.url, 'python', 'json', version='1.0.0'))
    same((a.status, a.json['runtime']), (200, 'python'), a)


def by_cid():
    a = call(url(runner.url, 'python', 'json', version=cids['python']))
    same((a.status, a.header('at-run-bundle')), (200, cids['python']), a)


def new_version():
    """latest follows the record; a pinned version stays."""
    first = alice.deploy('moves', b"export const v = () => 'one';\n", 'application/javascript', runtime=MIME['node'],
                         version='1.0.0', entry='main.mjs')
    address = runner.url + '/bundle/%s/moves/%s/v'
    same(call(address % (alice.did, 'latest')).json, 'one')  # what is no Response is JSON
    second = alice.deploy('moves', b"export const v = () => 'two';\n", 'application/javascript', runtime=MIME['node'],
                          version='2.0.0', entry='main.mjs')
    check(first != second)
    until(lambda: call(address % (alice.did, 'latest')).json == 'two', 'latest becomes the new version', 60)
    same(call(address % (alice.did, '1.0.0')).json, 'one')
    same(call(address % (alice.did, '2.0.0')).json, 'two')
    same(call(address % (alice.did, first)).json, 'one', 'by CID')


def archive(name):
    a = call('%s/bundle/%s/%s/latest/who' % (runner.url, alice.did, name))
    same((a.status, a.json), (200, 'from the archive'), a)


# ---- jobs ----

def task(endpoint):
    return '%s/bundle/%s/tasks/latest/%s' % (runner.url, alice.did, endpoint)


def respond_async():
    a = call(task('work'), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    location = a.header('location')
    check(location, a.headers)
    job = a.header('at-run-job')
    done = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=20' % (runner.url, job))
    same((done.status, done.json['state'], done.json['outcome']), (200, 'done', 'ok'), done)
    page = call(location if location.startswith('http') else runner.url + location)
    same(page.status, 200, page)
    check('worked' in json.dumps(done.json) or 'd29ya2Vk' in json.dumps(done.json), done)


def wait_is_long():
    """wait= holds until the job is done, not longer."""
    a = call(url(runner.url, 'node', 'sleep', '?ms=1200'), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    began = time.monotonic()
    done = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=20' % (runner.url, a.header('at-run-job')))
    same(done.json['state'], 'done', done)
    check(0.5 < time.monotonic() - began < 10 * SLOW, 'waited %.1f s' % (time.monotonic() - began))


def cancel():
    a = call(task('forever'), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job = a.header('at-run-job')
    until(lambda: call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json['state'] == 'running', 'it runs')
    c = post_json(runner.url + '/xrpc/dev.at-run.cancelJob', {'id': job})
    same(c.status, 200, c)
    done = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=10' % (runner.url, job))
    same((done.json['state'], done.json['outcome']), ('done', 'cancelled'), done)


def deadline():
    """The whole budget is one number; hitting it names the limit, its value and its key."""
    quick = Runner(where, name='quick', did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
        'limits': {'timeout': '2s'}})
    quick.init().start()
    try:
        for language in LANGUAGES:
            until(lambda: call(url(quick.url, language, 'json')).status == 200, language + ' answers', 30)
            a = call(url(quick.url, language, 'sleep', '?ms=20000'))
            same(a.status, 504, a)
            check('limits.timeout' in a.text and '2s' in a.text, 'limit, value and key:', a)
            check(a.seconds < 6 * SLOW, 'answered after %.1f s' % a.seconds)
            same(call(url(quick.url, language, 'json')).status, 200, 'the next call')
    finally:
        quick.stop()


def xrpc_invoke():
    query = 'author=%s&bundle=hello-node&version=latest&endpoint=json' % alice.did
    a = call('%s/xrpc/dev.at-run.invoke?%s' % (runner.url, query))
    same((a.status, a.json.get('runtime')), (200, 'node'), a)


def card():
    a = call(runner.url + '/xrpc/dev.at-run.describeRunner')
    same(a.status, 200, a)
    same((a.json['did'], a.json['handle']), (alice.did, 'alice.test'))
    check({r['name'] for r in a.json['runtimes']} >= set(LANGUAGES), a.json['runtimes'])
    for path in ('/health', '/ready'):
        same(call(runner.url + path).status, 200, path)
    same(call(runner.url + '/').status, 200, 'status page')


def log_lines():
    for language in LANGUAGES:
        a = call(url(runner.url, language, 'log'))
        same((a.status, a.text.strip('"')), (200, 'logged'), a)
        job = a.header('at-run-job')
        r = until(lambda: (lambda r: r if 'a line' in r.stdout else None)(runner.cli('job', 'logs', job)),
                  'log of ' + job)
        check('a line from' in r.stdout, language, r.stdout, r.stderr)


def stranger():
    """An author who is not on the list is refused before anything of theirs is fetched."""
    bob = pds.account('bob.test')
    bob.deploy('hello', b'export const x = () => 1;\n', 'application/javascript', runtime=MIME['node'], entry='main.mjs')
    a = call('%s/bundle/%s/hello/latest/x' % (runner.url, bob.did))
    same(a.status, 403, a)
    a = call('%s/bundle/%s/hello/latest/x' % (runner.url, bob.did), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 403, a)


def with_base():
    global based
    based = Runner(where, name='based', user='www-data', did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
        'limits': {'timeout': '20s'}, 'web': {'base_path': '/run'}})
    based.init().start()


def without_base():
    same(based.stop(), 0, 'exit status of serve: ' + based.tail(800))


def ledger():
    """What a stranger with sqlite3 sees."""
    r = subprocess.run(['sqlite3', '-readonly', '-header', runner.db, 'select * from v_jobs limit 5'],
                       capture_output=True, text=True, timeout=30)
    same(r.returncode, 0, r.stderr)
    lines = r.stdout.splitlines()
    check(len(lines) == 6, r.stdout)
    check('outcome' in lines[0] and 'hello-' in r.stdout, r.stdout)
    rows = runner.sql("SELECT count(*), sum(outcome = 'ok') FROM job WHERE state = 'done'")
    check(rows[0][1] > 10, rows)


def leaves_nothing():
    if runner is None:
        skip('nothing was started')
    rc = runner.stop()
    same(rc, 0, 'exit status of serve: ' + runner.tail(800))
    until(lambda: not processes_of(runner.home), 'every process is gone: %s' % processes_of(runner.home))
    same(runner.sql('PRAGMA integrity_check'), [('ok',)])
    same(runner.sql("SELECT count(*) FROM job WHERE state != 'done'"), [(0,)], 'jobs that are not done')


began = time.monotonic()
t.picked, t.pick = t.pick, []
t.run('a real PDS, an account, bundles in three languages, and at-rund serve', setup)
t.pick = t.picked
if runner is not None and runner.p:
    through('serve', through_own, runner)
    for name, make, live in SERVERS:
        through(name, make, runner, live, LANGUAGES if make in (lighttpd, apache, caddy, nginx) else ('node',))
    t.run('an author is named by handle', by_handle)
    t.run('a version is named by its record key', by_version)
    t.run('a version is named by its CID', by_cid)
    t.run('latest follows the record, pinned versions stay', new_version)
    t.run('a .tar.gz bundle', archive, 'tarred')
    t.run('a .zip bundle', archive, 'zipped')
    t.run('respond-async: 202, getJob, /job/id', respond_async)
    t.run('getJob waits until the job is done', wait_is_long)
    t.run('cancelJob stops a running job', cancel)
    t.run('the deadline stops a call and says which limit', deadline)
    t.run('dev.at-run.invoke is the same call', xrpc_invoke)
    t.run('the card, health and ready', card)
    t.run('what handlers print is in the log of the job', log_lines)
    t.run('an author who is not listed is refused', stranger)
    t.run('a runner below a path', with_base)
    if based is not None:
        for name, make, live in SERVERS:
            through(name, make, based, live, ('node',))
        t.run('the runner below a path stops', without_base)
    t.run('the ledger reads like one', ledger)
    t.run('stop leaves no process, no open job, a whole database', leaves_nothing)
print('test_main_job: %.0f s' % (time.monotonic() - began))
t.end()
