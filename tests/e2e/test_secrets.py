#!/usr/bin/env python3
"""Secrets: sealed by an author, stored in their repository on a real PDS, opened by the keeper, seen by the handler alone."""
import base64
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

MIME = {'deno': 'application/javascript+deno', 'node': 'application/javascript+node', 'python': 'application/python'}
FILE = {'deno': 'secret.ts', 'node': 'secret.mjs', 'python': 'secret.py'}
SECRET = 'dev.at-run.secret'
CANARY = 'canary-%s-%s' % (word(12), word(12))
PEM = '-----BEGIN %s-----\n%s\n-----END-----' % (word(8), word(40))

t = Cases()
began = time.time()
where = scratch()
pds = runner = alice = bob = None


def setup():
    global pds, runner, alice, bob
    pds = Pds(where)
    alice, bob = pds.account('alice.test'), pds.account('bob.test')
    for language in MIME:
        alice.deploy('secret-' + language, source(FILE[language]), 'text/plain', runtime=MIME[language], entry=FILE[language],
                     secrets=['API_KEY', 'PEM'])
    alice.deploy('plain', source('secret.mjs'), 'text/plain', runtime=MIME['node'], entry='secret.mjs')
    runner = Runner(where, user='www-data', sections={
        'access': {'mode': 'open'}, 'callers': {'mode': 'open'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)], 'record_fresh': '1s'},
        'pool': {'max': '8'}})
    runner.conf_top['did'] = 'did:web:localhost%%3A%d' % runner.port
    runner.init().start()
    until(lambda: runner.sql('select 1 from v_keys'), 'the public keys in the ledger')


def run(name, endpoint='see', author=None):
    return call('%s/bundle/%s/%s/latest/%s' % (runner.url, (author or alice).did, name, endpoint))


def sealed(name, text, *more, author=None):
    r = runner.cli('secret', 'seal', '--author', (author or alice).did, '--bundle', name, *more, stdin=text)
    check(r.returncode == 0, r.stderr)
    return json.loads(r.stdout)


def publish(body, account=None, **changes):
    account = account or alice
    account.put(body['rkey'], dict(body['record'], **changes), body['collection'])


def text_of(api=CANARY, **more):
    return json.dumps(dict({'API_KEY': api, 'PEM': PEM, 'OTHER_KEY': 'not asked for'}, **more))


def seal_mjs(text, *more):
    found, modules = pds_node(), os.path.join(DEPS, 'sodium', 'node_modules')
    if not found or not os.path.isdir(modules):
        skip('no libsodium-wrappers here: run sh contrib/check.sh once')
    p = subprocess.run([found[0], os.path.join(ROOT, 'contrib', 'seal.mjs'), '--author', alice.did, '--bundle', 'secret-node',
                        *more], input=text, capture_output=True, text=True, timeout=60,
                       env=dict(clean_env(), NODE_PATH=os.path.dirname(modules)))
    check(p.returncode == 0, p.stderr)
    return json.loads(p.stdout)


def this_runner():
    return ('--runner', runner.conf_top['did'], '--key', runner.cli('secret', 'key').stdout.strip())


def sum_of(value):
    return hashlib.sha256(value.encode()).hexdigest()


def seen(name, want=CANARY):
    """What the handler sees, once it is what we want: a new box is noticed with the next look at the record."""
    def once():
        a = run(name)
        return a if a.status == 200 and a.json['api'] == sum_of(want) else check(False, a)
    return until(once, 'the secret in the handler of ' + name, 30)


def refused(name, error, *words):
    """So it is, once the runner has seen the record that was published last."""
    def once():
        a = run(name)
        check(a.status != 200 and a.error == error and all(w in a.json['message'] for w in words), a)
        return a
    return until(once, '%s refused with %s %s' % (name, error, words), 30)


# ---- cases ----

def missing():
    a = run('secret-node')
    same((a.status, a.error), (403, 'SecretsMissing'), a)
    check('API_KEY' in a.json['message'] and 'at-rund secret seal' in a.json['message'], a)


def keys():
    r = runner.cli('secret', 'key')
    check(re.match(r'z6LS[1-9A-HJ-NP-Za-km-z]{44}$', r.stdout.strip()), r)
    rows = runner.sql('select key, use, state from v_keys order by use')
    same([(u, s) for _, u, s in rows], [('receipts', 'current'), ('secrets', 'current')])
    same(rows[1][0], r.stdout.strip())
    for name in os.listdir(os.path.join(runner.home, 'keys')):
        mode = os.stat(os.path.join(runner.home, 'keys', name)).st_mode & 0o777
        same(mode, 0o600, name)


def sees(language):
    name = 'secret-' + language
    publish(sealed(name, text_of()))
    a = seen(name)
    same(a.json, {'names': ['API_KEY', 'PEM'], 'api': sum_of(CANARY), 'ctx': sum_of(CANARY), 'pem': sum_of(PEM), 'process': True})


def redacted(language):
    name = 'secret-' + language
    a = run(name, 'say')
    same((a.status, a.text), (200, '"said"' if language != 'python' else 'said'), a)
    a = run(name, 'fail')
    check(a.status == 500 and '[secret API_KEY]' in a.json['message'] and CANARY not in a.text, a)
    until(lambda: runner.sql("select 1 from log where text like '%[secret API_KEY]%'"), 'a line in the log')


def javascript():
    value = word(20)
    publish(seal_mjs('API_KEY=%s\n# comment\nPEM="x y"\n' % value, *this_runner()))
    same(seen('secret-node', value).json['pem'], sum_of('x y'))


def wrong_context():
    """Boxes that were moved: into another repository, under another bundle, for another runner."""
    body = sealed('secret-node', text_of())
    bob.deploy('secret-node', source('secret.mjs'), 'text/plain', runtime=MIME['node'], entry='secret.mjs', secrets=['API_KEY'])
    publish(body, bob)
    a = run('secret-node', author=bob)
    same((a.status, a.error), (403, 'SecretMismatch'), a)
    check('author' in a.json['message'] and CANARY not in a.text, a)
    other = sealed('another', text_of())
    publish(dict(body, record=dict(other['record'], bundle='secret-node')))
    refused('secret-node', 'SecretMismatch', 'bundle')
    key = runner.cli('secret', 'key').stdout.strip()
    foreign = sealed('secret-node', text_of(), '--runner', 'did:web:elsewhere.example.com', '--key', key)
    publish(dict(body, record=dict(foreign['record'], runner=runner.conf_top['did'])))
    refused('secret-node', 'SecretMismatch', 'runner')


def damaged():
    body = sealed('secret-node', text_of())
    raw = bytearray(base64.b64decode(body['record']['box']['$bytes'] + '=='))
    raw[60] ^= 1
    publish(body, box={'$bytes': base64.b64encode(bytes(raw)).decode().rstrip('=')})
    refused('secret-node', 'SecretUnreadable')
    publish(body, box={'$bytes': 'AAAA'})
    refused('secret-node', 'SecretUnreadable')
    publish(body, box='no bytes')
    refused('secret-node', 'SecretMalformed')
    publish(sealed('secret-node', 'API_KEY=x'))
    refused('secret-node', 'SecretsMissing', 'PEM')


def rotation():
    publish(sealed('secret-node', text_of('before the rotation')))
    seen('secret-node', 'before the rotation')
    old = runner.cli('secret', 'key').stdout.strip()
    r = runner.cli('secret', 'rotate')
    check(r.returncode == 0, r.stderr)
    new = until(lambda: (lambda k: k if k != old else None)(runner.cli('secret', 'key').stdout.strip()), 'the new key')
    # Two live keys: a box for either opens.  A new record is what makes an instance start anew.
    again = sealed('secret-node', text_of('sealed for the old one'), '--runner', runner.conf_top['did'], '--key', old)
    same(again['record']['key'], old)
    publish(again)
    seen('secret-node', 'sealed for the old one')
    publish(sealed('secret-node', text_of('sealed for the new one')))
    seen('secret-node', 'sealed for the new one')
    publish(again)
    seen('secret-node', 'sealed for the old one')
    r = runner.cli('secret', 'revoke', old)
    check(r.returncode == 0, r.stderr)
    refused('secret-node', 'SecretUnknownKey', old, new)
    r = runner.cli('secret', 'revoke', new)
    check(r.returncode != 0 and 'rotate' in r.stderr, r)
    same(runner.sql("select count(*) from v_keys where key = ?", old), [(0,)])
    publish(sealed('secret-node', text_of()))
    seen('secret-node')


def taken_back():
    pds.xrpc('com.atproto.repo.deleteRecord', {'repo': alice.did, 'collection': SECRET,
                                               'rkey': sealed('secret-node', text_of())['rkey']}, alice)
    refused('secret-node', 'SecretsMissing')
    publish(sealed('secret-node', text_of()))
    seen('secret-node')


def expired():
    publish(seal_mjs(text_of(), *this_runner(), '--days', '0.00000001'))
    refused('secret-node', 'SecretExpired')
    publish(sealed('secret-node', text_of()))
    seen('secret-node')


def restart():
    """Sealed boxes outlive the scheduler and the author's server."""
    seen('secret-node')
    runner.stop()
    runner.start()
    same(run('secret-node').json['api'], sum_of(CANARY))


def open_file():
    path = os.path.join(runner.home, 'keys', 'secrets-%d.key' % runner.sql(
        "select number from v_keys where use = 'secrets' and state = 'current'")[0][0])
    os.chmod(path, 0o644)
    runner.stop()
    runner.start()
    a = run('secret-node')
    same(a.status, 503, a)
    check('chmod 600 ' + path in a.json['message'], a)
    same(run('plain').status, 200)
    os.chmod(path, 0o600)
    until(lambda: run('secret-node').status == 200, 'the secret again', 20)


def keepers():
    return [p for p, cmd in processes_of(runner.home) if '--role keeper' in cmd]


def fresh():
    """Instances go, so that the next call opens a box."""
    r = runner.cli('pool', 'drain')
    check(r.returncode == 0, r.stderr)
    until(lambda: runner.sql("select count(*) from v_instances where state <> 'ended' and bundle like '%/secret-%'") == [(0,)],
          'the instances to go')


def guarded():
    """What the keeper can still do once it has read the keys; and that its death is no end."""
    fresh()
    seen('secret-node')
    pid = until(keepers, 'a keeper')[0]
    with open('/proc/%d/status' % pid) as f:
        status = f.read()
    check(re.search(r'^Seccomp:\s+2$', status, re.M) and re.search(r'^NoNewPrivs:\s+1$', status, re.M), status)
    fds = {os.readlink('/proc/%d/fd/%s' % (pid, n)).split(':')[0] for n in os.listdir('/proc/%d/fd' % pid)} if os.geteuid() == 0 else set()
    check(fds <= {'/dev/null', 'socket', runner.log} | {f for f in fds if f.startswith(('/dev/', 'pipe'))}, fds)
    os.kill(pid, signal.SIGKILL)
    fresh()
    seen('secret-node')
    check(keepers() != [pid], pid)


def lent():
    """systemd's LoadCredential=: the keys come from there, and keys/ is not looked at."""
    r, keys_dir, there = runner, os.path.join(runner.home, 'keys'), os.path.join(where, 'credentials')
    before = r.cli('secret', 'key').stdout
    os.rename(keys_dir, there)
    r.env['CREDENTIALS_DIRECTORY'] = there
    r.stop()
    r.start()
    fresh()
    seen('secret-node')
    same((r.cli('secret', 'key').stdout, os.path.exists(keys_dir)), (before, False))
    got = r.cli('secret', 'rotate')
    check(got.returncode != 0 and 'LoadCredential' in got.stderr, got)
    del r.env['CREDENTIALS_DIRECTORY']
    os.rename(there, keys_dir)
    r.stop()
    r.start()


def local():
    """A bundle of [dev] bundles has no author who could seal: its secrets are the developer's environment."""
    top = os.path.join(where, 'local', 'mine')
    os.makedirs(top)
    with open(os.path.join(top, 'bundle.json'), 'w') as f:
        json.dump({'name': 'mine', 'runtime': MIME['node'], 'entry': 'main.mjs', 'secrets': ['DEV_KEY']}, f)
    with open(os.path.join(top, 'main.mjs'), 'w') as f:
        f.write('export const see = (_r, env) => env.DEV_KEY?.length ?? null;')
    dev = Runner(where, name='dev', bundles=os.path.dirname(top))
    dev.env['DEV_KEY'] = 'twelve-signs'
    dev.init().start()
    same(call(dev.url + '/bundle/local/mine/latest/see').json, 12)
    dev.stop()


def without():
    """A bundle that names no secrets starts no keeper."""
    until(lambda: not keepers(), 'the keeper to go', 60)
    same(run('plain').status, 200)
    same(keepers(), [])
    same(runner.sql("select count(*) from sealed where bundle = 'plain'"), [(0,)])


def files_of(top):
    for d, _, names in os.walk(top):
        for n in names:
            path = os.path.join(d, n)
            # To open a FIFO would wait for ever; what is older than the canary cannot hold it.
            with contextlib.suppress(OSError):
                if os.path.isfile(path) and os.path.getmtime(path) >= began - 1:
                    yield path


def holds(path, needles):
    try:
        with open(path, 'rb') as f:
            data = f.read()
    except OSError:
        return False
    return any(n in data for n in needles)


def canary():
    """Calls of all kinds are under way, and the secret is nowhere but in the memory of who must have it."""
    for language in MIME:
        publish(sealed('secret-' + language, text_of()))
        seen('secret-' + language)
        run('secret-' + language, 'say')
        run('secret-' + language, 'fail')
    waiting = threading.Thread(target=run, args=('secret-node', 'wait'))
    waiting.start()
    until(lambda: runner.sql("select 1 from v_jobs where state = 'running' and endpoint = 'wait'"), 'a running call')
    line = PEM.split('\n')[1]
    needles = [v.encode() for v in (CANARY, line)] + [base64.b64encode(CANARY.encode()).rstrip(b'=')[:-2],
                                                      CANARY.encode().hex().encode(), CANARY.encode('utf-16-le')]
    found = ['/proc/%s/%s' % (pid, what) for pid in filter(str.isdigit, os.listdir('/proc'))
             for what in ('environ', 'cmdline') if holds('/proc/%s/%s' % (pid, what), needles)]
    found += [p for p in files_of(where) if holds(p, needles)]
    found += [p for d in ('/dev/shm', '/var/tmp') for p in files_of(d) if holds(p, needles)]
    same(found, [])
    check(os.path.getsize(runner.db + '-wal') > 0, 'the WAL is empty, so nothing was looked for in it')
    check(holds(runner.db, [b'[secret API_KEY]']) or holds(runner.db + '-wal', [b'[secret API_KEY]']), 'no redacted line')
    for pid, cmd in processes_of(runner.home):
        if '--role keeper' in cmd or cmd.split(' ')[0].endswith('at-rund-scheduler'):
            limits = open('/proc/%d/limits' % pid).read()
            check(re.search(r'Max core file size +0 +0 ', limits), cmd, limits)
    waiting.join()


t.run('the PDS, the runner and three bundles that name secrets', setup)
if pds and runner and runner.p:
    t.run('the keys were made, and only their owner reads them', keys)
    t.run('a bundle whose secrets are missing does not run, and the answer says how to seal them', missing)
    for one in MIME:
        t.run('the handler sees what it asked for, and nobody else does (%s)' % one, sees, one)
        t.run('values are cut out of logs and errors (%s)' % one, redacted, one)
    t.run('contrib/seal.mjs seals with nothing of ours', javascript)
    t.run('a box that was moved is refused', wrong_context)
    t.run('a damaged box, and a record that is none, are refused by name', damaged)
    t.run('two keys live through a rotation, and a revoked one is lost', rotation)
    t.run('an author takes secrets back', taken_back)
    t.run('secrets expire', expired)
    t.run('sealed boxes outlive a restart', restart)
    t.run('a key file that others can read is refused, with the command that mends it', open_file)
    t.run('the canary is found nowhere', canary)
    t.run('the keeper can open nothing, and its death is no end', guarded)
    t.run('systemd may hand the keys over', lent)
    t.run('a local bundle has the environment instead', local)
    t.run('a bundle without secrets starts no keeper', without)
t.end()
