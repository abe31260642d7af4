#!/usr/bin/env python3
"""Callbacks: the end of a job comes to whoever was named, signed, at least once, and to nobody else."""
import base64
import os
import queue
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from land import PUBLIC, Land, hits, why_not  # noqa: E402

NODE = 'application/javascript+node'
PROBE = os.path.join(BUILD, 'tests', 'fetch_probe')
CODE = b"""
const sleep = (ms) => new Promise((d) => setTimeout(d, ms));
export const echo = async (r) => new Response(await r.text() + ' ' + r.headers.get('at-run-callback'), { status: 201, headers: { 'x-own': 'yes' } });
export const bytes = () => new Response(new Uint8Array([0, 255, 1]));
export const large = (r) => new Response('x'.repeat(Number(new URL(r.url).searchParams.get('n'))));
export const stream = () => new Response(new ReadableStream({ async start(c) {
  for (const word of ['one ', 'two']) { c.enqueue(new TextEncoder().encode(word)); await sleep(60); } c.close(); } }));
export const fails = () => { throw new TypeError('on purpose'); };
export const dies = () => { process.kill(process.pid, 'SIGKILL'); return sleep(5000); };
export const nap = async (r) => { await sleep(Number(new URL(r.url).searchParams.get('ms'))); return new Response('rested'); };
export const slowly = async () => { await sleep(60000); };
export { echo as task };
"""
ENDPOINTS = {'echo': {}, 'bytes': {}, 'large': {}, 'stream': {}, 'fails': {}, 'slowly': {}, 'nap': {}, 'task': {'task': True},
             'dies': {'idempotent': True, 'attempts': 5, 'backoffMs': 10}}
t = Cases()
where = scratch()
pds = runner = alice = hook = None


class Hook:
    """A receiver.  What each path answers is a list of functions of send, the last of them for ever."""

    def __init__(self):
        self.answers, self.heard = {}, {}
        self.web = Serve(self.take)

    def url(self, *answers):
        path = '/' + word()
        self.answers[path] = list(answers) or [lambda send: send(204)]
        self.heard[path] = queue.Queue()
        return self.web.url + path

    def take(self, method, path, headers, body, send):
        self.heard[path].put((method, headers, body))
        todo = self.answers[path]
        (todo.pop(0) if len(todo) > 1 else todo[0])(send)

    def get(self, url, seconds=20):
        try:
            method, headers, body = self.heard[url[len(self.web.url):]].get(timeout=seconds * SLOW)
        except queue.Empty:
            raise Failed('nobody called %s back; %s' % (url, runner.tail(1500)))
        same((method, headers['content-type'], headers['at-run-job']), ('POST', 'application/json', json.loads(body)['id']))
        same(headers['idempotency-key'], '"%s"' % json.loads(body)['id'])
        return headers, body

    def count(self, url):
        return self.heard[url[len(self.web.url):]].qsize()


def setup():
    global pds, runner, alice, hook
    pds = Pds(where)
    alice = pds.account('alice.test')
    alice.deploy('calls', CODE, 'application/javascript', runtime=NODE, entry='main.mjs', endpoints=ENDPOINTS,
                 callbacks=['hooks.example.com', '*.example.org:8443'], permissions={'net': ['api.example.com']})
    runner = Runner(where, user='www-data', handle=alice.handle, sections={
        'access': {'mode': 'open'}, 'limits': {'timeout': '20s'}, 'jobs': {'poison': '2', 'backoff': '10ms'}, 'web': {'metrics': 'on'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
        'callbacks': {'backoff': '40ms', 'backoff_max': '200ms', 'attempts': '4', 'timeout': '2s', 'body': '1K'},
        'egress': {'deny': ['denied.example.org']}})
    runner.conf_top['did'] = 'did:web:localhost%%3A%d' % runner.port
    runner.conf_top['operator'] = alice.did
    runner.conf_top['isolation'] = 'none'
    runner.init().start()
    runner.env['AT_RUND_DEV'] = '1'
    hook = Hook()
    until(lambda: ask('echo', None).status == 201, 'the bundle answers', 60)


def ask(endpoint, callback, rest='', body=b'it', async_=False, headers=()):
    return call('%s/bundle/%s/calls/latest/%s%s' % (runner.url, alice.did, endpoint, rest), 'POST', body,
                list(headers) + ([('At-Run-Callback', callback)] if callback is not None else []) +
                ([('Prefer', 'respond-async')] if async_ else []))


def accepted(endpoint, callback, **how):
    a = ask(endpoint, callback, async_=True, **how)
    same(a.status, 202, a)
    return a.json['id']


def state(job):
    return call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json.get('callback')


def comes_to(job, word, seconds=20):
    """The callback of the job is in that state; what getJob says of it."""
    return until(lambda: (lambda c: c if c and c['state'] == word else None)(state(job)), 'callback %s' % word, seconds)


def cli(*args):
    r = runner.cli(*args, '--json')
    check(r.returncode == 0, args, r.stdout, r.stderr)
    return json.loads(r.stdout)


def verify(headers, body, url, *args):
    node, _ = pds_node()
    return subprocess.run([node, os.path.join(ROOT, 'contrib', 'verify-callback.mjs'), '--signature', headers['at-run-signature'],
                           '--url', url, *args], input=body, capture_output=True, timeout=60, env=clean_env())


# ---- what comes ----

def told():
    url = hook.url()
    job = accepted('echo', url)
    headers, body = hook.get(url)
    said = json.loads(body)
    same((said['type'], said['id'], said['outcome'], said['endpoint'], said['runner'], said['starts']),
         ('job.done', job, 'ok', 'echo', runner.conf_top['did'], 1))
    result = said['result']
    # The header is for the runner alone.
    same((result['status'], result['body'], result['bytes'], result['streamed']), (201, 'it null', 7, False))
    check(['x-own', 'yes'] in result['headers'], result)
    same(said['location'], '%s/job/%s' % (runner.url, job))
    same(call(result['location']).text, 'it null')
    same(call(said['location']).json['did'], said['did'])
    check(said['createdAt'] <= said['admittedAt'] <= said['startedAt'] <= said['doneAt'], said)
    c = comes_to(job, 'delivered')
    same((c['url'], c['attempts'], c['status']), (url, 1, 204), c)
    one = cli('job', 'show', job)
    same((one['callback'], one['callback_state'], one['callback_status']), (url, 'delivered', 204))
    same([x['state'] for x in cli('callback', 'list')['callbacks'] if x['id'] == job], ['delivered'])
    p = verify(headers, body, url)
    check(p.returncode == 0, p.stderr)
    claims = json.loads(p.stdout)
    same((claims['runner'], claims['job'], claims['url'], claims['attempt']), (runner.conf_top['did'], job.split('-')[0], url, 1))


def forged():
    url = hook.url()
    accepted('echo', url)
    headers, body = hook.get(url)
    same(verify(headers, body, url, '--runner', runner.url).returncode, 0)
    same(verify(headers, body, url, '--did', runner.conf_top['did']).returncode, 0)
    sig = headers['at-run-signature']
    receipt = ask('echo', None, headers=[('At-Run-Receipt', '1')]).header('at-run-receipt')
    for bad, of, where_, args in ((sig, body + b' ', url, ()), (sig, body, url + 'x', ()), (sig[:-8] + 'AAAAAAAA', body, url, ()),
                                  (sig, body, url, ('--key', 'z6Mk' + '1' * 44)), (sig, body, url, ('--did', alice.did)),
                                  (receipt, body, url, ()), ('x', body, url, ())):
        p = verify({'at-run-signature': bad}, of, where_, *args)
        same(p.returncode, 1, (p.stdout, p.stderr))
    # And the other way round: it is no receipt.
    same(json.loads(runner.cli('receipt', 'verify', '--json', stdin=sig).stderr)['error'], 'ReceiptMalformed')


def kinds():
    """Also when somebody waits, of tasks, bytes, what is too long to go along, and streams."""
    url = hook.url()
    a = ask('echo', url)
    same((a.status, a.text), (201, 'it null'))
    same(json.loads(hook.get(url)[1])['result']['body'], 'it null')
    url = hook.url()
    same(ask('task', url).status, 202)
    same(json.loads(hook.get(url)[1])['endpoint'], 'task')
    url = hook.url()
    accepted('bytes', url)
    same(json.loads(hook.get(url)[1])['result']['bodyBase64'], 'AP8B')
    for n, goes_along in ((1024, True), (1025, False)):
        url = hook.url()
        accepted('large', url, rest='?n=%d' % n)
        result = json.loads(hook.get(url)[1])['result']
        same((result['bytes'], 'body' in result), (n, goes_along))
        same(len(call(result['location']).body), n)
    url = hook.url()
    accepted('stream', url)
    result = json.loads(hook.get(url)[1])['result']
    same((result['streamed'], call(result['location']).text), (True, 'one two'))
    # Also when its caller has read it: what is told of is kept.
    url = hook.url()
    a, pieces = stream('%s/bundle/%s/calls/latest/stream' % (runner.url, alice.did), headers=[('At-Run-Callback', url)])
    same((len(pieces) > 1, a.text), (True, 'one two'), pieces)
    same(call(json.loads(hook.get(url)[1])['result']['location']).text, 'one two')


def leaves():
    """Who waits may leave: it goes on, and is told.  By XRPC and behind Apache too."""
    url = hook.url()
    host, port, path = split('%s/bundle/%s/calls/latest/nap?ms=400' % (runner.url, alice.did))
    with socket.create_connection((host, port), timeout=20) as s:
        s.sendall(b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAt-Run-Callback: %s\r\n\r\n' % (path.encode(), url.encode()))
        until(lambda: runner.sql("select 1 from job where endpoint = 'nap' and state = 'running'"), 'it runs')
    said = json.loads(hook.get(url)[1])
    same((said['outcome'], said['result']['body']), ('ok', 'rested'))
    url = hook.url()
    a = call('%s/xrpc/dev.at-run.invoke?author=%s&bundle=calls&endpoint=echo' % (runner.url, alice.did), 'POST', b'x',
             [('At-Run-Callback', url), ('Prefer', 'respond-async')])
    same((a.status, json.loads(hook.get(url)[1])['id']), (202, a.json['id']), a)
    web = apache(where, runner)
    url = hook.url()
    a = call('%s/bundle/%s/calls/latest/echo' % (web.url, alice.did), 'POST', b'x', [('At-Run-Callback', url)])
    said = json.loads(hook.get(url)[1])
    same((a.status, said['location']), (201, '%s/job/%s' % (web.url, said['id'])), a)


def other_ends():
    url = hook.url()
    accepted('fails', url)
    said = json.loads(hook.get(url)[1])
    same((said['outcome'], said['error'], said['message'][:10], 'result' in said), ('error', 'TypeError', 'on purpose', False))
    url = hook.url()
    accepted('dies', url)
    said = json.loads(hook.get(url)[1])
    same((said['outcome'], said['error'], said['starts']), ('killed', 'JobPoisoned', 2))
    url = hook.url()
    job = accepted('slowly', url)
    until(lambda: call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json['state'] == 'running', 'it runs')
    post_json(runner.url + '/xrpc/dev.at-run.cancelJob', {'id': job})
    said = json.loads(hook.get(url)[1])
    same((said['outcome'], said['error']), ('cancelled', 'JobCancelled'))


# ---- receivers that fail ----

def comes_back():
    """500s and then a good answer: the same bytes each time, another signature."""
    bad = [lambda send: send(500), lambda send: send(503, {'Retry-After': '1'}), lambda send: send(200)]
    url = hook.url(*bad)
    job = accepted('echo', url)
    got = [hook.get(url) for _ in range(3)]
    same(len({body for _, body in got}), 1)
    claims = [json.loads(verify(h, b, url).stdout) for h, b in got]
    same([c['attempt'] for c in claims], [1, 2, 3])
    check(claims[2]['signedAt'] > claims[1]['signedAt'] and comes_to(job, 'delivered')['attempts'] == 3, claims)
    # Retry-After counts, although the own waits are far shorter.
    parse = lambda s: time.mktime(time.strptime(s[:19], '%Y-%m-%dT%H:%M:%S')) + int(s[20:23]) / 1000
    check(parse(claims[2]['signedAt']) - parse(claims[1]['signedAt']) >= 1, claims)


def rotated():
    """The key is another between two attempts; the DID document knows both."""
    asked_, go = threading.Event(), threading.Event()

    def first(send):
        asked_.set()
        go.wait(20 * SLOW)
        send(500)
    url = hook.url(first, lambda send: send(204))
    job = accepted('echo', url)
    check(asked_.wait(20 * SLOW))
    same(runner.cli('secret', 'rotate', '--receipts').returncode, 0)
    until(lambda: runner.sql("select count(*) from v_keys where use = 'receipts'") == [(2,)], 'the new key is known')
    go.set()
    got = [hook.get(url) for _ in range(2)]
    kids = [json.loads(base64.urlsafe_b64decode(h['at-run-signature'].split('.')[0] + '=='))['kid'] for h, _ in got]
    check(kids[0] != kids[1], kids)
    for headers, body in got:
        p = verify(headers, body, url)
        same(p.returncode, 0, p.stderr)
    comes_to(job, 'delivered')


def down_then_up():
    port = free_port()
    url = 'http://localhost:%d/hook' % port
    job = accepted('echo', url)
    c = comes_to(job, 'failed')
    same((c['attempts'], c.get('status')), (4, None), c)
    check('localhost' in c['error'], c)
    same([x['row'] for x in cli('callback', 'list', '--state', 'failed')['callbacks']][:1], [int(job.split('-')[0])])
    heard = queue.Queue()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port))
    s.listen()

    def serve():
        c, _ = s.accept()
        with c:
            heard.put(c.recv(65536))
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    threading.Thread(target=serve, daemon=True).start()
    same(runner.cli('callback', 'retry', job).returncode, 0)
    check(heard.get(timeout=20 * SLOW).startswith(b'POST /hook HTTP/1.1\r\n'))
    same(comes_to(job, 'delivered')['attempts'], 1)
    s.close()


def final():
    """410 and redirects: nobody is asked where the receiver points."""
    elsewhere = hook.url()
    url = hook.url(lambda send: send(410))
    job = accepted('echo', url)
    same(comes_to(job, 'failed')['attempts'], 1)
    url = hook.url(lambda send: send(307, {'Location': elsewhere}))
    c = comes_to(accepted('echo', url), 'failed')
    same((c['attempts'], c['status'], c['error']), (4, 307, 'the receiver answers 307; redirects are not followed'), c)
    same(hook.count(elsewhere), 0)


def no_end():
    """Answers that never end: a status is enough, none within the time is not."""
    def endless(send):
        send.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
        with contextlib.suppress(OSError):
            while True:
                send.raw(b'x' * 65536)

    def drips(send):
        send.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx')
        hook.web.closing.wait(30 * SLOW)

    def headers(send):
        send.raw(b'HTTP/1.1 ')
        hook.web.closing.wait(30 * SLOW)
    jobs = [(accepted('echo', hook.url(fn)), word) for fn, word in ((endless, 'delivered'), (drips, 'delivered'))]
    slow = accepted('echo', hook.url(headers, lambda send: send(204)))
    for job, word in jobs:
        same(comes_to(job, word)['attempts'], 1)
    same(comes_to(slow, 'delivered')['attempts'], 2)


def others_go_on():
    """A receiver that hangs keeps nobody else waiting."""
    stuck = threading.Event()
    bad = hook.url(lambda send: stuck.wait(30 * SLOW) and send(204))
    jobs = [accepted('echo', bad.replace('localhost', '127.0.0.1')) for _ in range(6)]
    good = hook.url()
    job = accepted('echo', good)
    comes_to(job, 'delivered', 5)
    check(all(state(j)['state'] == 'due' for j in jobs), [state(j) for j in jobs])
    stuck.set()
    for j in jobs:
        comes_to(j, 'delivered')


# ---- kills ----

def kill(*names):
    found = family(runner.p.pid)
    hit = []
    for pid, argv in found.items():
        role = argv[argv.index('--role') + 1] if '--role' in argv else os.path.basename(argv[0])
        if role in names:
            os.kill(pid, signal.SIGKILL)
            hit.append(role)
    same(sorted(hit), sorted(names), found)


def killed(*names):
    """Between the job's end and the receiver's answer."""
    held = threading.Event()
    url = hook.url(lambda send: held.wait(30 * SLOW), lambda send: send(204))
    job = accepted('echo', url)
    first = hook.get(url)
    kill(*names)
    again = hook.get(url, 40)
    held.set()
    same(first[1], again[1])
    same(first[0]['idempotency-key'], again[0]['idempotency-key'])
    same(comes_to(job, 'delivered')['attempts'], 1)
    until(runner.is_ready, 'the runner', 30)


def killed_before():
    """What became due while nobody could send it."""
    url = hook.url()
    down = accepted('slowly', url)
    until(lambda: call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, down)).json['state'] == 'running', 'it runs')
    kill('at-rund-scheduler')
    said = json.loads(hook.get(url, 40)[1])
    same((said['id'], said['outcome'], said['error']), (down, 'lost', 'RunnerFailed'))
    until(runner.is_ready, 'the runner', 30)


def many():
    """Nothing fails, so each is told once, however many end at a time; to two hosts, four at once."""
    urls = [hook.url(), hook.url().replace('localhost', '127.0.0.1')]
    jobs, lock = [], threading.Lock()

    def calls(n):
        for i in range(20):
            job = accepted('echo', urls[i % 2])
            with lock:
                jobs.append(job)
    threads = [threading.Thread(target=calls, args=(n,)) for n in range(5)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    for job in jobs:
        comes_to(job, 'delivered')
    urls[1] = urls[1].replace('127.0.0.1', 'localhost')
    heard = [json.loads(hook.get(u)[1])['id'] for u in urls for _ in range(hook.count(u))]
    same(sorted(heard), sorted(jobs), 'told')


def storm():
    """Whatever was accepted while all of it is killed again and again is told, and what is told was accepted."""
    url = hook.url()
    jobs, end = [], threading.Event()

    def calls():
        while not end.is_set():
            with contextlib.suppress(OSError, Failed, http.client.HTTPException):
                a = ask('echo', url, async_=True)
                if a.status == 202:
                    jobs.append(a.json['id'])
            end.wait(0.03)
    threads = [threading.Thread(target=calls) for _ in range(3)]
    for th in threads:
        th.start()
    for names in (('fetcher',), ('at-rund-scheduler',), ('fetcher', 'at-rund-scheduler'), ('at-rund.fcgi',), ('at-rund-scheduler', 'at-rund.fcgi')):
        n = len(jobs)
        until(lambda: len(jobs) > n + 5, 'calls are taken', 40)
        with contextlib.suppress(Failed):  # one of them may just have gone
            kill(*names)
    end.set()
    for th in threads:
        th.join()
    until(runner.is_ready, 'the runner', 40)
    until(lambda: runner.sql("select count(*) from v_callbacks where url = ? and state <> 'delivered' and state <> 'void'", url) == [(0,)],
          'all are told', 60)
    heard = [json.loads(hook.get(url)[1])['id'] for _ in range(hook.count(url))]
    same(sorted(set(jobs) - set(heard)), [], 'accepted and not told')
    known = {r[0] for r in runner.sql('select id from v_callbacks where url = ?', url)}
    check(set(heard) <= known, 'told and not known')
    print('  %d accepted, %d told, %d of them again' % (len(jobs), len(set(heard)), len(heard) - len(set(heard))))


# ---- who may be called ----

def refused():
    before = runner.sql('select count(*) from v_callbacks')[0][0]
    for url, status, name in (
            ('https://evil.example.net/', 403, 'CallbackNotAllowed'), ('https://hooks.example.com:8443/', 403, 'CallbackNotAllowed'),
            ('https://sub.hooks.example.com/', 403, 'CallbackNotAllowed'), ('https://denied.example.org:8443/', 403, 'CallbackNotAllowed'),
            ('https://a.example.org/', 403, 'CallbackNotAllowed'), ('x', 400, 'CallbackInvalid'),
            ('https://user@hooks.example.com/', 400, 'CallbackInvalid'), ('https://hooks.example.com/#f', 400, 'CallbackInvalid'),
            ('https://169.254.169.254/', 400, 'CallbackInvalid'), ('ftp://hooks.example.com/', 400, 'CallbackInvalid'),
            ('https://hooks.example.com/' + 'x' * 2048, 400, 'CallbackInvalid'), ('https://10.0.0.1/', 400, 'CallbackInvalid')):
        for async_ in (True, False):
            a = ask('echo', url, async_=async_)
            same((a.status, a.error), (status, name), url[:80])
    same(runner.sql("select count(*), sum(state = 'void') from v_callbacks where row > 0")[0], (before + 10, 10))
    a = ask('echo', 'https://hooks.example.com/' + 'x' * 2048)
    check('2048' in a.json['message'], a)
    # Refused for another reason: nobody is told either.
    url = hook.url()
    a = ask('none', url, async_=True)
    same((a.status, a.error), (404, 'EndpointNotFound'), a)
    same(hook.count(url), 0)
    same(cli('callback', 'list', '--limit', '1')['callbacks'][0]['state'], 'void')
    r = runner.cli('callback', 'retry', a.header('At-Run-Job'))
    same((r.returncode != 0, 'never accepted' in r.stderr), (True, True), r)


def allowed():
    """Listed hosts pass admission; that no name of them leads anywhere here is told by the callback."""
    for url in ('https://hooks.example.com/x', 'https://a.example.org:8443/', 'https://api.example.com/'):
        comes_to(accepted('echo', url), 'due', 5)


def keyed():
    """The same key with another callback is another request."""
    url, other = hook.url(), hook.url()
    key = [('Idempotency-Key', word())]
    first = accepted('echo', url, headers=key)
    same(accepted('echo', url, headers=key), first)
    a = ask('echo', other, async_=True, headers=key)
    same((a.status, a.error), (422, 'IdempotencyKeyReused'), a)
    hook.get(url)
    comes_to(first, 'delivered')
    same((hook.count(url), hook.count(other)), (0, 0))


def made_again():
    url = hook.url()
    job = accepted('fails', url)
    hook.get(url)
    same(runner.cli('job', 'retry', job).returncode, 0)
    said = json.loads(hook.get(url)[1])
    check(said['id'] != job and said['rerunOf'] == job, said)
    comes_to(said['id'], 'delivered')
    same(runner.cli('job', 'purge', '--all', '--outcome', 'error').returncode, 0)
    until(lambda: runner.sql('select count(*) from v_callbacks where id = ?', job)[0][0] == 0, 'it goes with its job')


def counted():
    text = until(lambda: (lambda s: s if 'at_rund_callbacks_total{result="delivered"}' in s else None)(
        call(runner.url + '/metrics').text), 'the counter')
    for result in ('delivered', 'put_off', 'failed'):
        check(re.search(r'at_rund_callbacks_total\{result="%s"\} \d+' % result, text), text[-2000:])


def inward():
    """The fetcher in a world of its own: no private address, however it is named; and without --dev no loopback either."""
    why = why_not()
    if why:
        skip(why)
    names = ['private', 'meta', 'zero', 'mixed', 'mapped', 'mixed6', 'nat64', 'inward']

    def post(land, *urls, dev='1'):
        bundles = os.path.join(land.dir, 'bundles')
        os.makedirs(bundles, exist_ok=True)
        argv = land.at_home(PROBE, '--dir', bundles, '--dev', dev, '--deadline', '5000')
        p = subprocess.run(argv + [w for u in urls for w in (u, '+post', '{}')], capture_output=True, text=True, timeout=60, env=clean_env())
        check(p.returncode == 0, p.stderr[-2000:])
        answers = {a['id']: a for a in map(json.loads, p.stdout.splitlines())}
        return [answers[i + 1] for i in range(len(urls))]
    with Land() as land:
        # .test is for developers: with --dev loopback is fine, and all else is as strict.
        good, = post(land, 'http://public.test/')
        same((good['ok'], good['status']), (True, 200), good)
        before = hits(land.dir)
        for a, n in zip(post(land, *['http://%s.test/' % n for n in names]), names):
            same((a['ok'], a['name']), (False, 'CallbackDenied'), (n, a))
            check('not on the public internet' in a['message'], n, a)
        same(hits(land.dir), before, 'nobody was reached')
        for a in post(land, 'http://public.example.org/', 'https://public.test/', 'https://%s/' % PUBLIC, 'https://localhost/', dev='0'):
            same((a['ok'], a['name']), (False, 'CallbackInvalid'), a)
        for a in post(land, *['https://%s.example.org/' % n for n in ('private', 'loop', 'mapped-loop')], dev='0'):
            same((a['ok'], a['name']), (False, 'CallbackDenied'), a)
        same(hits(land.dir), before, 'nobody was reached')
        # Nobody there speaks TLS, but this one was asked.
        same(post(land, 'https://public.example.org/', dev='0')[0]['ok'], False)
        same(hits(land.dir)[len(before):], [[PUBLIC, '443']])


def farewell():
    """With one under way: it is told after the next start."""
    held = threading.Event()
    url = hook.url(lambda send: held.wait(30 * SLOW), lambda send: send(204))
    job = accepted('echo', url)
    hook.get(url)
    same(runner.stop(), 0, runner.tail())
    check('Sanitizer' not in runner.tail(20000), runner.tail(20000))
    held.set()
    runner.start()
    hook.get(url)
    comes_to(job, 'delivered')


try:
    setup()
    t.run('the end of a job comes, signed, with its answer; every view tells so', told)
    t.run('nothing else than what the runner signed verifies, and no signature is another kind of word', forged)
    t.run('calls that somebody waits for, tasks, bytes, long answers and streams', kinds)
    t.run('who waits may leave; by XRPC and behind Apache', leaves)
    t.run('a job that fails, is set aside or is cancelled', other_ends)
    t.run('a receiver that fails is asked again, and not before it wants to be', comes_back)
    t.run('the key is rotated between two attempts', rotated)
    t.run('a receiver that is down, then up: given up, and told once more when a person wants it', down_then_up)
    t.run('410 ends it, and a redirect is not followed', final)
    t.run('an answer without an end', no_end)
    t.run('a receiver that hangs holds up nobody else', others_go_on)
    t.run('the fetcher is killed under a callback', killed, 'fetcher')
    t.run('the scheduler is killed under a callback', killed, 'at-rund-scheduler')
    t.run('a job that dies with its scheduler is told as lost', killed_before)
    t.run('many at once, each once', many)
    t.run('everything is killed again and again', storm)
    t.run('hosts that nobody has listed, and what is no URL, are refused before anything runs', refused)
    t.run('hosts of the bundle and of its permissions pass', allowed)
    t.run('an Idempotency-Key holds the callback too', keyed)
    t.run('a job made again is told as such; a callback goes with its job', made_again)
    t.run('counters', counted)
    t.run('a runner that is stopped and started', farewell)
    t.run('no name leads inward', inward)
except Skipped as e:
    t.run('callbacks', skip, str(e))
t.end()
