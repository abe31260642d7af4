#!/usr/bin/env python3
"""
A second opinion on proofs, signatures and tokens: the atproto packages (@atproto/repo, crypto, xrpc-server) judge what we judge.

Whatever we take they must take.  What we refuse they may take only where that is listed here, with the reason: they do not know
what revision was seen before, and some of their doors are wider than the specification.
"""
import base64
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from hostile import REV, make_proof  # noqa: E402

VECTORS = os.environ.get('AT_RUND_VECTORS', os.path.join(ROOT, '..', 'shared', 'vectors'))
DID, COLL, RKEY = 'did:plc:' + 'h' * 24, COLLECTION, 'hello'
AUD, LXM = 'did:web:runner.example.com', 'dev.at-run.invoke'
RECORD = json.dumps({'$type': COLL, 'name': 'hello', 'n': [1, -1, 0, 9007199254740991], 'text': 'h\u00e9', 'none': None, 'yes': True,
                     'code': {'$type': 'blob', 'ref': {'$link': cid_raw(b'code')}, 'mimeType': 'text/javascript', 'size': 4},
                     'bytes': {'$bytes': 'AAEC'}, 'nested': {'b': 1, 'aa': {'z': []}}})
# What only we refuse, and why.
STRICTER = {
    'old-rev': 'they keep no revision of the author',
    'future-rev': 'they do not look at the time',
    'bad-rev': 'they take any text for a revision',
}
ALICES = 'bafyreiaejmtm2aycpv7hao3it2xv7fjrcmz3uqfyk4cdriusrspvlo6moi'  # the record of proofs/record_proof.car
t = Cases()
where = scratch()


class Judge:
    def __init__(self, name, argv, **env):
        self.p = Process(argv, os.path.join(where, name + '.log'), env=dict(os.environ, **env), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)

    def __call__(self, **what):
        self.p.p.stdin.write(json.dumps(what).encode() + b'\n')
        self.p.p.stdin.flush()
        line = self.p.p.stdout.readline()
        check(line, 'no answer', self.p.tail(), brief(what))
        return json.loads(line)['says']


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip('=')


def both(**what):
    return ours(**what), theirs(**what)


def agree(ours_say, theirs_say, name, stricter=False):
    """Both yes, or both no; or ours is the no where that is expected."""
    if ours_say == 'ok':
        same(theirs_say, 'ok', name)
        check(not stricter, name, 'was refused once')
    else:
        same(theirs_say == 'ok', bool(stricter), (name, ours_say, theirs_say))


def vector(name):
    path = os.path.join(VECTORS, name)
    if not os.path.exists(path):
        skip('no test vectors at %s' % VECTORS)
    with open(path, 'rb') as f:
        return f.read() if name.endswith('.car') else json.load(f)


def setup():
    global ours, theirs, people
    found = pds_node()
    if not found:
        raise Skipped('no atproto packages here: run sh contrib/check.sh once')
    node, modules = found
    ours = Judge('ours', [os.path.join(BUILD, 'tests', 'proof_judge')])
    theirs = Judge('theirs', [node, os.path.join(ROOT, 'tests', 'e2e', 'opinion.mjs')], AT_RUND_PDS_MODULES=modules)
    people = People(where)


# ---- proofs ----

def proof(lie, curve):
    return make_proof('car', DID, COLL, RKEY, REV, lie, curve, data=RECORD.encode())


def asked(car, key, **other):
    return {'op': 'car', 'car': b64(car), 'did': DID, 'collection': COLL, 'rkey': RKEY, 'key': key, 'record': record_cid, **other}


def cids():
    """The record's CID, which all that follows is about."""
    global record_cid
    record_cid = ours(op='cid', json=RECORD)
    same(theirs(op='cid', json=RECORD), record_cid)


def lies(curve):
    key = 'did:key:' + make_proof('key', curve).decode().strip()
    other = 'did:key:' + make_proof('key', 'P-256' if curve == 'K-256' else 'K-256').decode().strip()
    n = 0
    for line in make_proof('lies').decode().splitlines():
        lie, error = line.split(' ', 1)
        a, b = both(**asked(proof(lie, curve), key))
        if lie in ('old-rev', 'future-rev'):
            # Ours knows the newest revision and the time in the runner, not in this program.
            same((a, b), ('ok', 'ok'), lie)
        else:
            agree(a, b, (lie, curve), lie in STRICTER)
        if error == 'RecordNotInRepository':
            same((a, b), (error, error), lie)
        elif error == '-':
            same(a, 'ok', lie)
        n += 1
    good = proof('none', curve)
    for name, what in (('another key', {'key': other}), ('another author', {'did': 'did:plc:' + 'i' * 24}),
                       ('another collection', {'collection': 'app.bsky.feed.post'}), ('another name', {'rkey': 'hallo'}),
                       ('another record', {'record': ours(op='cid', json='{"a":1}')})):
        a, b = both(**{**asked(good, key), **what})
        check(a != 'ok' and b != 'ok', name, a, b)
    print('  %d proofs, %s' % (n + 5, curve))


def mutated(curve):
    """A bit changed anywhere, a piece cut out, doubled or swapped: whatever we still take they take."""
    key = 'did:key:' + make_proof('key', curve).decode().strip()
    good = proof('none', curve)
    dice = random.Random(20261126)
    taken = wider = 0
    for i in range(250):
        car = bytearray(good)
        at = dice.randrange(len(car))
        if i % 5 < 3:
            car[at] ^= 1 << dice.randrange(8)
        elif i % 5 == 3:
            del car[at:at + dice.randrange(1, 40)]
        else:
            car[at:at] = car[at:at + dice.randrange(1, 40)]
        a, b = both(**asked(bytes(car), key))
        if a == 'ok':
            same(b, 'ok', i)
            taken += 1
        elif b == 'ok':
            wider += 1
            check(a in ('CarMalformed', 'BlockHashMismatch', 'CommitMalformed'), i, a)
    print('  250 changed proofs, %s: %d taken by both, %d by them alone' % (curve, taken, wider))
    check(taken < 10, taken)


def vectors_proofs():
    """What was recorded of a real repository."""
    doc = vector('proofs/alice_diddoc_legacy.json')
    method = next(m for m in doc['verificationMethod'] if m['id'].endswith('#atproto'))
    key, again = both(op='key', type=method['type'], multibase=method['publicKeyMultibase'])
    same(key, again)
    for name, rkey, wants in (('record_proof.car', 'hello', ('ok', 'ok')), ('record_proof.car', 'missing', ('RecordNotInRepository',) * 2),
                              ('nonexist_proof.car', 'missing', ('RecordNotInRepository',) * 2)):
        a, b = both(**asked(vector('proofs/' + name), key, did=doc['id'], collection='dev.example.bundle', rkey=rkey, record=ALICES))
        same((a, b), wants, (name, rkey))
    a, b = both(**asked(vector('proofs/nonexist_proof.car'), key, did=doc['id'], collection='dev.example.bundle', rkey='hello', record=ALICES))
    check(a == 'BlockMissing' and b != 'ok', a, b)


# ---- signatures, data, tokens ----

def signatures():
    n = 0
    for v in vector('crypto/signature-fixtures.json'):
        pad = lambda s: s + '=' * (-len(s) % 4)
        a, b = both(op='signed', key=v['publicKeyDid'], message=pad(v['messageBase64']), signature=pad(v['signatureBase64']))
        same((a == 'ok', b == 'ok'), (v['validSignature'], v['validSignature']), v['comment'])
        n += 1
    print('  signature-fixtures.json: %d cases' % n)


def data():
    n = 0
    for name in ('data-model-fixtures.json', 'data-model-valid.json'):
        for v in vector('data-model/' + name):
            a, b = both(op='cid', json=json.dumps(v['json']))
            same(a, b, v)
            if 'cid' in v:
                same(a, v['cid'], v)
            n += 1
    for hexed, good in (('a0', 1), ('a1616101', 1), ('a16161f6', 1), ('a16161f97e00', 0), ('a16161fb3ff8000000000000', 0), ('bf616101ff', 0),
                        ('a2616201616101', 0), ('a2616101616102', 0), ('a161611801', 0), ('a1616100a0', 0), ('a1616c7f61616161ff', 0),
                        ('a101616a', 0), ('a16161d82a4100', 0), ('a16161c001', 0), ('a16161f7', 0), ('a16161', 0), ('a1626101ff', 0),
                        ('a161611b0020000000000000', 0), ('a1616162c328', 0)):
        a, b = both(op='cbor', bytes=b64(bytes.fromhex(hexed)))
        same(a == 'ok', bool(good), hexed)
        if a == 'ok':
            same(b, 'ok', hexed)
        elif b == 'ok':
            check(hexed in WIDER_CBOR, 'they take', hexed)
        n += 1
    print('  %d values' % n)


# What their reader takes and the specification of the data model does not.
WIDER_CBOR = {
    'a16161fb3ff8000000000000': 'a float', 'a2616201616101': 'keys out of order', 'a16161f7': 'undefined',
    'a161611b0020000000000000': 'a number beyond 2^53 - 1', 'a1616162c328': 'text that is not UTF-8',
}


def tokens():
    n = 0
    for curve in ('K-256', 'P-256'):
        k, other = people('key', curve=curve), people('key', curve=curve)
        claims = {'iss': DID, 'aud': AUD, 'lxm': LXM}
        good = people('token', key=k['key'], **claims)['token']
        cases = [('good', good, False)]

        def sign(head=None, key=k, raw=None, **change):
            c = {x: y for x, y in dict(claims, **change).items() if y is not None or x == 'jti'}
            return people('sign', key=key['key'], head=head or {}, claims=c, raw=raw)['token']
        now = int(time.time())
        cases += [
            ('expired', sign(iat=now - 200, exp=now - 100), False), ('of another service', sign(aud='did:web:other.example.com'), False),
            ('for another method', sign(lxm='com.atproto.repo.createRecord'), False), ('without a method', sign(lxm=None), False),
            ('by another key', sign(key=other), False), ('alg none', sign(head={'alg': 'none'}, raw=''), False),
            ('alg HS256', sign(head={'alg': 'HS256'}), False), ('typ of a session', sign(head={'typ': 'at+jwt'}), False),
            ('a cut signature', sign(raw='AA'), False), ('no token', 'a.b.c', False), ('two parts', 'a.b', False),
            ('not yet good', sign(iat=now + 120, exp=now + 180), True), ('without jti', sign(jti=None), True),
        ]
        for name, token, stricter in cases:
            a, b = both(op='token', token=token, aud=AUD, lxm=LXM, key=k['did'])
            agree(a, b, name, stricter)
            n += 1
        dice = random.Random(7)
        letters = string.ascii_letters + string.digits + '-_'
        taken = 0
        for _ in range(150):
            at = dice.randrange(len(good))
            bad = good[:at] + dice.choice(letters) + good[at + dice.randrange(2):]
            a, b = both(op='token', token=bad, aud=AUD, lxm=LXM, key=k['did'])
            check(a != 'ok' or b == 'ok', bad, a, b)
            check(a != 'ok' or bad == good, 'changed and taken', bad)
            taken += a == 'ok'
            n += 1
    print('  %d tokens' % n)


try:
    setup()
    t.run('a record has one CID', cids)
    for c in ('K-256', 'P-256'):
        t.run('proofs, good and each kind of bad, %s' % c, lies, c)
        t.run('proofs that were changed somewhere, %s' % c, mutated, c)
    t.run('proofs of a real repository', vectors_proofs)
    t.run('signatures of the public vectors', signatures)
    t.run('data of the public vectors, and CBOR that has another spelling', data)
    t.run('tokens, good and each kind of bad', tokens)
except Skipped as e:
    t.run('second opinion', skip, str(e))
t.end()
