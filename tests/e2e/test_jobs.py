"""Jobs that last: keys, tasks, retries, schedules, callbacks, turns; behind lighttpd and Apache."""
import datetime
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

NODE = 'application/javascript+node'
t = Cases()
where = scratch()
pds = runner = alice = None
fronts = {}

# Handlers write their starts to a file of their own.
CODE = b"""
import fs from 'node:fs';
const note = (name) => fs.appendFileSync('%s/' + name, 'x');
const sleep = (ms) => new Promise((d) => setTimeout(d, ms));

export async function slow(r) {
  const u = new URL(r.url);
  note(u.searchParams.get('note'));
  await sleep(Number(u.searchParams.get('ms') ?? 0));
  return new Response('made ' + (await r.text()), { status: 201, headers: { 'x-own': 'yes' } });
}
/* Marks its start and its end in one file. */
export async function busy(r) {
  const u = new URL(r.url), name = u.searchParams.get('note'), letter = u.searchParams.get('as') ?? '';
  fs.appendFileSync('%s/' + name, '+' + letter);
  await sleep(Number(u.searchParams.get('ms') ?? 0));
  fs.appendFileSync('%s/' + name, '-' + letter);
  return 'done';
}
export { busy as one, busy as low, busy as high };
const count = (name) => fs.readFileSync('%s/' + name).length;
export function flaky(r) {
  const u = new URL(r.url), name = u.searchParams.get('note');
  note(name);
  if (count(name) < Number(u.searchParams.get('until'))) throw new Error('not yet');
  return 'made it';
}
export function strict(r) { return flaky(r); }
export function dies(r) { note(new URL(r.url).searchParams.get('note')); process.kill(process.pid, 'SIGKILL'); return sleep(5000); }
export async function slowly(r) { note(new URL(r.url).searchParams.get('note')); await sleep(60000); }
export async function lasting(r) { note(new URL(r.url).searchParams.get('note')); await sleep(1500); return 'lasted'; }
/* By itself: what it was told, then some time. */
async function timed(r, env, ctx) {
  fs.appendFileSync('%s/timed-' + ctx.endpoint, r.method + ' ' + r.headers.get('at-run-due') + ' '
    + r.headers.get('at-run-schedule') + '\\n');
  while (ctx.endpoint.startsWith('long') && !fs.existsSync('%s/go-on')) await sleep(20);
  return 'done';
}
export { timed as longSkip, timed as longQueue, timed as longParallel, timed as shortSkip, timed as shortOnce };
export function fails(r) { note(new URL(r.url).searchParams.get('note')); throw new Error('on purpose'); }
"""

BUNDLES = {
    'jobs': {'endpoints': {'slow': {}, 'fails': {}}},
    'again': {'endpoints': {
        'flaky': {'idempotent': True, 'attempts': 4, 'backoffMs': 30}, 'strict': {'attempts': 4, 'backoffMs': 30},
        'dies': {'idempotent': True, 'attempts': 5}, 'slowly': {'idempotent': True, 'attempts': 2, 'timeoutMs': 300},
        'lasting': {'idempotent': True}}},
    'tasks': {'endpoints': {'slow': {'task': True}, 'lasting': {}}},
    'turns': {'endpoints': {'busy': {}, 'one': {'concurrency': 1}}},
    'pair': {'endpoints': {'busy': {}, 'one': {}}, 'limits': {'concurrency': 2}},
    'prio': {'endpoints': {'busy': {}, 'low': {'priority': -5}, 'high': {'priority': 5}}, 'limits': {'concurrency': 1}},
}


YEARLY = '30 2 1 1 *'
TIMED = {'longSkip': {'schedule': YEARLY}, 'longQueue': {'schedule': YEARLY, 'overlap': 'queue'},
         'longParallel': {'schedule': YEARLY, 'overlap': 'parallel'}, 'shortSkip': {'schedule': YEARLY},
         'shortOnce': {'schedule': '*/5 * * * *', 'missed': 'once', 'timeZone': 'Europe/Berlin'}}


def notes(name):
    try:
        with open(os.path.join(where, 'notes', name)) as f:
            return f.read()
    except OSError:
        return ''


def starts(name):
    return len(notes(name))


def side_by_side(text):
    """The most that ran at one time."""
    most = now = 0
    for c in text:
        now += {'+': 1, '-': -1}.get(c, 0)
        most = max(most, now)
    return most


def setup():
    global pds, runner, alice
    place = os.path.join(where, 'notes')
    os.makedirs(place)
    os.chmod(place, 0o777)
    code = CODE.replace(b'%s', place.encode())
    pds = Pds(where)
    alice = pds.account('alice.test')
    for name, fields in BUNDLES.items():
        alice.deploy(name, code, 'application/javascript', runtime=NODE, entry='main.mjs', **fields)
    alice.code = code
    alice.deploy('timed', code, 'application/javascript', runtime=NODE, entry='main.mjs', endpoints=TIMED)
    runner = Runner(where, user='www-data', did=alice.did, handle=alice.handle, sections={
        'access': {'mode': 'blocklist', 'allowlist': [alice.did]},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
        'limits': {'timeout': '20s', 'priority': '10'}, 'pool': {'max': '6'},
        'jobs': {'backoff': '50ms', 'poison': '2'}, 'schedules': {'refresh': '1s'},
    })
    runner.conf_top['isolation'] = 'none'
    runner.init().start()
    fronts['lighttpd'] = lighttpd(where, runner)
    fronts['apache'] = apache(where, runner)
    until(lambda: call(url('slow', '?note=warm-up'), 'POST', b'').status == 201, 'the bundle answers', 60)


def url(endpoint, rest='', base=None, bundle='jobs'):
    return '%s/bundle/%s/%s/latest/%s%s' % (base or runner.url, alice.did, bundle, endpoint, rest)


def done(job, wait=20):
    a = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=%d' % (runner.url, job, wait))
    same((a.status, a.json.get('state')), (200, 'done'), a)
    return a.json


# ---- Idempotency-Key ----

def keyed(base, key, rest, body=b'it', prefer=None, endpoint='slow', method='POST'):
    headers = [('Idempotency-Key', key)] + ([('Prefer', prefer)] if prefer else [])
    return call(url(endpoint, rest, base), method, body, headers)


def key_once(base):
    note, key = word(), word()
    first = keyed(base, key, '?note=%s' % note)
    second = keyed(base, '"%s"' % key, '?note=%s' % note)
    for a in (first, second):
        same((a.status, a.text, a.header('x-own')), (201, 'made it', 'yes'), a)
    same(second.header('at-run-job'), first.header('at-run-job'))
    same(starts(note), 1, 'starts')
    third = keyed(base, key, '?note=%s' % note, prefer='respond-async')
    same((third.status, third.header('at-run-job')), (202, first.header('at-run-job')), third)


def key_running(base):
    """Who comes while it runs waits for the same answer; who was cut off finds it again."""
    note, key = word(), word()
    rest = '?ms=1500&note=%s' % note
    got = []
    crowd = [threading.Thread(target=lambda: got.append(keyed(base, key, rest))) for _ in range(4)]
    host, port, target = split(url('slow', rest, base))
    with socket.create_connection((host, port), timeout=10) as s:
        s.sendall(b'POST %s HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: %s\r\nContent-Length: 2\r\n\r\nit'
                  % (target.encode(), key.encode()))
        until(lambda: starts(note) == 1, 'it has started')
    for c in crowd:
        c.start()
    for c in crowd:
        c.join(60 * SLOW)
    same([(a.status, a.text) for a in got], [(201, 'made it')] * 4, got)
    same(len({a.header('at-run-job') for a in got}), 1)
    same(starts(note), 1, 'starts')


def key_other(base):
    note, key = word(), word()
    same(keyed(base, key, '?note=' + note).status, 201)
    for a in (keyed(base, key, '?note=%s&x=1' % note), keyed(base, key, '?note=' + note, b'other'),
              keyed(base, key, '?note=' + note, method='PUT'), keyed(base, key, '/more?note=' + note)):
        same((a.status, a.error), (422, 'IdempotencyKeyReused'), a)
    same(starts(note), 1, 'starts')
    a = keyed(base, 'two words', '?note=' + note)
    same((a.status, a.error), (400, 'InvalidRequest'), a)


def key_failure():
    """What failed after it started is told again, not tried again; what never ran may be tried again."""
    note, key = word(), word()
    for _ in range(2):
        a = keyed(None, key, '?note=' + note, endpoint='fails')
        same((a.status, a.error), (500, 'HandlerFailed'), a)
    same(starts(note), 1, 'starts')
    for _ in range(2):
        same(keyed(None, key + 'x', '', endpoint='missing').status, 404)
    rows = runner.sql("SELECT count(*) FROM job WHERE endpoint = 'missing'")
    same(rows, [(2,)])


# ---- tasks ----

def task_call(base):
    """202 without being asked for, then the answer with its own status, headers and body."""
    note = word()
    a = call(url('slow', '?ms=300&note=' + note, base, 'tasks'), 'POST', b'it')
    same((a.status, a.header('preference-applied')), (202, None), a)
    job, where_it_is = a.header('at-run-job'), a.header('location')
    check(re.match(r'\d+-[0-9a-f]{32}$', job) and where_it_is.endswith('/job/' + job), a)
    same(call(base + where_it_is + '/result').status, 409)
    d = done(job)
    same((d['outcome'], d['mode'], d['starts'], d['result']['status'], d['result']['body']), ('ok', 'async', 1, 201, 'made it'))
    for wants, mime in (('application/json', 'application/json'), ('text/html', 'text/html')):
        page = call(base + where_it_is, headers=[('Accept', wants)])
        check(page.status == 200 and page.header('content-type').startswith(mime) and 'done' in page.text, page)
    r = call(base + where_it_is + '/result')
    same((r.status, r.text, r.header('x-own')), (201, 'made it', 'yes'), r)
    same(call(base + '/job/%s-%s' % (job.split('-')[0], '0' * 32)).status, 404)


def task_key(base):
    note, key = word(), word()
    got = [call(url('slow', '?note=' + note, base, 'tasks'), 'POST', b'it', [('Idempotency-Key', key)]) for _ in range(2)]
    same([a.status for a in got], [202, 202], got)
    same(len({a.header('at-run-job') for a in got}), 1)
    done(got[0].header('at-run-job'))
    same(starts(note), 1)
    a = call(url('slow', '?ms=300&note=' + note, base, 'tasks'), 'POST', b'it', [('Prefer', 'wait=15')])
    same((a.status, a.text), (201, 'made it'), a)
    a = call(url('nothing', '', base, 'tasks'), 'POST', b'')
    same((a.status, a.error), (404, 'EndpointNotFound'), a)


def goes_on():
    """A handler that does not hear of its cancelling takes its instance along."""
    note = word()
    job = accepted('lasting', '?note=' + note, bundle='tasks')
    until(lambda: starts(note) == 1, 'it runs')
    same(post_json(runner.url + '/xrpc/dev.at-run.cancelJob', {'id': job}).status, 200)
    same(done(job)['outcome'], 'cancelled')
    instance = runner.sql('SELECT instance FROM v_jobs WHERE row = ?', row(job))[0][0]
    why = until(lambda: runner.sql('SELECT why FROM v_instances WHERE instance = ? AND why IS NOT NULL', instance), 'it ends')
    same(why, [('a handler went on after its call was cancelled',)])


# ---- turns ----

def accepted(endpoint, rest='', base=None, bundle='jobs', headers=()):
    a = call(url(endpoint, rest, base, bundle), 'POST', b'', [('Prefer', 'respond-async')] + list(headers))
    same(a.status, 202, a)
    return a.header('at-run-job')


def one_at_a_time():
    """An endpoint's own limit; the bundle's other endpoints are not held up by its backlog."""
    note = word()
    jobs = [accepted('one', '?ms=150&note=' + note, bundle='turns') for _ in range(6)]
    a = call(url('busy', '?note=' + note + 'x', bundle='turns'))
    same((a.status, a.json), (200, 'done'), a)
    check(notes(note).count('-') < 6, 'the backlog was over before another endpoint answered', notes(note))
    for j in jobs:
        same(done(j)['outcome'], 'ok')
    same(notes(note), '+-' * 6)


def two_of_a_bundle():
    note = word()
    jobs = [accepted(e, '?ms=200&note=' + note, bundle='pair') for e in ('busy', 'one') * 3]
    for j in jobs:
        same(done(j)['outcome'], 'ok')
    text = notes(note)
    same((text.count('+'), side_by_side(text) <= 2), (6, True), text)


def who_goes_first():
    """Priority, then age; one at a time makes the order seen."""
    note = word()
    jobs = [accepted('busy', '?ms=600&as=a&note=' + note, bundle='prio')]
    until(lambda: notes(note) == '+a', 'the first runs')
    jobs += [accepted(e, '?as=%s&note=%s' % (x, note), bundle='prio')
             for e, x in (('low', 'l'), ('busy', 'b'), ('busy', 'c'), ('high', 'h'))]
    for j in jobs:
        same(done(j)['outcome'], 'ok')
    same(re.sub('[-+]', '', notes(note))[::2], 'ahbcl', notes(note))


def waits_too_long():
    """What was accepted may wait for jobs.max_age, however long others run."""
    folder = os.path.join(where, 'bundles', 'old')
    os.makedirs(folder)
    with open(os.path.join(folder, 'bundle.json'), 'w') as file:
        json.dump({'runtime': NODE, 'endpoints': {'one': {'concurrency': 1, 'task': True}}}, file)
    with open(os.path.join(folder, 'main.mjs'), 'w') as file:
        file.write("export const one = () => new Promise(() => setInterval(() => {}, 1000));\n")
    short = Runner(where, name='short', bundles=os.path.join(where, 'bundles'), sections={'jobs': {'max_age': '2s'}})
    short.init().start()
    try:
        ids = []
        for _ in range(2):
            a = call(short.url + '/bundle/local/old/latest/one', 'POST', b'')
            same(a.status, 202, a)
            ids.append(a.header('at-run-job'))
            until(lambda: short.sql('SELECT state FROM job WHERE id = ?', row(ids[0])) == [('running',)], 'the first runs', 30)
        d = call('%s/xrpc/dev.at-run.getJob?id=%s&wait=20' % (short.url, ids[1])).json
        same((d['state'], d.get('outcome')), ('done', 'expired'), d)
        check('jobs.max_age = 2s' in d['message'], d)
        same(call('%s/xrpc/dev.at-run.getJob?id=%s' % (short.url, ids[0])).json['state'], 'running')
        post_json(short.url + '/xrpc/dev.at-run.cancelJob', {'id': ids[0]})
    finally:
        short.stop()


# ---- attempts ----

def attempts(job):
    return [r[0] for r in runner.sql('SELECT outcome FROM v_attempts WHERE row = ? ORDER BY attempt', row(job))]


def row(job):
    return int(job.split('-')[0])


def tried_again():
    """What threw is tried again when it may be, and each attempt is a row."""
    note = word()
    job = accepted('flaky', '?until=3&note=' + note, bundle='again')
    same(done(job)['outcome'], 'ok')
    same((starts(note), attempts(job)), (3, ['error', 'error', 'ok']))
    same([r['outcome'] for r in json.loads(runner.cli('job', 'attempts', job, '--json').stdout)['attempts']],
         ['error', 'error', 'ok'])
    told = call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json
    same([(a['attempt'], a['outcome'], a.get('error')) for a in told['attempts']], [(1, 'error', 'Error'), (2, 'error', 'Error'), (3, 'ok', None)])
    check(all(a['startedAt'] <= a['endedAt'] for a in told['attempts']), told)
    check('againAt' in told['attempts'][1] and 'againAt' not in told['attempts'][2], told)
    same(call('%s/job/%s' % (runner.url, job)).json['attempts'], told['attempts'])
    page = call('%s/job/%s' % (runner.url, job), headers=[('Accept', 'text/html')])
    check('Its starts' in page.text and page.text.count('<li') == 3, page)
    note = word()
    job = accepted('flaky', '?until=9&note=' + note, bundle='again')
    same((done(job)['outcome'], starts(note), attempts(job)), ('error', 4, ['error'] * 4))


def not_again():
    """Not idempotent: once.  Somebody waits for it: what the handler threw is told at once."""
    note = word()
    job = accepted('strict', '?until=2&note=' + note, bundle='again')
    same((done(job)['outcome'], starts(note), attempts(job)), ('error', 1, []))
    note = word()
    a = call(url('flaky', '?until=2&note=' + note, bundle='again'))
    same((a.status, starts(note)), (500, 1), a)
    return job


def too_slow():
    note = word()
    job = accepted('slowly', '?note=' + note, bundle='again')
    same((done(job)['outcome'], starts(note), attempts(job)), ('timeout', 2, ['timeout'] * 2))


def poison():
    note = word()
    job = accepted('dies', '?note=' + note, bundle='again')
    d = done(job)
    same((d['outcome'], starts(note), attempts(job)), ('killed', 2, ['killed'] * 2), d)
    check('jobs.poison = 2' in d['message'], d)
    check(any('JobPoisoned' in r['error'] for r in json.loads(runner.cli('job', 'failed', '--json').stdout)['jobs']
              if r['row'] == row(job)))


def scheduler_killed():
    """A killed scheduler is an attempt, and the next one tries again."""
    note = word()
    job = accepted('lasting', '?note=' + note, bundle='again')
    until(lambda: starts(note) == 1 and runner.sql('SELECT state FROM job WHERE id = ?', row(job)) == [('running',)], 'it runs')
    os.kill(runner.sql('SELECT pid FROM run ORDER BY id DESC LIMIT 1')[0][0], signal.SIGKILL)
    until(lambda: call('%s/xrpc/dev.at-run.getJob?id=%s' % (runner.url, job)).json['state'] == 'done', 'it is done', 40)
    same((done(job)['outcome'], starts(note), attempts(job)), ('ok', 2, ['lost', 'ok']))


def once_more():
    note = word()
    first = accepted('strict', '?until=2&note=' + note, bundle='again')
    same(done(first)['outcome'], 'error')
    r = runner.cli('job', 'retry', first)
    same(r.returncode, 0, r.stderr)
    again = re.search(r'again as job (\S+)', r.stdout + r.stderr).group(1)
    d = done(again)
    same((d['outcome'], starts(note)), ('ok', 2), d)
    same(json.loads(call('%s/job/%s/result' % (runner.url, again)).text), 'made it')
    check(runner.cli('job', 'retry', '999999').returncode == 0)


def all_once_more():
    """redrive takes what failed and was not taken up again, and leaves what was set aside."""
    note, since = word(), time.time()
    until(lambda: time.time() > since + 0.01, 'the clock goes on')
    for n in ('a', 'b'):
        same(done(accepted('strict', '?until=2&note=' + note + n, bundle='again'))['outcome'], 'error')
    same(done(accepted('dies', '?note=' + note + 'c', bundle='again'))['outcome'], 'killed')
    when = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(since))
    r = runner.cli('job', 'redrive', '--author', alice.did, '--bundle', 'again', '--outcome', 'error', '--since', when)
    same(r.returncode, 0, r.stderr)
    for n in ('a', 'b'):
        until(lambda: starts(note + n) == 2, 'it runs again')
    same(starts(note + 'c'), 2)
    until(lambda: runner.sql("SELECT count(*) FROM job WHERE state <> 'done'") == [(0,)], 'all is done')
    before = runner.sql('SELECT count(*) FROM rerun')
    r = runner.cli('job', 'redrive', '--author', 'did:plc:' + 'z' * 24)
    check('0 jobs' in r.stdout + r.stderr, r)
    same(runner.sql('SELECT count(*) FROM rerun'), before)
    r = runner.cli('job', 'purge')
    same(r.returncode, 64, r)
    r = runner.cli('job', 'purge', '--outcome', 'killed')
    same(r.returncode, 0, r.stderr)
    same(runner.sql("SELECT count(*) FROM job WHERE mode = 'async' AND outcome = 'killed'"), [(0,)])


# ---- schedules ----

def schedules(columns='endpoint', more=''):
    return runner.sql("SELECT %s FROM v_schedules WHERE bundle = 'timed' %s ORDER BY endpoint" % (columns, more))


def number(endpoint):
    return str(schedules('schedule', "AND endpoint = '%s'" % endpoint)[0][0])


def firings(endpoint):
    return [r[0] for r in runner.sql("SELECT what FROM v_firings WHERE called LIKE ? ORDER BY firing", '%/timed/' + endpoint)]


def picked_up():
    """Authors on the allowlist need not be enrolled; the next time is right, in the zone of the record."""
    until(lambda: len(schedules()) == 5, 'the schedules are there', 30)
    now = datetime.datetime.now(datetime.timezone.utc)
    year = now.year if (now.month, now.day, now.hour, now.minute) < (1, 1, 2, 30) else now.year + 1
    listed = {s['endpoint']: s for s in json.loads(runner.cli('schedule', 'list', '--json').stdout)['schedules']}
    same(listed['longSkip']['next_at'], '%d-01-01T02:30:00.000Z' % year)
    runs = json.loads(runner.cli('schedule', 'list', '--next', '3', '--json').stdout)['runs']
    same([r['at'] for r in runs if r['called'].endswith('/longSkip')], ['%d-01-01T02:30:00Z' % (year + i) for i in range(3)])
    same([r['at'] for r in runs], sorted(r['at'] for r in runs))
    five = [r for r in runs if r['called'].endswith('/shortOnce')]
    same((len(five), five[0]['zone']), (3, 'Europe/Berlin'))
    same([int(b['at'][14:16]) - int(a['at'][14:16]) in (5, -55) for a, b in zip(five, five[1:])], [True, True], five)
    same(runner.cli('schedule', 'list', '--next', '0').returncode, 64)
    same((listed['shortOnce']['zone'], listed['shortOnce']['missed'], listed['longQueue']['overlap']),
         ('Europe/Berlin', 'once', 'queue'))
    r = runner.cli('enroll', alice.did, 'turns')
    same(r.returncode, 0, r.stderr)
    same([(e['author'], e['bundle']) for e in json.loads(runner.cli('enroll', '--json').stdout)['enrolments']],
         [(alice.did, 'turns')])
    same(runner.cli('enroll', '--remove', alice.did, 'turns').returncode, 0)
    same(json.loads(runner.cli('enroll', '--json').stdout)['enrolments'], [])
    same(runner.cli('enroll', 'alice').returncode, 64)


def by_hand():
    r = runner.cli('schedule', 'run', number('shortSkip'))
    same(r.returncode, 0, r.stderr)
    job = re.search(r'as job (\S+)', r.stdout + r.stderr).group(1)
    same(done(job)['outcome'], 'ok')
    check(re.match(r'POST 20\S+Z 30 2 1 1 \*\n$', notes('timed-shortSkip')), notes('timed-shortSkip'))
    same(firings('shortSkip'), ['asked'])
    same(runner.cli('schedule', 'pause', number('shortSkip')).returncode, 0)
    same(schedules('state, next_at', "AND endpoint = 'shortSkip'"), [('paused', None)])
    same(runner.cli('schedule', 'resume', number('shortSkip')).returncode, 0)
    same(schedules('state', "AND endpoint = 'shortSkip'"), [('active',)])


def set_next(like, at):
    """While the runner is down nobody minds."""
    db = sqlite3.connect(runner.db)
    db.execute('UPDATE schedule SET next_at = ? WHERE endpoint LIKE ?', (int(at * 1000), like))
    db.commit()
    db.close()


def comes_by_itself():
    """Times are written into the ledger while the runner is down: some have passed, some are about to come."""
    runner.stop()
    set_next('short%', time.time() - 3600)
    for ahead in (5, 20, 60):
        soon = time.time() + ahead
        set_next('long%', soon)
        runner.start()
        for e in ('longSkip', 'longQueue', 'longParallel'):
            same(runner.cli('schedule', 'run', number(e)).returncode, 0)
        if time.time() < soon:
            break
        runner.stop()  # a slow machine: the time came before the jobs that it is to meet
    until(lambda: firings('shortOnce')[:1] == ['started'], 'what was missed is started once')
    until(lambda: firings('shortSkip') == ['asked', 'missed'], 'what was missed is left out')
    until(lambda: firings('longSkip')[-2:] == ['asked', 'skipped'], 'the one before is not done', 80)
    until(lambda: firings('longQueue')[-2:] == ['asked', 'queued'], 'the one before is awaited')
    until(lambda: firings('longParallel')[-2:] == ['asked', 'started'], 'the one before does not matter')
    with open(os.path.join(where, 'notes', 'go-on'), 'w'):
        pass
    until(lambda: firings('longQueue')[-2:] == ['asked', 'started'], 'the one before is over')
    ended, began = runner.sql("SELECT max(iif(f.what = 'asked', j.done_at, 0)), max(iif(f.what = 'started', j.created_at, 0))"
                              " FROM firing f JOIN job j ON j.id = f.job JOIN schedule s ON s.id = f.schedule"
                              " WHERE s.endpoint = 'longQueue'")[0]
    check(0 < ended <= began, ended, began)
    same([f['what'] for f in json.loads(runner.cli('schedule', 'history', number('longQueue'), '--json').stdout)['firings']][:2],
         ['started', 'asked'])
    until(lambda: runner.sql("SELECT count(*) FROM job WHERE state <> 'done'") == [(0,)], 'all is done', 30)


def follows_the_record():
    alice.deploy('timed', alice.code, 'application/javascript', runtime=NODE, entry='main.mjs', version='2.0.0',
                 endpoints={'longSkip': {'schedule': '0 12 * * mon', 'timeZone': 'Nowhere/Land'}, 'shortSkip': {}})
    until(lambda: schedules('endpoint, cron, state') == [('longSkip', '0 12 * * mon', 'broken')], 'they are as the record says', 30)
    check('no time zone Nowhere/Land' in schedules('error')[0][0])


def leaves_nothing():
    for w in fronts.values():
        w.stop()
    same(runner.stop(), 0, 'exit status of serve: ' + runner.tail(800))
    until(lambda: not processes_of(runner.home), 'every process is gone: %s' % processes_of(runner.home))
    same(runner.sql('PRAGMA integrity_check'), [('ok',)])


picked, t.pick = t.pick, []
t.run('a real PDS, a bundle, at-rund serve, lighttpd and Apache', setup)
t.pick = picked
if runner is not None and runner.p and len(fronts) == 2:
    for name, front in fronts.items():
        t.run('behind %s: the same key and request is the same job' % name, key_once, front.url)
        t.run('behind %s: a key joins the running job, a lost caller finds it again' % name, key_running, front.url)
        t.run('behind %s: the same key and another request is 422' % name, key_other, front.url)
        t.run('behind %s: a task is told 202, its answer waits' % name, task_call, front.url)
        t.run('behind %s: a task under a key, and with wait=' % name, task_key, front.url)
    t.run('a key holds failures after the start, and no refusals', key_failure)
    t.run('a cancelled handler that goes on takes its instance along', goes_on)
    t.run('an endpoint that runs one at a time holds up no other', one_at_a_time)
    t.run('a bundle runs no more side by side than it says', two_of_a_bundle)
    t.run('the higher priority goes first', who_goes_first)
    t.run('what was accepted expires in the queue after jobs.max_age', waits_too_long)
    t.run('what threw is tried again, each attempt is a row', tried_again)
    t.run('what is not idempotent, or waited for, is started once', not_again)
    t.run('what took too long is tried again', too_slow)
    t.run('what kills its instance is set aside', poison)
    t.run('a killed scheduler is an attempt', scheduler_killed)
    t.run('job retry', once_more)
    t.run('job redrive, failed, purge', all_once_more)
    t.run('schedules of allow-listed authors are picked up', picked_up)
    t.run('schedule run, pause, resume', by_hand)
    t.run('schedules come by themselves; missed and overlapping times', comes_by_itself)
    t.run('schedules follow the record', follows_the_record)
    t.pick = []
    t.run('stop leaves no process, a whole database', leaves_nothing)
t.end()
