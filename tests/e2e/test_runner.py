#!/usr/bin/env python3
"""The runner's name and its word: did.json, card, the record in its operator's repository, and signed receipts."""
import base64
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

NODE = 'application/javascript+node'
CODE = b'''
export const echo = async (request) => new Response(await request.text(), { status: 201, headers: { 'content-type': 'text/plain' } });
export const forge = () => new Response('x', { headers: { 'At-Run-Receipt': 'forged', 'At-Run-Job': '1' } });
export const stream = () => new Response(new ReadableStream({ async start(c) {
	for (const word of ['one ', 'two ', 'three']) { c.enqueue(new TextEncoder().encode(word)); await new Promise((d) => setTimeout(d, 60)); }
	c.close(); } }));
export const flood = () => { let n = 0; return new Response(new ReadableStream({ pull(c) {
	if (n++ === 80) c.close(); else c.enqueue(new Uint8Array(65536).fill(n)); } })); };
export const fail = () => { throw new Error('no'); };
export const nothing = () => null;
'''

BAD = b'''
export const fail = () => { throw new TypeError('gr\xc3\xbc\xc3\x9fe'); };
export const hang = () => new Promise(() => setTimeout(() => {}, 60000));
export const die = () => process.exit(3);
export const much = () => 'x'.repeat(5000);
'''

t = Cases()
where = scratch()
pds = runner = alice = None
cid = None


def setup():
    global pds, runner, alice, cid
    pds = Pds(where)
    alice = pds.account('alice.test')
    cid = alice.deploy('word', CODE, 'text/plain', runtime=NODE, entry='main.mjs')
    alice.deploy('bad', BAD, 'text/plain', runtime=NODE, entry='main.mjs', limits={'responseBytes': 1000},
                 endpoints={'fail': {}, 'hang': {'timeoutMs': 600}, 'die': {}, 'much': {}})
    runner = Runner(where, user='www-data', handle=alice.handle, sections={
        'access': {'mode': 'open'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]}})
    runner.conf_top['did'] = 'did:web:localhost%%3A%d' % runner.port
    runner.conf_top['operator'] = alice.did
    runner.init().start()
    runner.env['AT_RUND_DEV'] = '1'
    until(lambda: len(keys()) == 2, 'the public keys in the ledger')


def path(endpoint, rest=''):
    return '/bundle/%s/word/latest/%s%s' % (alice.did, endpoint, rest)


def ask(endpoint, method='GET', body=None, rest='', receipt=True, headers=()):
    return call(runner.url + path(endpoint, rest), method, body,
                list(headers) + ([('At-Run-Receipt', '1')] if receipt else []))


def claims(receipt):
    part = receipt.split('.')[1]
    return json.loads(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)))


def written(name, data):
    p = os.path.join(where, name)
    with open(p, 'wb') as f:
        f.write(data)
    os.chmod(p, 0o644)
    return p


def keys():
    return {use: key for key, use in runner.sql("select key, use from v_keys where state = 'current'")}


# ---- the name ----

def document():
    a = call('http://localhost:%d/.well-known/did.json' % runner.port)
    same((a.status, a.header('content-type')), (200, 'application/json'), a)
    d, did = a.json, runner.conf_top['did']
    same(d['id'], did)
    same([(s['id'], s['serviceEndpoint']) for s in d['service']], [('#at_run', 'http://localhost:%d' % runner.port)])
    same([(k['id'], k['type'], k['controller'], k['publicKeyMultibase']) for k in d['keyAgreement']],
         [(did + '#secrets-1', 'Multikey', did, keys()['secrets'])])
    same([(k['id'], k['publicKeyMultibase']) for k in d['verificationMethod']], [(did + '#receipts-1', keys()['receipts'])])
    same(d['assertionMethod'], [did + '#receipts-1'])


def resolved():
    """The resolver of the AT Protocol's own packages reads it."""
    node, modules = pds_node()
    p = subprocess.run([node, '-e', '''
const { createRequire } = require('node:module');
const { DidResolver, getDid } = createRequire(process.env.M + '/from.cjs')('@atproto/identity');
new DidResolver({}).resolve(process.argv[1]).then((d) => console.log(JSON.stringify(d)), (e) => { console.error(e); process.exit(1); });
''', runner.conf_top['did']], capture_output=True, text=True, timeout=60, env=dict(clean_env(), M=modules))
    check(p.returncode == 0, p.stderr[-800:])
    same(json.loads(p.stdout)['service'][0]['id'], '#at_run')


def card():
    c = call(runner.url + '/xrpc/dev.at-run.describeRunner').json
    same((c['did'], c['operator']), (runner.conf_top['did'], alice.did))
    same(c['keys'], {'secrets': [keys()['secrets']], 'receipts': [keys()['receipts']]})


def unannounced():
    r = runner.cli('whoami')
    same(r.returncode, 69, r)
    check(re.search(r'missing +operator.s record .*\n +there is no such record: at-rund publish', r.stdout), r.stdout)
    check('ok       DID document' in r.stdout and "ok       runner's card" in r.stdout, r.stdout)


def dry_run():
    r = runner.cli('publish', '--dry-run')
    check(r.returncode == 0, r.stderr)
    d = json.loads(r.stdout)
    same((d['repo'], d['collection'], d['rkey']), (alice.did, 'dev.at-run.runner', runner.conf_top['did'].replace('%', '~')))
    record = d['record']
    same((record['service'], record['url']), (runner.conf_top['did'] + '#at_run', 'http://localhost:%d' % runner.port))
    same((record['publicKey'], record['signingKey']), (keys()['secrets'], keys()['receipts']))
    check(NODE in record['runtimes'], record)


def published():
    r = runner.cli('publish', stdin='wrong password\n')
    check(r.returncode != 0 and 'wrong password' not in r.stderr and '401' in r.stderr, r)
    made = pds.xrpc('com.atproto.server.createAppPassword', {'name': 'at-rund'}, alice)
    r = runner.cli('publish', '--password-file', written('app-password', made['password'].encode() + b'\n'))
    check(r.returncode == 0 and r.stdout.startswith('at://%s/dev.at-run.runner/' % alice.did), r)
    r = runner.cli('whoami')
    same((r.returncode, 'missing' in r.stdout), (0, False), r)
    r = runner.cli('whoami', '--json')
    same(json.loads(r.stdout)['complete'], True)


def stale():
    """After a rotation the record is old until it is published again."""
    r = runner.cli('secret', 'rotate')
    check(r.returncode == 0, r.stderr)
    until(lambda: runner.sql("select count(*) from v_keys where use = 'secrets' and state <> 'gone'") == [(2,)], 'two keys')
    r = runner.cli('whoami')
    check(r.returncode == 69 and 'it shows old keys: at-rund publish' in r.stdout, r)
    same(len(call('http://localhost:%d/.well-known/did.json' % runner.port).json['keyAgreement']), 2)
    with open(os.path.join(where, 'app-password')) as f:
        r = runner.cli('publish', stdin=f.read())
    check(r.returncode == 0, r.stderr)
    same(runner.cli('whoami').returncode, 0)


# ---- receipts ----

def verify(receipt, *args):
    return runner.cli('receipt', 'verify', *args, stdin=receipt + '\n')


def signed():
    body = 'grüße \x01'.encode()
    a = ask('echo', 'POST', body, '?a=%20b')
    same((a.status, a.body), (201, body), a)
    receipt = a.header('at-run-receipt')
    check(receipt, a.headers)
    c = claims(receipt)
    same({k: c[k] for k in ('runner', 'bundle', 'cid', 'caller', 'method', 'target', 'request', 'response', 'status', 'streamed')},
         {'runner': runner.conf_top['did'], 'bundle': 'at://%s/dev.at-run.bundle/word' % alice.did, 'cid': cid, 'caller': None,
          'method': 'POST', 'target': path('echo', '?a=%20b'), 'request': cid_raw(body), 'response': cid_raw(body),
          'status': 201, 'streamed': False})
    same(c['job'], a.header('at-run-job').split('-')[0])
    check(c['createdAt'] <= c['startedAt'] <= c['doneAt'], c)
    r = verify(receipt, '--method', 'POST', '--target', path('echo', '?a=%20b'), '--body', written('body', body),
               '--answer', written('answer', body), '--status', '201', '--bundle', cid)
    check(r.returncode == 0 and 'valid: signed by ' + runner.conf_top['did'] in r.stdout, r)
    same(verify(receipt, '--url', runner.url).returncode, 0)
    same(verify(receipt, '--key', keys()['receipts']).returncode, 0)
    # The same stands in getJob.
    same(call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, a.header('at-run-job'))).json['receipt'], receipt)


def streamed_request():
    """The request's hash is over all of its body, also when that came in pieces; who answers before its end has no receipt."""
    body = ('grüße ' * 400000).encode()
    a = ask('echo', 'POST', body)
    same((a.status, len(a.body)), (201, len(body)), a)
    job = a.header('at-run-job')
    same(runner.sql('SELECT body FROM request WHERE job = ?', int(job.split('-')[0])), [(None,)])
    c = claims(call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json['receipt'])
    same((c['request'], c['response']), (cid_raw(body), cid_raw(body)))
    a = ask('nothing', 'POST', body)
    same((a.status, a.header('at-run-receipt')), (204, None), a)


def other_ways():
    """By XRPC the receipt is for the same call on /bundle; HEAD has no body to speak of."""
    a = call('%s/xrpc/dev.at-run.invoke?author=%s&bundle=word&version=latest&endpoint=echo&q=1' % (runner.url, alice.did), 'POST',
             b'by xrpc', [('At-Run-Receipt', '1')])
    same((a.status, a.body), (201, b'by xrpc'), a)
    c = claims(a.header('at-run-receipt'))
    same((c['target'], c['request']), (path('echo', '?q=1'), cid_raw(b'by xrpc')))
    a = ask('echo', 'HEAD')
    c = claims(a.header('at-run-receipt'))
    same((c['method'], c['response']), ('HEAD', cid_raw(b'')))


def failures():
    """What the handler did wrong, or a limit did to it, is answered by the runner, and that is signed as well."""
    for endpoint, status, error in (('fail', 500, 'HandlerFailed'), ('hang', 504, 'JobTimeout'), ('die', 500, 'HandlerFailed'),
                                    ('much', 507, 'OutputLimitExceeded')):
        url = '/bundle/%s/bad/latest/%s' % (alice.did, endpoint)
        a = call(runner.url + url, 'POST', b'asked', [('At-Run-Receipt', '1')])
        same((a.status, a.error), (status, error), a)
        receipt = a.header('at-run-receipt')
        check(receipt, endpoint, a)
        c = claims(receipt)
        same((c['target'], c['status'], c['request'], c['response'], c['streamed']),
             (url, status, cid_raw(b'asked'), cid_raw(a.body), False), endpoint)
        r = verify(receipt, '--answer', written('answer', a.body), '--status', str(status), '--target', url)
        check(r.returncode == 0, endpoint, r)
        same(call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, a.header('at-run-job'))).json['receipt'], receipt)
    a = call(runner.url + '/bundle/%s/bad/latest/fail' % alice.did, headers=[('At-Run-Receipt', '1'), ('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job = until(lambda: (j := call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, a.json['id'])).json)['state'] == 'done' and j, 'the job')
    kept = call('%s/job/%s/result' % (runner.url, a.json['id']), headers=[('At-Run-Receipt', '1')])
    same((kept.status, claims(job['receipt'])['response'], kept.header('at-run-receipt')), (500, cid_raw(kept.body), job['receipt']))
    a = call(runner.url + '/bundle/%s/bad/latest/fail' % alice.did, 'HEAD', headers=[('At-Run-Receipt', '1')])
    same((a.status, claims(a.header('at-run-receipt'))['response']), (500, cid_raw(b'')), a)
    # Who did not ask, and what never came to the handler, has none.
    same(call(runner.url + '/bundle/%s/bad/latest/fail' % alice.did).header('at-run-receipt'), None)
    a = call(runner.url + '/bundle/%s/bad/latest/none' % alice.did, headers=[('At-Run-Receipt', '1')])
    same((a.status, a.header('at-run-receipt')), (404, None), a)


def refused():
    a = ask('echo', 'POST', b'x')
    receipt = a.header('at-run-receipt')
    head, middle, sig = receipt.split('.')
    forged = base64.urlsafe_b64encode(json.dumps(dict(claims(receipt), status=500)).encode()).decode().rstrip('=')
    other = runner.sql("select key from v_keys where use = 'secrets'")[0][0]
    for bad, name in ((head + '.' + forged + '.' + sig, 'ReceiptForged'), (head + '.' + middle, 'ReceiptMalformed'),
                      (receipt[:-3] + ('AAA' if receipt[-3:] != 'AAA' else 'BBB'), 'ReceiptForged'), ('', 'ReceiptMalformed')):
        r = runner.cli('receipt', 'verify', '--json', stdin=bad)
        check(r.returncode != 0 and name in r.stdout + r.stderr, name, r)
    for args in (('--key', other), ('--answer', written('y', b'y')), ('--body', written('y', b'y')), ('--method', 'GET'),
                 ('--target', '/'), ('--status', '200'), ('--bundle', cid_raw(b''))):
        check(verify(receipt, *args).returncode != 0, args)


def javascript():
    a = ask('echo', 'POST', b'from js')
    node = pds_node()[0]

    def run(receipt, *args):
        return subprocess.run([node, os.path.join(ROOT, 'contrib', 'verify-receipt.mjs')] + list(args), input=receipt,
                              capture_output=True, text=True, timeout=60, env=clean_env())
    receipt = a.header('at-run-receipt')
    p = run(receipt, '--answer', written('js', b'from js'), '--body', written('js', b'from js'))
    check(p.returncode == 0 and json.loads(p.stdout)['cid'] == cid, p)
    same(run(receipt, '--url', runner.url).returncode, 0)
    check(run(receipt, '--answer', written('other', b'other')).returncode == 1, 'another answer was taken')
    at = len(receipt) - 40
    forged = receipt[:at] + ('A' if receipt[at] != 'A' else 'B') + receipt[at + 1:]
    check(run(forged).returncode == 1, 'a forged one was taken')
    check(run(receipt, '--key', 'z6Mk' + '1' * 44).returncode == 1, 'another key was taken')


def streamed():
    a, pieces = stream(runner.url + path('stream'), headers=[('At-Run-Receipt', '1')])
    same(a.body, b'one two three')
    check(len(pieces) > 1 and a.header('at-run-receipt') is None, a.headers)
    job = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=10' % (runner.url, a.header('at-run-job'))).json
    c = claims(job['receipt'])
    same((c['streamed'], c['response'], c['request']), (True, cid_raw(a.body), cid_raw(b'')))
    same(verify(job['receipt']).returncode, 0)


def flooded():
    a, pieces = stream(runner.url + path('flood'), headers=[('At-Run-Receipt', '1')])
    same(len(a.body), 80 * 65536)
    job = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=10' % (runner.url, a.header('at-run-job'))).json
    same(claims(job['receipt'])['response'], cid_raw(a.body))


def later():
    """A call that is answered 202 has its receipt in getJob."""
    a = ask('echo', 'POST', b'later', headers=[('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job = until(lambda: (lambda j: j if j['state'] == 'done' else None)(
        call('%s/xrpc/dev.at-run.getJob?id=%s&wait=10' % (runner.url, a.header('at-run-job'))).json), 'the job')
    same(claims(job['receipt'])['response'], cid_raw(b'later'))
    same(verify(job['receipt']).returncode, 0)


def without():
    a = ask('echo', 'POST', b'x', receipt=False)
    check(a.status == 201 and a.header('at-run-receipt') is None, a)
    a = ask('forge', receipt=False)
    same((a.status, a.header('at-run-receipt')), (200, None), a)
    check(a.header('at-run-job') != '1', a.headers)
    a = ask('forge')
    check(a.header('at-run-receipt') != 'forged' and verify(a.header('at-run-receipt')).returncode == 0, a.headers)
    a = ask('fail')
    same((a.status, claims(a.header('at-run-receipt'))['status']), (500, 500))
    a = ask('nothing')
    same((a.status, claims(a.header('at-run-receipt'))['status']), (204, 204))


def rotated():
    """Receipts of an old key stay valid; those of a revoked one do not."""
    old = ask('nothing').header('at-run-receipt')
    before = keys()['receipts']
    r = runner.cli('secret', 'rotate', '--receipts')
    check(r.returncode == 0, r.stderr)
    until(lambda: keys()['receipts'] != before, 'the new key')
    until(lambda: verify(ask('nothing').header('at-run-receipt'), '--key', keys()['receipts']).returncode == 0, 'a receipt by it')
    same(verify(old).returncode, 0)
    r = runner.cli('secret', 'revoke', before)
    check(r.returncode == 0, r)
    check(verify(old).returncode != 0, 'the receipt of a revoked key counts')


t.run('the PDS, a bundle, and a runner with a name of its own', setup)
if runner and runner.p:
    t.run('did.json shows service and keys', document)
    t.run("the AT Protocol's resolver reads it", resolved)
    t.run('the card names operator and keys', card)
    t.run('whoami says that nobody has announced the runner', unannounced)
    t.run('publish --dry-run prints the record', dry_run)
    t.run('publish writes it, and whoami is content', published)
    t.run('after a rotation the record is old', stale)
    t.run('a receipt says what was asked, run and answered', signed)
    t.run('a receipt for a request that came in pieces', streamed_request)
    t.run('a receipt by XRPC, and of HEAD', other_ways)
    t.run('a receipt of an answer that is an error', failures)
    t.run('a receipt that was changed, or is for something else, is refused', refused)
    t.run('contrib/verify-receipt.mjs verifies with nothing of ours', javascript)
    t.run('of a stream it comes last, in getJob', streamed)
    t.run('of a long stream as well', flooded)
    t.run('of a call that was accepted too', later)
    t.run('who asks for none gets none, and no handler can forge one', without)
    t.run('old receipts outlive a rotation, but not a revocation', rotated)
t.end()
