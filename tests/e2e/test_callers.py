#!/usr/bin/env python3
"""Who calls: service tokens of a real PDS, through the PDS too, of keys of both curves, and tokens that are none."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
METHOD = 'dev.at-run.invoke'
CODE = b"""import sys


def loud(request, ctx):
    print('one')
    print('two', file=sys.stderr)
    return 'said'


def who(request, ctx):
    return {'caller': ctx.caller, 'authorization': request.headers.get('authorization'), 'method': request.method}
"""


class World:
    def __init__(self):
        self.pds = Pds(where)
        self.people = People(where)
        self.alice, self.carol = self.pds.account('alice.test'), self.pds.account('carol.test')
        self.alice.deploy('hello', CODE, 'text/x-python', runtime='application/python', entry='main.py',
                          endpoints={'who': {}, 'loud': {}})
        self.documents = Serve(self.document)
        self.runner = Runner(where, did='did:web:localhost%%3A%d' % self.documents.port, sections={
            'access': {'mode': 'allowlist', 'allowlist': [self.alice.did]},
            'atproto': {'plc_url': self.pds.plc, 'handle_resolver': self.pds.url, 'identity_fresh': '1h'},
            'observability': {'level': 'debug'}})
        self.did = self.runner.conf_top['did']
        self.url = '%s/bundle/%s/hello/latest/who' % (self.runner.url, self.alice.did)
        self.xrpc = '%s/xrpc/%s?author=%s&bundle=hello&endpoint=who' % (self.runner.url, METHOD, self.alice.did)
        # An account made by hand, since the PDS makes keys of the other curve only.
        self.hand = self.people('key', curve='P-256')
        self.hands = Serve(self.hand_document)
        self.hand_did = 'did:web:localhost%%3A%d' % self.hands.port
        self.runner.init().start()

    def document(self, method, path, headers, body, send):
        """The runner's own, with the service that a PDS sends its users' calls to."""
        send(200, None, {'id': self.did, 'service': [
            {'id': '#at_run', 'type': 'AtRunRunner', 'serviceEndpoint': self.runner.url}]})

    def hand_document(self, method, path, headers, body, send):
        send(200, None, {'id': self.hand_did, 'verificationMethod': [
            {'id': '#atproto', 'type': 'Multikey', 'controller': self.hand_did, 'publicKeyMultibase': self.hand['multibase']}],
            'service': [{'id': '#atproto_pds', 'type': 'AtprotoPersonalDataServer', 'serviceEndpoint': self.pds.url}]})

    def service_token(self, account, aud=None, lxm=METHOD):
        a = call('%s/xrpc/com.atproto.server.getServiceAuth?aud=%s&lxm=%s'
                 % (self.pds.url, urllib.parse.quote(aud or self.did, safe=''), lxm),
                 headers=[('Authorization', 'Bearer ' + account.jwt)])
        same(a.status, 200, a)
        return a.json['token']

    def sign(self, **claims):
        """A token of the account made by hand."""
        head, key, raw = claims.pop('head', {}), claims.pop('key', self.hand['key']), claims.pop('raw', None)
        claims = dict({'iss': self.hand_did, 'aud': self.did, 'lxm': METHOD}, **claims)
        return self.people('sign', key=key, head=head, claims=claims, raw=raw)['token']


def bearer(token):
    return [('Authorization', 'Bearer ' + token)]


def ask(w, token=None, url=None, **kw):
    return call(url or w.url, headers=bearer(token) if token else [], **kw)


def caller(a, did):
    same((a.status, a.json), (200, {'caller': did, 'authorization': None, 'method': 'GET'}), a)


def refused(a, name, status=401):
    same((a.status, a.error), (status, name), a)
    if status == 401:
        same(a.header('www-authenticate'), 'Bearer', a)


def ask_for(w, method, sign=None, account=None, **params):
    """A method of the runner, with a token made for it."""
    lxm = 'dev.at-run.' + method
    token = w.service_token(account, lxm=lxm) if account else sign(lxm=lxm) if sign else None
    return ask(w, token, '%s/xrpc/%s?%s' % (w.runner.url, lxm, urllib.parse.urlencode(params)))


def fits(a, nsid):
    """The answer, when its lexicon takes it."""
    same(a.status, 200, a)
    node, modules = pds_node()
    p = subprocess.run([node, os.path.join(ROOT, 'tests', 'e2e', 'lexicons.mjs')], capture_output=True, timeout=60,
                       input=json.dumps([{'record': a.json, 'valid': True, 'output': True, 'nsid': nsid}]).encode(),
                       env=dict(os.environ, AT_RUND_PDS_MODULES=modules))
    same(json.loads(p.stdout)['answers'], [None], p.stderr)
    return a.json


def through(w, account, method, **params):
    return call('%s/xrpc/dev.at-run.%s?%s' % (w.pds.url, method, urllib.parse.urlencode(params)),
                headers=bearer(account.jwt) + [('atproto-proxy', w.did + '#at_run')])


def anonymous(w):
    caller(ask(w), None)


def of_a_pds(w):
    """The same token kind on both ways in; the handler sees the DID and not the token."""
    caller(ask(w, w.service_token(w.carol)), w.carol.did)
    caller(ask(w, w.service_token(w.carol), w.xrpc), w.carol.did)
    same(w.runner.sql("SELECT count(*) FROM job WHERE caller = ?", w.carol.did), [(2,)])
    same(w.runner.sql("SELECT count(*) FROM request WHERE headers_json LIKE '%authorization%'"), [(0,)])


def for_the_service(w):
    caller(ask(w, w.sign(aud=w.did + '#at_run')), w.hand_did)


def of_the_other_curve(w):
    token = w.people('token', key=w.hand['key'], iss=w.hand_did, aud=w.did, lxm=METHOD)['token']
    same(w.people('judge', token=token, aud=w.did, lxm=METHOD, did=w.hand['did'])['says'], 'ok')
    caller(ask(w, token), w.hand_did)


def through_the_pds(w):
    """The author's URL is never seen by the client: its PDS asks with a token of its own making."""
    for aim in ('GET', 'POST'):
        a = call('%s/xrpc/%s?author=%s&bundle=hello&endpoint=who' % (w.pds.url, METHOD, w.alice.did), aim,
                 b'{}' if aim == 'POST' else None,
                 bearer(w.carol.jwt) + [('atproto-proxy', w.did + '#at_run'), ('Content-Type', 'application/json')])
        same((a.status, a.json), (200, {'caller': w.carol.did, 'authorization': None, 'method': aim}), a)


def accepted_jobs(w):
    a = call(w.url, headers=bearer(w.sign()) + [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    done = until(lambda: (j := ask_for(w, 'getJob', w.sign, id=a.json['id']).json)['state'] == 'done' and j, 'the job')
    same(done['outcome'], 'ok', done)
    same(w.runner.sql('SELECT caller FROM job WHERE id = ?', int(a.json['id'].split('-')[0])), [(w.hand_did,)])


def tokens_that_are_none(w):
    now = int(time.time())
    other = w.people('key', curve='P-256')
    cases = [
        ('JwtExpired', w.sign(iat=now - 200, exp=now - 100), 'JwtExpired'),
        ('JwtNotYetValid', w.sign(iat=now + 120, exp=now + 180), None),
        ('JwtLifetimeTooLong', w.sign(exp=now + 86400), None),
        ('BadJwtAudience', w.sign(aud='did:web:other.example.com'), 'BadJwtAudience'),
        ('BadJwtAudience', w.sign(aud=w.did + '#bsky_appview'), 'BadJwtAudience'),
        ('BadJwtAudience', w.sign(aud=None), 'BadJwt'),
        ('BadJwtLexiconMethod', w.sign(lxm='com.atproto.repo.createRecord'), 'BadJwtLexiconMethod'),
        ('BadJwtLexiconMethod', w.sign(lxm=None), 'BadJwtLexiconMethod'),
        ('BadJwtIss', w.sign(iss='carol.test'), 'BadJwtIss'),
        ('BadJwtIss', w.sign(iss='did:plc:' + 'a' * 24), None),
        ('BadJwtId', w.sign(jti=None), None),
        ('BadJwtKey', w.sign(head={'kid': '#atproto_labeler'}), None),
        ('BadJwtType', w.sign(head={'typ': 'at+jwt'}), 'BadJwtType'),
        ('BadJwtType', w.alice.jwt, None),  # the session's own, which must never be sent here
        ('BadJwtAlgorithm', w.sign(head={'alg': 'none'}, raw=''), None),
        ('BadJwtAlgorithm', w.sign(head={'alg': 'HS256'}), None),
        ('BadJwtAlgorithm', w.sign(head={'alg': 'ES256K'}), 'BadJwtSignature'),
        ('BadJwtSignature', w.sign(key=other['key']), 'BadJwtSignature'),
        ('BadJwtSignature', w.sign(raw='AA'), 'BadJwtSignature'),
        ('BadJwt', 'not-a-token', 'BadJwt'),
        ('BadJwt', 'a.b.c', None),
    ]
    for name, token, theirs in cases:
        a = ask(w, token)
        check((a.status, a.error) == (401, name), 'want', name, 'for', token, a)
        if theirs:
            same(w.people('judge', token=token, aud=w.did, lxm=METHOD, did=w.hand['did'])['says'], theirs, 'second opinion on ' + name)
    refused(call(w.url, headers=[('Authorization', 'Bearer')]), 'BadJwt')
    same(w.runner.sql("SELECT count(*) FROM job WHERE error_name LIKE 'BadJwt%' AND caller IS NOT NULL"), [(0,)], 'forged callers')
    # What is not ours reaches the handler.
    a = call(w.url, headers=[('Authorization', 'Basic YTpi')])
    same(a.json['authorization'], 'Basic YTpi', a)


def used_twice(w):
    token = w.sign()
    caller(ask(w, token), w.hand_did)
    refused(ask(w, token), 'JwtReplayed')
    # The twin with the other s is the same token.
    text, sig = token.rsplit('.', 1)
    import base64
    raw = base64.urlsafe_b64decode(sig + '==')
    n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
    twin = base64.urlsafe_b64encode(raw[:32] + (n - int.from_bytes(raw[32:], 'big')).to_bytes(32, 'big')).decode().rstrip('=')
    refused(ask(w, text + '.' + twin), 'JwtReplayed')
    fresh = w.sign()
    head, claims, sig = fresh.split('.')
    raw = base64.urlsafe_b64decode(sig + '==')
    twin = base64.urlsafe_b64encode(raw[:32] + (n - int.from_bytes(raw[32:], 'big')).to_bytes(32, 'big')).decode().rstrip('=')
    caller(ask(w, '%s.%s.%s' % (head, claims, twin)), w.hand_did)
    refused(ask(w, fresh), 'JwtReplayed')


def at_the_same_time(w):
    token = w.sign()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(w, token).status)) for _ in range(8)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    same(sorted(answers), [200] + [401] * 7, answers)


def under_a_key(w):
    """The very same request again is a question for the same job, and needs the very same token."""
    token, key = w.sign(), [('Idempotency-Key', 'k1')]
    a, b = call(w.url, headers=bearer(token) + key), call(w.url, headers=bearer(token) + key)
    same((a.status, b.status, a.header('at-run-job') == b.header('at-run-job')), (200, 200, True), (a, b))
    refused(call(w.url, headers=bearer(w.sign()) + key), 'IdempotencyKeyInUse', 409)


def logs_of_an_author(w):
    url = '%s/bundle/%s/hello/latest/loud' % (w.runner.url, w.alice.did)
    jobs = [call(url).header('at-run-job') for _ in range(3)]
    until(lambda: w.runner.sql("SELECT count(*) FROM log WHERE text LIKE 'two%'")[0][0] >= 3, 'the lines')
    lines = fits(ask_for(w, 'getLogs', account=w.alice), 'dev.at-run.getLogs')['lines']
    check([x['line'] for x in lines] == sorted((x['line'] for x in lines), reverse=True), lines)
    same({x['job'] for x in lines if x['text'].startswith(('one', 'two'))}, set(jobs), lines)
    of_one = ask_for(w, 'getLogs', account=w.alice, job=jobs[1]).json['lines']
    same(sorted((x['text'].strip(), x['source'], x['endpoint']) for x in of_one if x['source'] != 'runner'),
         [('one', 'console', 'loud'), ('two', 'console', 'loud')], of_one)
    grave = ask_for(w, 'getLogs', account=w.alice, level='warn').json['lines']
    check(grave and len(grave) < len(lines) and all(x['level'] in ('warn', 'error') for x in grave), grave)
    paged, cursor = [], None
    while True:
        a = ask_for(w, 'getLogs', account=w.alice, limit=2, **({'cursor': cursor} if cursor else {})).json
        check(len(a['lines']) <= 2, a)
        paged += a['lines']
        cursor = a.get('cursor')
        if not cursor:
            break
    same(paged, lines)
    same(ask_for(w, 'getLogs', account=w.alice, since='2100-01-01T00:00:00Z').json, {'lines': []})
    same(ask_for(w, 'getLogs', account=w.alice, since='2020-01-01T00:00:00Z', bundle='hello').json['lines'], lines)
    same(ask_for(w, 'getLogs', account=w.alice, bundle='other').json['lines'], [])
    # Whoever is not the author sees nothing of it, by any filter.
    same(ask_for(w, 'getLogs', account=w.carol).json, {'lines': []})
    same(ask_for(w, 'getLogs', account=w.carol, job=jobs[1]).json, {'lines': []})
    same(through(w, w.alice, 'getLogs', job=jobs[0]).json['lines'], ask_for(w, 'getLogs', account=w.alice, job=jobs[0]).json['lines'])
    same(through(w, w.carol, 'getLogs').json, {'lines': []})
    check(len(ask_for(w, 'getLogs').json['lines']) >= len(lines), 'a developer sees all')


def tokens_for_what_is_no_call(w):
    where = w.runner.url + '/xrpc/dev.at-run.getLogs'
    refused(ask(w, w.sign(), where), 'BadJwtLexiconMethod')
    refused(ask(w, w.sign(lxm='dev.at-run.getLogs')), 'BadJwtLexiconMethod')
    other = w.people('key', curve='P-256')
    refused(ask(w, w.sign(lxm='dev.at-run.getLogs', key=other['key']), where), 'BadJwtSignature')
    refused(ask(w, w.sign(lxm='dev.at-run.getLogs', iss='did:plc:' + 'a' * 24), where), 'BadJwtIss')
    token = w.sign(lxm='dev.at-run.getLogs')
    same(ask(w, token, where).json, {'lines': []})
    refused(ask(w, token, where), 'JwtReplayed')
    same(w.runner.sql('SELECT count(*) FROM proof'), [(0,)], 'questions that were answered')
    check(w.runner.sql('SELECT count(*) FROM spent WHERE job = 0 AND issuer = ?', w.hand_did)[0][0] >= 1, 'written down at once')


def jobs_of_whoever_asks(w):
    mine = ask(w, w.service_token(w.carol)).header('at-run-job')
    theirs = call(w.url).header('at-run-job')
    jobs = fits(ask_for(w, 'listJobs', account=w.carol), 'dev.at-run.listJobs')['jobs']
    check(mine in [j['id'] for j in jobs] and all(j['caller'] == w.carol.did for j in jobs), jobs)
    jobs = ask_for(w, 'listJobs', account=w.alice).json['jobs']
    check({mine, theirs} <= {j['id'] for j in jobs}, jobs)
    some = ask_for(w, 'listJobs', account=w.alice, limit=1).json
    more = ask_for(w, 'listJobs', account=w.alice, limit=1, cursor=some['cursor']).json
    same([some['jobs'][0]['id'], more['jobs'][0]['id']], [j['id'] for j in jobs[:2]])
    same(ask_for(w, 'listJobs', account=w.alice, bundle='other').json['jobs'], [])
    check(mine in [j['id'] for j in through(w, w.carol, 'listJobs').json['jobs']], 'through the PDS')


def results_of_a_caller(w):
    """Of a call with a token its id is not enough; of any other it is."""
    a = call(w.url, headers=bearer(w.service_token(w.carol)) + [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job, page = a.json['id'], w.runner.url + '/job/' + a.json['id']

    def get(url, account=None, lxm='dev.at-run.getJob', **kw):
        return ask(w, w.service_token(account, lxm=lxm) if account else None, url, **kw)

    until(lambda: get(page, w.carol).json['state'] == 'done', 'the job')
    for url in (page, page + '/result', w.runner.url + '/xrpc/dev.at-run.getJob?id=' + job):
        refused(get(url), 'AuthMissing')
        refused(get(url, w.alice), 'JobOfAnother', 403)
        refused(get(url, w.carol, METHOD), 'BadJwtLexiconMethod')
        same(get(url, w.carol).status, 200)
    same(get(page + '/result', w.carol).json['caller'], w.carol.did)
    same(through(w, w.carol, 'getJob', id=job).json['outcome'], 'ok')
    same(through(w, w.alice, 'getJob', id=job).status, 403)
    shown = call(page, headers=[('Accept', 'text/html')])
    check(shown.status == 401 and shown.header('content-type').startswith('text/html') and b'for that account alone' in shown.body
          and w.carol.did.encode() not in shown.body, shown)
    stop = w.runner.url + '/xrpc/dev.at-run.cancelJob?id=' + job
    refused(ask(w, None, stop, method='POST'), 'AuthMissing')
    refused(ask(w, w.service_token(w.alice, lxm='dev.at-run.cancelJob'), stop, method='POST'), 'JobOfAnother', 403)
    same(ask(w, w.service_token(w.carol, lxm='dev.at-run.cancelJob'), stop, method='POST').json['state'], 'done')
    for url in ('/job/%s', '/job/%s/result', '/xrpc/dev.at-run.getJob?id=%s'):
        same(call(w.runner.url + url % call(w.url).header('at-run-job')).status, 200)


def slow_to_say_who(w):
    """Issuers whose servers do not answer hold some threads, and not the others."""
    free = threading.Event()

    def slow(method, path, headers, body, send):
        free.wait(30)
        send(404, None, {})

    servers = [Serve(slow) for _ in range(2)]
    w.runner.stop()
    w.runner.conf['web']['threads'] = '4'
    w.runner.write()
    w.runner.start()
    where, got = w.runner.url + '/xrpc/dev.at-run.getLogs', []
    threads = [threading.Thread(target=lambda s=s: got.append(ask(w, w.sign(
        lxm='dev.at-run.getLogs', iss='did:web:localhost%%3A%d' % s.port), where))) for s in servers]
    for x in threads:
        x.start()
    until(lambda: w.runner.sql('SELECT count(*) FROM proof WHERE done_at IS NULL') == [(2,)], 'two questions')
    a = ask(w, w.sign(lxm='dev.at-run.getLogs'), where)
    same((a.status, a.error, a.header('retry-after') is not None), (503, 'NotEnoughResources', True), a)
    same(call(w.runner.url + '/health').status, 200)
    free.set()
    for x in threads:
        x.join()
    same([(a.status, a.error) for a in got], [(401, 'BadJwtIss')] * 2, got)
    same(ask(w, w.sign(lxm='dev.at-run.getLogs'), where).status, 200)


def after_a_restart(w):
    token = w.sign()
    caller(ask(w, token), w.hand_did)
    w.runner.stop()
    w.runner.start()
    refused(ask(w, token), 'JwtReplayed')


def after_a_kill(w):
    """What nobody has written down yet stands in its request; what is written down outlives it."""
    tokens, read = [], w.sign(lxm='dev.at-run.getLogs')
    where = w.runner.url + '/xrpc/dev.at-run.getLogs'
    same(ask(w, read, where).status, 200)
    for _ in range(2):
        tokens.append(w.sign())
        caller(ask(w, tokens[-1]), w.hand_did)
        pid, = w.runner.sql('SELECT pid FROM run ORDER BY id DESC LIMIT 1')[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: w.runner.sql('SELECT pid FROM run ORDER BY id DESC LIMIT 1')[0] != (pid,) and w.runner.is_ready(),
              'another scheduler')
        for token in tokens:
            # What comes before it has cleared up behind the killed one is lost with that.
            refused(until(lambda t=token: (a := ask(w, t)).status != 502 and a, 'a scheduler that has cleared up'), 'JwtReplayed')
        refused(ask(w, read, where), 'JwtReplayed')
    until(lambda: w.runner.sql("SELECT count(*) FROM spent WHERE issuer = ? AND job > 0", w.hand_did)[0][0] >= 2, 'written down')
    last, = w.runner.sql("SELECT max(id) FROM job WHERE caller IS NOT NULL")[0]
    until(lambda: int(w.runner.sql("SELECT value FROM meta WHERE key = 'spent_to'")[0][0]) >= last, 'how far')


def a_rotated_key(w):
    """A key that was replaced on the directory is learnt from the first token of the new one; the old one is worth nothing."""
    old = w.service_token(w.carol)
    fresh = w.people('key', curve='K-256')
    caller(ask(w, w.service_token(w.carol)), w.carol.did)
    w.people('rotate', plc=w.pds.plc, did=w.carol.did, rotation=w.pds.rotation, key=fresh['key'])

    def new_one():
        a = ask(w, w.people('token', key=fresh['key'], iss=w.carol.did, aud=w.did, lxm=METHOD)['token'])
        return a.status == 200 and a

    caller(until(new_one, 'the new key is known', 20, 0.3), w.carol.did)  # not read anew while it is seconds old
    refused(ask(w, old), 'BadJwtSignature')


def a_rotated_key_of_an_author(w):
    """Key and server of an author change: the proof of the next commit needs the document anew, once, and the old key proves
    nothing from then on."""
    import glob
    import shutil
    (kept,) = glob.glob(os.path.join(where, 'at-rund-pds-*', 'actors', '*', w.alice.did, 'key'))
    old = os.path.join(where, 'old-key')
    shutil.copy(kept, old)
    fresh = w.people('key', curve='K-256')
    url = '%s/bundle/%s/hello/%%s/who' % (w.runner.url, w.alice.did)

    def deploy(version):
        w.alice.deploy('hello', CODE, 'text/x-python', version=version, rkeys=['hello:' + version], runtime='application/python',
                       entry='main.py', endpoints={'who': {}})
        return call(url % version)

    same(deploy('2.0').status, 200)
    w.people('rotate', plc=w.pds.plc, did=w.alice.did, rotation=w.pds.rotation, key=fresh['key'])
    w.people('write_key', key=fresh['key'], path=kept)
    deploy('3.0')  # the document may be seconds old, then it is not read anew yet
    until(lambda: call(url % '3.0').status == 200, 'the new key is known', 20, 0.3)
    shown = w.runner.cli('bundle', 'show', w.alice.did + '/hello').stdout
    check(fresh['did'] in shown and 'What proved it' in shown and 'names the signing key' in shown, shown)
    shutil.copy(old, kept)
    a = until(lambda: (a := deploy('4.0')).status != 200 and a, 'the old key is refused')
    same((a.status, a.error), (502, 'BadSignature'), a)
    w.people('write_key', key=fresh['key'], path=kept)


def modes(w):
    r = w.runner

    def under(**callers):
        r.stop()
        r.conf['callers'] = callers
        r.write()
        r.start()

    under(mode='known')
    refused(ask(w), 'AuthMissing')
    caller(ask(w, w.sign()), w.hand_did)
    under(mode='allowlist', allowlist=[w.alice.did])
    refused(ask(w, w.sign()), 'CallerNotAllowed', 403)
    caller(ask(w, w.service_token(w.alice)), w.alice.did)
    under(mode='blocklist', blocklist=[w.hand_did])
    refused(ask(w, w.sign()), 'CallerNotAllowed', 403)
    refused(ask(w), 'AuthMissing')
    caller(ask(w, w.service_token(w.alice)), w.alice.did)
    under(mode='open', blocklist=[w.hand_did])
    caller(ask(w), None)
    refused(ask(w, w.sign()), 'CallerNotAllowed', 403)


def main():
    try:
        w = World()
    except Skipped as e:
        why = str(e)
        t.run('callers', lambda: skip(why))
        t.end()
    for fn in (anonymous, of_a_pds, for_the_service, of_the_other_curve, through_the_pds, accepted_jobs, tokens_that_are_none,
               used_twice, at_the_same_time, under_a_key, logs_of_an_author, tokens_for_what_is_no_call, jobs_of_whoever_asks,
               results_of_a_caller, after_a_restart, after_a_kill, a_rotated_key, a_rotated_key_of_an_author, slow_to_say_who, modes):
        t.run('tokens: ' + fn.__name__.replace('_', ' '), fn, w)
    t.end()


main()
