#!/usr/bin/env python3
"""The lexicons are valid, and take and refuse the records that lib/bundle takes and refuses."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import COLLECTION, ROOT, Cases, cid_raw, check, pds_node, same, skip  # noqa: E402

BLOB = {'$type': 'blob', 'ref': {'$link': cid_raw(b'x')}, 'mimeType': 'application/javascript', 'size': 1}
GOOD = {'$type': COLLECTION, 'name': 'hello', 'version': '1.2.0', 'runtime': 'application/javascript+deno', 'code': BLOB,
        'entry': 'main.js', 'endpoints': {'listVideos': {}, 'thumb': {'task': True, 'concurrency': 1, 'idempotent': True}},
        'permissions': {'net': ['api.example.com:443'], 'read': [], 'write': ['/tmp'], 'env': ['LANG']},
        'limits': {'timeoutMs': 10000, 'memoryMb': 128}, 'createdAt': '2026-01-01T00:00:00.000Z'}


def but(**fields):
    return {k: v for k, v in dict(GOOD, **fields).items() if v is not None}


BUNDLES = [(GOOD, True), (but(later=1), True), (but(endpoints=None), True), (but(runtime=None), True),
           (but(name=None), False), (but(name=7), False), (but(name=''), False), (but(code='x'), False), (but(code=None), False),
           (but(limits={'timeoutMs': 0}), False), (but(limits={'timeoutMs': 'x'}), False),
           (but(permissions={'net': 'x'}), False), (but(permissions={'net': [1]}), False),
           (but(createdAt='today'), False), (but(secrets=['API_KEY']), True), (but(secrets='API_KEY'), False), (but(secrets=[1]), False), (but(version=''), False), (but(entry=''), False)]


SEALED = {'$type': 'dev.at-run.secret', 'bundle': 'hello', 'runner': 'did:web:runner.example.com', 'key': 'z6LS' + '1' * 44,
          'box': {'$bytes': 'A' * 400}, 'expiresAt': '2027-01-01T00:00:00Z', 'createdAt': '2026-01-01T00:00:00Z'}
SECRETS = [(SEALED, True), (dict(SEALED, later=1), True), (dict(SEALED, box={'$bytes': 'AAAA'}), False),
           (dict(SEALED, box='x'), False), (dict(SEALED, runner='nobody'), False), (dict(SEALED, key='z' * 60), False),
           (dict(SEALED, bundle=''), False), ({k: v for k, v in SEALED.items() if k != 'box'}, False)]


ANNOUNCED = {'$type': 'dev.at-run.runner', 'service': 'did:web:runner.example.com#at_run', 'url': 'https://runner.example.com',
             'runtimes': ['application/javascript+node'], 'isolation': 'sandbox', 'publicKey': 'z6LS' + '1' * 44,
             'signingKey': 'z6Mk' + '1' * 44, 'contact': 'me', 'createdAt': '2026-01-01T00:00:00Z'}
RUNNERS = [(ANNOUNCED, True), (dict(ANNOUNCED, signingKey=1), False), (dict(ANNOUNCED, url='here'), False),
           (dict(ANNOUNCED, runtimes='node'), False), ({k: v for k, v in ANNOUNCED.items() if k != 'service'}, False)]


def ask(cases):
    found = pds_node()
    if not found or not os.path.isdir(os.path.join(found[1], '@atproto', 'lexicon')):
        skip('no @atproto/lexicon here: run sh contrib/check.sh once')
    p = subprocess.run([found[0], os.path.join(ROOT, 'tests', 'e2e', 'lexicons.mjs')], input=json.dumps(cases).encode(),
                       capture_output=True, timeout=60, env=dict(os.environ, AT_RUND_PDS_MODULES=found[1]))
    check(p.returncode == 0, p.stderr.decode()[-1500:])
    return json.loads(p.stdout)


def valid():
    got = ask([])
    for name in ('bundle', 'runner', 'secret', 'invoke', 'describeRunner', 'getJob', 'cancelJob', 'listJobs', 'getLogs'):
        check('dev.at-run.' + name in got['lexicons'], name, got['lexicons'])


def records():
    got = ask([{'record': r, 'valid': ok} for r, ok in BUNDLES + SECRETS + RUNNERS])
    for (record, ok), answer in zip(BUNDLES + SECRETS + RUNNERS, got['answers']):
        check(answer is None, answer, record)


def outputs():
    job = {'id': '1-' + 'a' * 32, 'state': 'done', 'outcome': 'ok', 'result': {'status': 200, 'headers': [['a', 'b']], 'bytes': 1}, 'receipt': 'a.b.c', 'starts': 2,
           'attempts': [{'attempt': 1, 'outcome': 'error', 'startedAt': '2026-01-01T00:00:00.000Z', 'endedAt': '2026-01-01T00:00:01.000Z', 'error': 'Error'},
                        {'attempt': 2, 'startedAt': '2026-01-01T00:00:02.000Z'}],
           'callback': {'url': 'https://a.example.com/', 'state': 'due', 'attempts': 2, 'status': 503, 'nextAt': '2026-01-01T00:00:00.000Z'}}
    card = {'did': None, 'operator': 'did:plc:ewvi7nxzyoun6zhxrhs64oiz', 'keys': {'secrets': ['z6LS'], 'receipts': []}, 'software': 'at-rund', 'version': '0', 'access': {'mode': 'open'},
            'runtimes': [{'name': 'node', 'mimeTypes': ['a/b'], 'wall': None}]}
    got = ask([{'record': job, 'valid': True, 'output': True, 'nsid': 'dev.at-run.getJob'},
               {'record': {'lines': [{'line': 7, 'at': '2026-01-01T00:00:00.000Z', 'level': 'info', 'source': 'stdout', 'text': 'x'}], 'cursor': '7'},
                'valid': True, 'output': True, 'nsid': 'dev.at-run.getLogs'},
               {'record': {'jobs': [{'id': '1-a', 'state': 'done'}]}, 'valid': True, 'output': True, 'nsid': 'dev.at-run.listJobs'},
               {'record': {'lines': [{'line': '7'}]}, 'valid': False, 'output': True, 'nsid': 'dev.at-run.getLogs'},
               {'record': card, 'valid': True, 'output': True, 'nsid': 'dev.at-run.describeRunner'},
               {'record': {'state': 'done'}, 'valid': False, 'output': True, 'nsid': 'dev.at-run.getJob'}])
    same(got['answers'], [None] * 6)


t = Cases()
t.run('the lexicons are lexicons', valid)
t.run('the lexicons of bundle, secrets and runner take and refuse records', records)
t.run('answers of the methods fit their lexicons', outputs)
t.end()
