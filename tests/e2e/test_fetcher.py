#!/usr/bin/env python3
"""
The fetcher in a process of its own, against a real PLC directory and PDS, and against servers that lie.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hostile import Hostile  # noqa: E402
from kit import (BUILD, COLLECTION, Cases, Pds, Skipped, cid_raw, check, clean_env, same, scratch, skip, tar_gz,  # noqa: E402
                 zipped)

PROBE = os.path.join(BUILD, 'tests', 'fetch_probe')
JS = b'export default () => "hello"\n'


def ask(*requests, **options):
    """Answers in the order of the requests."""
    argv = [PROBE]
    for key, value in options.items():
        argv += ['--' + key.replace('_', '-'), str(value)]
    for r in requests:
        argv += list(r)
    p = subprocess.run(argv, capture_output=True, timeout=90, env=clean_env())
    check(p.returncode == 0, 'fetch_probe ended with', p.returncode, p.stderr[-2000:])
    got = {a['id']: a for a in map(json.loads, p.stdout.splitlines())}
    same(sorted(got), list(range(1, len(requests) + 1)), 'answers')
    return [got[i] for i in sorted(got)]


def files_of(top):
    return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs)


def read(top, answer, name):
    with open(os.path.join(top, os.path.basename(answer['dir']), name), 'rb') as f:
        return f.read()


# ---- a real PDS ------------------------------------------------------------------------------------------------

class Real:
    def __init__(self):
        self.pds = Pds(scratch())
        self.alice = self.pds.account('alice.test')
        self.options = {'dev': 1, 'plc': self.pds.plc, 'resolver': self.pds.url}

    def ask(self, *requests, **more):
        return ask(*requests, **dict(self.options, **more))


def proven(real):
    """The chain is told in words, goes on with a new commit, and a record that is not there is proven not to be."""
    d = scratch()
    real.alice.deploy('proof', JS, 'application/javascript')
    a, none = real.ask((real.alice.did, 'proof', 'latest'), (real.alice.did, 'nothing', 'latest'), dir=d)
    check(a['proven'], a)
    same(len(a['proof'].splitlines()), 4, a['proof'])
    check('names the signing key did:key:zQ3s' in a['proof'] and a['commit'] in a['proof'] and a['rev'] in a['proof'], a)
    check('proven by the tree' in none['message'], none)
    real.alice.deploy('proof', JS + b'//2', 'application/javascript')
    (b,) = real.ask((real.alice.did, 'proof', 'latest'), dir=d, rev=a['rev'])
    check(b['ok'] and b['rev'] > a['rev'] and b['commit'] != a['commit'], a, b)
    (same_rev,) = real.ask((real.alice.did, 'proof', 'latest'), dir=d, rev=b['rev'])
    check(same_rev['ok'], same_rev)
    (back,) = real.ask((real.alice.did, 'proof', 'latest'), dir=d, rev='jzzzzzzzzzzzz')
    same((back['kind'], back['name']), ('remote', 'RevWentBack'), back)


def by_did_and_handle(real):
    d = scratch()
    cid = real.alice.deploy('hello', JS, 'application/javascript', runtime='application/javascript+node')
    a, b, c = real.ask((real.alice.did, 'hello', 'latest'), ('alice.test', 'hello', 'latest'),
                       ('ALICE.test', 'hello', '1.0.0'), dir=d)
    for x in (a, b, c):
        check(x['ok'], x)
        same(x['did'], real.alice.did)
        same(x['code'], cid_raw(JS))
        same(x['bytes'], len(JS))
        same(read(d, x, 'main.js'), JS)
    same(a['cid'], cid)
    same((a['handle'], b['handle']), (None, 'alice.test'), 'handles')
    same(c['uri'], 'at://%s/%s/hello:1.0.0' % (real.alice.did, COLLECTION))
    same(len(files_of(d)), 1, 'files')


def who(real):
    """Who somebody is, and which key signs for them; read again when asked to."""
    a, b = real.ask((real.alice.did, '+identity', '-'), ('alice.test', '+identity', 'renew'))
    same((a['did'], a['handle'], b['handle']), (real.alice.did, None, 'alice.test'), 'names')
    check(a['key'].startswith('z') and a['key'] == b['key'] and a['pds'] == real.pds.url, a)


def pages(real):
    """All records of a collection, a page at a time; and of those only some."""
    collection = 'com.example.note'
    for i in range(105):
        real.alice.put('n%03d' % i, {'$type': collection, 'text': 'odd' if i % 2 else 'even', 'n': i}, collection)
    (a,) = real.ask((real.alice.did, '+records', collection))
    (b,) = real.ask((real.alice.did, '+records', collection), cursor=a['cursor'])
    same((len(a['records']), a['seen'], len(b['records'])), (100, 100, 5), 'pages')
    if b['cursor']:  # some servers learn only from the next page that there is none
        (end,) = real.ask((real.alice.did, '+records', collection), cursor=b['cursor'])
        same((end['records'], end['cursor']), ([], None), end)
    same(len({r['uri'] for r in a['records'] + b['records']}), 105, 'records')
    same(a['records'][0]['value']['n'], 104, 'newest first')
    (c,) = real.ask(('alice.test', '+records', collection), member='text', value='odd', only='text')
    same((len(c['records']), c['seen'], c['records'][0]['value']), (50, 100, {'text': 'odd'}), 'the odd ones')
    (none,) = real.ask((real.alice.did, '+records', 'com.example.nothing'))
    same((none['records'], none['cursor']), ([], None), none)


def versions(real):
    d = scratch()
    old = real.alice.deploy('moving', JS, 'application/javascript', version='1', rkeys=['moving', 'moving:1'])
    new = real.alice.deploy('moving', JS + b'//2', 'application/javascript', version='2', rkeys=['moving', 'moving:2'])
    one, two, latest, cid, gone = real.ask(*[(real.alice.did, 'moving', v) for v in ('1', '2', 'latest', new, old)], dir=d)
    same((one['cid'], two['cid'], latest['cid'], cid['cid']), (old, new, new, new), 'CIDs')
    same((gone['kind'], gone['name']), ('notfound', 'BundleNotFound'), gone)
    check('keeps only the current record' in gone['message'], gone)
    (known,) = real.ask((real.alice.did, 'moving', 'latest'), dir=d, known=new)
    same(known['unchanged'], True, known)
    (known,) = real.ask((real.alice.did, 'moving', 'latest'), dir=d, known=old)
    same(known['unchanged'], False, known)


def archives(real):
    d = scratch()
    files = {'main.js': JS, 'lib/x.js': b'export const x = 1\n'}
    real.alice.deploy('tgz', tar_gz(files), 'application/gzip', runtime='application/javascript+deno')
    real.alice.deploy('zip', zipped(files), 'application/zip', runtime='application/javascript+deno', entry='lib/x.js')
    real.alice.deploy('evil', tar_gz({'../../x': b'x'}), 'application/gzip', runtime='application/javascript+deno')
    real.alice.deploy('hollow', tar_gz({'readme': b'x'}), 'application/gzip', runtime='application/javascript+deno')
    tgz, z, evil, hollow = real.ask(*[(real.alice.did, n, 'latest') for n in ('tgz', 'zip', 'evil', 'hollow')], dir=d)
    for x in (tgz, z):
        check(x['ok'], x)
        same(x['dir'], 'bundles/' + x['code'])
        same(read(d, x, 'lib/x.js'), files['lib/x.js'])
    same((evil['kind'], evil['name']), ('input', 'InvalidBundle'), evil)
    same((hollow['kind'], hollow['name']), ('input', 'InvalidBundle'), hollow)
    check('main.js' in hollow['message'], hollow)


def one_blob_two_names(real):
    """The same bytes under two names are two directories: neither author spoils the other's."""
    d = scratch()
    code = b'# neither here nor there\n'
    real.alice.deploy('as-js', code, 'application/javascript', entry='a.js')
    real.alice.deploy('as-py', code, 'text/x-python')
    js, py = real.ask((real.alice.did, 'as-js', 'latest'), (real.alice.did, 'as-py', 'latest'), dir=d)
    same(js['code'], py['code'])
    check(js['dir'] != py['dir'], js, py)
    same((read(d, js, 'a.js'), read(d, py, 'main.py')), (code, code))


def not_there(real):
    d = scratch()
    nobody = 'did:plc:' + 'a' * 24
    who, what, handle, version = real.ask((nobody, 'x', 'latest'), (real.alice.did, 'nothing', 'latest'),
                                          ('nobody.test', 'x', 'latest'), (real.alice.did, 'nothing', '9.9'), dir=d)
    same((who['kind'], who['name']), ('notfound', 'DidNotFound'), who)
    same((what['kind'], what['name']), ('notfound', 'BundleNotFound'), what)
    same((handle['kind'], handle['name']), ('notfound', 'HandleNotFound'), handle)
    check('nothing:9.9' in version['message'], version)
    same(files_of(d), [])


# ---- servers that lie ------------------------------------------------------------------------------------------

def lies(h, mode):
    d = scratch()
    want = h.modes[mode]
    (a,) = ask((h.did, mode, 'latest'), dev=1, plc=h.url, dir=d, first_byte=1500, total=2500, unpacked=1 << 20)
    if want is None:
        check(a['ok'], a)
        return
    check(not a['ok'], a)
    same(a['kind'], want[0], a['message'])
    check(want[1] in a['message'], a['message'])
    same(os.listdir(d), [], 'what is left of it')


def proof_that_lies(h, did, lie):
    d = scratch()
    (a,) = ask((did, 'lie-' + lie, 'latest'), dev=1, plc=h.url, dir=d, rev=h.rev)
    if h.lies[lie] == '-':
        check(a['ok'] and a['proven'] and a['rev'] == h.rev, a)
        return
    check(not a['ok'], a)
    if lie == 'absent':
        same((a['kind'], a['name']), ('notfound', 'BundleNotFound'), a)
        check('proven by the tree' in a['message'], a)
    elif lie == 'another-record':
        same((a['kind'], a['name']), ('input', 'InvalidBundle'), a)
    else:
        same((a['kind'], a['name']), ('remote', h.lies[lie]), a)
    same(os.listdir(d), [], 'what is left of it')


def rotated_key(h):
    did = 'did:plc:' + 'r' * 24
    (a,) = ask((did, 'rotated', 'latest'), dev=1, plc=h.url, dir=scratch())
    check(a['ok'], a)
    same(h.hits['/' + did], 2, 'readings of the document')


def no_key(h):
    (a,) = ask(('did:plc:' + 'k' * 24, 'fine', 'latest'), dev=1, plc=h.url, dir=scratch())
    same((a['kind'], a['name']), ('remote', 'NoSigningKey'), a)


def identities(h):
    d = scratch()
    n = 'a' * 23
    gone, absent, other, html, inside, thief = ask(
        *[('did:plc:' + c + n, 'fine', 'latest') for c in 'gnoxp'], ('thief.test', 'fine', 'latest'), dev=1, plc=h.url,
        resolver=h.url, dir=d)
    same((gone['kind'], absent['kind'], other['kind'], html['kind'], inside['kind'], thief['kind']),
         ('notfound', 'notfound', 'remote', 'remote', 'remote', 'notfound'), 'kinds')
    check('given up' in gone['message'], gone)
    check('is about' in other['message'], other)
    check('169.254.169.254' in inside['message'], inside)
    check('names hostile.test' in thief['message'], thief)


def one_fetch_for_many(h):
    d = scratch()
    before = dict(h.hits)
    answers = ask(*[(h.did, 'fine', 'latest')] * 40, dev=1, plc=h.url, dir=d)
    check(all(a['ok'] for a in answers), answers[0])
    hits = {k: v - before.get(k, 0) for k, v in h.hits.items()}
    same((hits['/' + h.did], hits['/xrpc/com.atproto.sync.getBlob']), (1, 1), 'fetches of the document and of the blob')


def deadline_of_the_call(h):
    (a,) = ask((h.did, 'silent', 'latest'), dev=1, plc=h.url, dir=scratch(), deadline=300)
    same(a['kind'], 'timeout', a)
    check("what was left of the call's time" in a['message'] or 'first_byte' in a['message'], a)


def not_for_strangers(h):
    """Without dev neither loopback nor plain http is touched."""
    before = sum(h.hits.values())
    (a,) = ask((h.did, 'fine', 'latest'), plc=h.url, dir=scratch())
    same(a['kind'], 'remote', a)
    check('only https is fetched' in a['message'], a)
    (a,) = ask((h.did, 'fine', 'latest'), plc=h.url.replace('http:', 'https:'), dir=scratch())
    check(not a['ok'], a)
    same(sum(h.hits.values()), before, 'requests that reached it')


def main():
    t = Cases()
    if not os.access(PROBE, os.X_OK):
        t.run('fetcher', lambda: skip('no %s: make it first' % os.path.relpath(PROBE)))
        t.end()
    try:
        h = Hostile()
    except Skipped as e:
        why = str(e)
        t.run('servers that lie', lambda: skip(why))
        t.end()
    for mode in h.modes:
        t.run('a server that lies: ' + mode, lies, h, mode)
    for lie in h.lies:
        t.run('a proof that lies: ' + lie, proof_that_lies, h, h.did, lie)
        t.run('a proof that lies, on P-256: ' + lie, proof_that_lies, h, h.did_p256, lie)
    t.run('a key that was rotated is read again', rotated_key, h)
    t.run('an author without a key proves nothing', no_key, h)
    t.run('identities that lie are refused', identities, h)
    t.run('one fetch serves many requests', one_fetch_for_many, h)
    t.run('no fetch outlives its call', deadline_of_the_call, h)
    t.run('loopback is for developers', not_for_strangers, h)
    h.stop()
    try:
        real = Real()
    except Skipped as e:
        why = str(e)
        t.run('a real PDS', lambda: skip(why))
        t.end()
    for fn in (proven, who, pages, by_did_and_handle, versions, archives, one_blob_two_names, not_there):
        t.run('a real PDS: ' + fn.__name__.replace('_', ' '), fn, real)
    t.end()


main()
