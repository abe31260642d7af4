"""The status page and the operator's part of it, in Chromium and by hand.  Screenshots lie in build/check/page/."""
import html
import html.parser
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403
from browser import Browser  # noqa: E402

t = Cases()
where = scratch()
SHOTS = os.path.join(BUILD, 'check', 'page')
HTML = [('Accept', 'text/html,application/xhtml+xml')]
MOST = 60 * 1024
LOOKS = [(scheme, width) for scheme in ('light', 'dark') for width in (320, 1280)]
NODE = 'application/javascript+node'
CODE = b"""
import fs from 'node:fs';
export function hello() { return { hello: 'page' }; }
export function fails() {
  console.error('<script>window.xss = 1</script> <img src=x onerror="window.xss = 1">');
  if (fs.existsSync('%s')) return 'mended';
  throw new Error('on purpose </p><script>window.xss = 1</script>');
}
export async function slow() { console.log('slow begins'); await new Promise((d) => setTimeout(d, 120000)); return 'late'; }
"""
pds = runner = alice = web = browser = None


def setup():
    global pds, runner, alice, web, browser
    os.makedirs(SHOTS, exist_ok=True)
    pds = Pds(where)
    alice = pds.account('alice.test')
    code = CODE.replace(b'%s', os.path.join(where, 'mended').encode())
    alice.deploy('page', code, 'application/javascript', runtime=NODE, entry='main.mjs',
                 endpoints={'hello': {}, 'fails': {}, 'slow': {}})
    runner = Runner(where, user='www-data', did='did:web:runner.test', handle='alice.test', sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]}, 'web': {'base_path': '/run'},
        'limits': {'timeout': '200s', 'author_cpu': '1h', 'author_egress': '1G'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
    })
    runner.conf_top.update(isolation='none', operator=alice.did, contact='<b>call & "me"</b>')
    runner.init().start()
    web = lighttpd(where, runner)
    browser = Browser(where)
    until(lambda: call(web.url + '/bundle/%s/page/latest/hello' % alice.did).status == 200, 'the bundle answers', 60)


def page(path='/', **kw):
    return call(web.url + path, headers=HTML + kw.pop('headers', []), **kw)


def shown(path, name, as_page=None, status=200):
    """Looks at a page in all looks: nothing complains, nothing is wider than the screen, axe-core finds nothing."""
    p = as_page or browser.open()
    p.go(web.url + path)
    for scheme, width in LOOKS:
        p.look(scheme=scheme, width=width, height=800)
        seen, look = p.facts(), '%s %s %d' % (path, scheme, width)
        p.shot(path=os.path.join(SHOTS, '%s-%s-%d.png' % (name, scheme, width)))
        check(seen['status'] == status and seen['complaints'] == [], look, seen['status'], seen['complaints'])
        same(seen['overflow'], 0, look + ' is wider than the screen by')
        same((seen['scripts'], seen['handlers'], seen['alive']), (0, 0, False), look + ' scripts')
        found = p.axe()
        check(found['wrong'] == [] and found['rules'] > 15, look, found)
    if not as_page:
        p.close()
    return seen


class Tags(html.parser.HTMLParser):
    """What no page has: scripts, frames, pictures from elsewhere, handlers, styles of single elements."""
    count, bad = 0, ()

    def handle_starttag(self, tag, attrs):
        self.count += 1
        if tag in ('script', 'iframe', 'object', 'embed', 'base', 'img') or any(
                k.startswith('on') or k == 'style' or 'javascript:' in (v or '') for k, v in attrs):
            self.bad += ((tag, attrs),)


def plain(a):
    """What every page is: HTML without a script, small, under a policy that lets nothing in."""
    same(a.status, 200, a)
    check(a.header('content-type') == 'text/html; charset=utf-8' and a.header('cache-control') == 'no-store', a.headers)
    check(len(a.body) < MOST, len(a.body))
    policy = a.header('content-security-policy')
    check("default-src 'none'" in policy and "frame-ancestors 'none'" in policy, policy)
    check('script' not in policy and 'unsafe' not in policy, policy)
    reader = Tags()
    reader.feed(a.text)
    check(reader.count > 30 and not reader.bad, reader.count, reader.bad)
    nonce = re.search(r"style-src 'nonce-(\w{32})'", policy)
    check(nonce and '<style nonce="%s">' % nonce.group(1) in a.text, policy)
    return a


def says_who_and_how():
    until(lambda: runner.sql('SELECT sum(calls) FROM v_traffic')[0][0], 'calls are rolled up')
    a = plain(page())
    for what in ('did:web:runner.test', 'alice.test', alice.did, 'access.mode = <code>allowlist</code>',
                 'callers.mode = <code>open</code>', 'Bundles of authors on a list that the operator keeps', 'Anybody may call',
                 'node', 'python', 'Taking calls', 'No wall'):
        check(what in a.text, what)
    check('&#60;b&#62;call &#38; &#34;me&#34;&#60;/b&#62;' in a.text and '<b>call' not in a.text, 'the contact is not escaped')
    key = runner.cli('secret', 'key').stdout.strip()
    check(key.startswith('z6LS') and key in a.text, key)
    calls = int(re.search(r'<dt>Calls</dt><dd>([\d,]+)</dd>', a.text).group(1).replace(',', ''))
    check(calls >= 1, calls)
    same(a.header('vary'), 'Accept')
    check(call(web.url + '/').text.startswith('This is an at-rund runner'), 'others are told in plain text')


def links_stay_below_the_base():
    for link in re.findall(r'(?:href|action)="([^"]*)"', page().text):
        check(link.startswith(('/run/', '#', 'data:', '/run/operator')) or link == '/run/', link)
    for link in ('/xrpc/dev.at-run.describeRunner', '/ready'):
        check(link in page().text and call(web.url + link).status == 200, link)
    check('at-rund' not in call(web.root + '/', headers=HTML).text, 'outside of the base')


def head_has_no_body():
    a = page(method='HEAD')
    check(a.status == 200 and a.body == b'' and int(a.header('content-length')) > 10000, a)
    b = page(method='POST', body=b'x=1')
    check(b.status == 405 and b.header('allow') == 'GET, HEAD', b)


def looks_well():
    for name, outcomes in (('hello', 6), ('fails', 2)):
        for _ in range(outcomes):
            call(web.url + '/bundle/%s/page/latest/%s' % (alice.did, name))
    until(lambda: runner.sql("SELECT sum(errors) FROM v_traffic")[0][0] == 2, 'calls are rolled up')
    seen = shown('/', 'home')
    check('The last 24 hours' in seen['text'] and 'the bundle failed' in seen['text'], seen['text'])


def commands_work():
    """Those of the page, with nothing but the author's own words put in."""
    text = html.unescape(page().text)
    steps = text.partition('<ol')[2].partition('</ol>')[0]
    script = '\n'.join(re.findall(r'<pre tabindex="0"><code>(.*?)</code></pre>', steps, re.S))
    for name, value in (('PDS', pds.url), ('HANDLE', 'alice.test'), ('PASSWORD', 'hunter2-hunter2')):
        script, n = re.subn('^%s=.*$' % name, '%s=%s' % (name, value), script, flags=re.M)
        same(n, 1, name)
    check('RUNNER=%s\n' % web.url in script, 'where the runner answers', script[:300])
    place = os.path.join(where, 'author')
    os.makedirs(place)
    r = subprocess.run(['sh', '-eu', '-c', script], cwd=place, env=clean_env(HOME=place), capture_output=True, text=True,
                       timeout=60 * SLOW)
    check(r.returncode == 0 and r.stdout.strip().endswith('{"hello":"you"}'), r.stdout, r.stderr)


def may_be_turned_off():
    runner.conf['web']['status_page'] = 'no'
    runner.write()
    runner.stop()
    runner.start()
    a = page()
    check(a.status == 404 and 'web.status_page' in a.json['message'], a)
    same(page('/operator').status, 404)



def document_at_the_root(at=None):
    a = call((at or web).root + '/.well-known/did.json')
    same((a.status, a.json.get('id')), (200, 'did:web:runner.test'), a)
    same(call((at or web).url + '/.well-known/did.json').json, a.json, 'below the base path')
    check(call((at or web).root + '/.well-known/did.jso').header('content-type') != 'application/json', 'and nothing else')


# ---- the operator ----

FORM = ('Content-Type', 'application/x-www-form-urlencoded')
token = desk = None


def bundle(endpoint):
    return '%s/bundle/%s/page/latest/%s' % (web.url, alice.did, endpoint)


def form(path, headers=(), **fields):
    body = urllib.parse.urlencode(fields).encode()
    return call(web.url + path, 'POST', body, HTML + [FORM] + list(headers))


def bearer(text=None):
    return [('Authorization', 'Bearer ' + (text or token))]


def sign_in_by_hand(given=None):
    """A session without a browser: its cookie's header, and the number of its forms."""
    a = form('/operator/sign-in', token=given or token)
    check(a.status == 303 and a.header('location') == '/run/operator?in=1', a)
    cookie = a.header('set-cookie')
    for part in ('Secure', 'HttpOnly', 'SameSite=Strict', 'Path=/run/operator', 'Max-Age='):
        check(part in cookie, part, cookie)
    mine = [('Cookie', 'other=1; ' + cookie.partition(';')[0])]
    return mine, re.search(r'name="form" value="(\w{32})"', page('/operator', headers=mine).text).group(1)


def nobody_sees_it():
    for path in ('/operator', '/operator/authors', '/operator/pool', '/operator/job/1', '/operator/job/1-' + 'a' * 32):
        a = page(path)
        same(a.status, 200 if path == '/operator' else 401, path)
        check('name="token"' in a.text and alice.did not in a.text and '<ol class="jobs">' not in a.text, path)
        a = call(web.url + path)
        check(a.status == 401 and a.error == 'AuthMissing', a)
    for path in ('/operator/drain', '/operator/sign-out', '/operator/job/1-%s/cancel' % ('a' * 32)):
        same(form(path, form='a' * 32).status, 401, path)
    same(page('/operator/drain').status, 405)
    same(runner.sql("SELECT count(*) FROM v_orders")[0][0], 0, 'orders')


def token_opens_it():
    global token
    r = runner.cli('page', 'token', '--name', 'te"st', '--days', '1')
    token = r.stdout.strip()
    check(re.fullmatch(r'atrp_1_[0-9a-f]{48}', token) and '/run/operator' in r.stderr, r)
    with open(runner.db, 'rb') as f, open(runner.db + '-wal', 'rb') as g:
        check(token.partition('_1_')[2].encode() not in f.read() + g.read(), 'the token stands in the database')
    a = plain(page('/operator', headers=bearer()))
    check('<h1>Jobs</h1>' in a.text and 'Sign out' not in a.text, a)
    for wrong in ('atrp_1_' + 'a' * 48, token + '0', token[:-1], 'atrp_2_' + token.partition('_1_')[2], 'x', token.upper()):
        a = call(web.url + '/operator', headers=bearer(wrong))
        check(a.status == 401 and a.error == 'InvalidToken', wrong, a)


def browser_signs_in():
    """Without script: only forms."""
    global desk
    desk = browser.open(script=False)
    desk.go(web.url + '/operator/pool')
    desk.fill(where='#token', value=token[:-1] + ('0' if token[-1] != '0' else '1'))
    desk.press(where='main button')
    check('not good' in desk.facts()['text'], desk.facts())
    desk.fill(where='#token', value='  ' + token)
    desk.press(where='main button')
    seen = desk.facts()
    check('Sign out' in seen['text'] and 'did not keep' not in seen['text'] and seen['status'] == 200, seen)


def through(make):
    """Forms, cookies and redirects pass other servers, as web-config sets them up."""
    global web
    usual, web = web, make(where, runner)
    try:
        document_at_the_root()
        plain(page())
        mine, number = sign_in_by_hand()
        a = form('/operator/drain', mine, form=number, runtime='python')
        check(a.status == 303 and a.header('location').startswith('/run/operator/pool?order='), a)
        check('instances end' in page(a.header('location')[4:], headers=mine).text, 'the note')
        same(form('/operator/drain', mine, form='a' * 32).status, 403)
        same(form('/operator/sign-out', mine, form=number).status, 303)
    finally:
        web.stop()
        web = usual


def through_htaccess(make):
    w = make(where, runner)
    lines = re.findall(r'^#     (Rewrite.*)$', w.snippet(), re.M)
    same(len(lines), 2, w.snippet())
    with open(w.path('www', '.htaccess'), 'w') as f:
        f.write('\n'.join(lines) + '\n')
    document_at_the_root(w)
    w.stop()


def cancels_what_runs():
    a = call(bundle('slow'), 'POST', b'', [('Prefer', 'respond-async')])
    same(a.status, 202, a)
    job = a.header('at-run-job')
    until(lambda: runner.sql('SELECT state FROM v_jobs WHERE id = ?', job)[0][0] == 'running', 'it runs')
    until(lambda: runner.sql('SELECT count(*) FROM v_log WHERE text = ?', 'slow begins')[0][0], 'it has printed')
    seen = desk.go(web.url + '/operator?state=running')
    check('running' in seen['text'] and 'page / slow' in seen['text'], seen['text'])
    desk.press(where='ol.jobs a')
    seen = desk.facts()
    check('slow begins' in seen['text'] and 'Accepted' in seen['text'] and 'Started' in seen['text'], seen['text'])
    desk.press(where='button.danger')
    seen = desk.facts()
    check('cancelled while it ran' in seen['text'], seen['text'])
    until(lambda: runner.sql('SELECT outcome FROM v_jobs WHERE id = ?', job)[0][0] == 'cancelled', 'it is cancelled')


def retries_what_failed():
    failed = call(bundle('fails')).header('at-run-job')
    seen = desk.go(web.url + '/operator?outcome=failed&bundle=page&since=1')
    check('page / fails' in seen['text'], seen['text'])
    with open(os.path.join(where, 'mended'), 'w'):
        pass
    os.chmod(os.path.join(where, 'mended'), 0o644)
    desk.go(web.url + '/operator/job/' + failed)
    desk.press(where='.buttons button')
    check('again as job' in desk.facts()['text'], desk.facts()['text'])
    made = until(lambda: runner.sql('SELECT again_as FROM v_failed WHERE id = ? AND again_as > 0', failed),
                 'there is another')[0][0]
    until(lambda: runner.sql('SELECT outcome FROM v_jobs WHERE row = ?', made)[0][0] == 'ok', 'it ends well')
    desk.press(where='.note a')
    seen = desk.facts()
    check('Again of' in seen['text'] and seen['url'].endswith(runner.sql('SELECT id FROM v_jobs WHERE row = ?', made)[0][0]), seen)


def tells_a_callback_again():
    row, job = runner.sql("SELECT row, id FROM v_failed WHERE called LIKE '%/fails' LIMIT 1")[0]
    db = sqlite3.connect(runner.db, timeout=20)
    with db:
        db.execute('PRAGMA wal_autocheckpoint = 0')
        db.execute("INSERT INTO callback (job, url, host, state, attempts, status, error, done_at)"
                   " VALUES (?, 'https://told.test/?key=canary', 'told.test', 'failed', 9, 503, 'gave up', 5)", (row,))
    db.close()
    seen = desk.go(web.url + '/operator/job/' + job)
    check('told.test' in seen['text'] and '503' in seen['text'] and 'canary' not in seen['text'], seen['text'])
    desk.press(where='[aria-labelledby=callback] button')
    check('callback-retry' in desk.facts()['text'], desk.facts()['text'])
    until(lambda: runner.sql('SELECT state FROM v_callbacks WHERE row = ?', row) != [('failed',)] or
          runner.sql("SELECT note FROM v_orders WHERE verb = 'callback-retry' AND done_at IS NOT NULL"), 'the order is taken')


def drains_the_pool():
    call(bundle('hello'))
    live = runner.sql("SELECT instance FROM v_instances WHERE ended_at IS NULL AND runtime = 'node'")
    check(live, 'an instance lives')
    desk.go(web.url + '/operator/pool')
    desk.select(where='#runtime', value='node')
    desk.press(where='button.danger')
    seen = desk.facts()
    check('instances end' in seen['text'], seen['text'])
    until(lambda: runner.sql('SELECT count(*) FROM v_instances WHERE instance = ? AND ended_at IS NOT NULL', *live[0])[0][0],
          'it ends')
    same(runner.sql("SELECT args_json FROM v_orders WHERE verb = 'drain' ORDER BY row DESC LIMIT 1"), [('{"runtime":"node"}',)])


def forged_forms_are_refused():
    mine, number = sign_in_by_hand()
    orders = runner.sql('SELECT count(*) FROM v_orders')[0][0]
    job = call(bundle('hello')).header('at-run-job')
    other, theirs = sign_in_by_hand()
    check(number != theirs, 'sessions share a number')
    away = [[('Sec-Fetch-Site', site)] for site in ('cross-site', 'same-site')]
    for fields, more in (({}, []), ({'form': ''}, []), ({'form': 'a' * 32}, []), ({'form': theirs}, []),
                         ({'form': number[:-1]}, []), ({'form': number}, away[0]), ({'form': number}, away[1])):
        for path in ('/operator/drain', '/operator/job/%s/retry' % job, '/operator/sign-out'):
            a = form(path, mine + more, **fields)
            check(a.status == 403 and 'not of your session' in a.text, path, fields, a)
    plain_text = mine + [('Content-Type', 'text/plain')]
    same(call(web.url + '/operator/drain', 'POST', b'form=' + number.encode(), plain_text).status, 400)
    same(page('/operator/drain', headers=mine).status, 405)
    same(runner.sql('SELECT count(*) FROM v_orders')[0][0], orders, 'orders')
    same(form('/operator/job/%s/retry' % job, mine + [('Sec-Fetch-Site', 'same-origin')], form=number).status, 303)
    same(call(web.url + '/operator/job/%s/retry' % job, 'POST', b'', bearer() + [FORM]).status, 303, 'Bearer needs no number')
    same(runner.sql('SELECT count(*) FROM v_orders')[0][0], orders + 2, 'orders')
    same(form('/operator/sign-out', other, form=theirs).status, 303)
    check('name="token"' in page('/operator', headers=other).text, 'who has signed out')
    check('Sign out' in page('/operator', headers=mine).text, 'who has not')


def strangers_words_stay_words():
    """Through everything that a stranger sets: log lines, errors, paths, queries, handles, versions, names that nobody admitted."""
    for path in ('/hello/%3Cscript%3Ewindow.xss=1%3C/script%3E?q=%22%3E%3Cscript%3E', '/fails/%22onload=%22x'):
        call(web.url + '/bundle/%s/page/latest%s' % (alice.did, path))
    db = sqlite3.connect(runner.db, timeout=20)
    evil = '"><script>window.xss=1</script><img src=x onerror=window.xss=1>\x1b[31m\u202e'
    with db:
        db.execute('PRAGMA wal_autocheckpoint = 0')
        for state, outcome, done in (('queued', None, None), ('done', 'error', 2)):
            db.execute('INSERT INTO job (nonce, mode, state, outcome, author, bundle, version, endpoint, method, client, caller,'
                       ' cid, done_at, error_kind, error_name, error, runtime, wall, timeout_ms, created_at)'
                       ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1)',
                       ('e' * 32, 'async', state, outcome) + (evil,) * 8 + (done,) + (evil,) * 5)
        row = db.execute('SELECT max(id) FROM job').fetchone()[0]
        db.execute("INSERT INTO log (job, at, level, source, text) VALUES (?, 1, 'info', 'stdout', ?)", (row, evil))
        db.execute('INSERT INTO request (job, url, path, query, headers_json) VALUES (?, ?, ?, ?, ?)', (row,) + (evil,) * 4)
        db.execute('INSERT INTO traffic_author VALUES (?, ?, 1, 1, 1)', (int(time.time() // 86400), evil))
        db.execute('INSERT INTO author VALUES (?, ?, ?, 1)', (evil, evil, evil))
        db.execute("INSERT INTO orders (verb, args_json, created_at, done_at, note) VALUES (?, ?, 1, 1, ?)", (evil,) * 3)
        order = db.execute('SELECT max(id) FROM orders').fetchone()[0]
    db.close()
    eyes = browser.open()
    eyes.go(web.url + '/operator')
    eyes.fill(where='#token', value=token)
    eyes.press(where='main button')
    paths = ['/operator', '/operator?author=' + urllib.parse.quote(evil.replace('\x1b', '')), '/operator/authors',
             '/operator/pool?order=%d' % order, '/operator/job/%d-%s' % (row, 'e' * 32)]
    for job, in runner.sql("SELECT id FROM v_jobs WHERE outcome = 'error' OR called LIKE '%hello' ORDER BY row DESC LIMIT 4"):
        paths.append('/operator/job/' + job)
    text = ''
    for path in paths:
        plain(page(path, headers=bearer()))
        seen = eyes.go(web.url + path)
        check(not seen['alive'] and seen['scripts'] == 0 and seen['handlers'] == 0 and seen['complaints'] == [], path, seen)
        check('\x1b' not in page(path, headers=bearer()).text, path)
        text += seen['text']
    check('<script>window.xss=1</script>' in text, 'the words are not shown as words', text)
    a = page('/operator?state=%3Cscript%3E', headers=bearer())
    check(a.status == 400 and '<script' not in a.text, a)
    eyes.close()


def bodies_and_secrets_stay_away():
    a = call(bundle('hello') + '?key=canary-query', 'POST', b'canary-body', [('X-Canary', 'canary-header')])
    text = page('/operator/job/' + a.header('at-run-job'), headers=bearer()).text
    check('canary' not in text and 'Request body' in text and alice.did in text, text[-3000:])
    check('at://%s/dev.at-run.bundle/page' % alice.did in text and 'Commit' in text, 'the proof')


def pages_by_number():
    """Keyset paging: every job once, newest first, whatever comes meanwhile."""
    seen, path = [], '/operator?bundle=page'
    for _ in range(60):
        call(bundle('hello'))
    want = [r for r, in runner.sql("SELECT row FROM v_jobs WHERE bundle = 'page' ORDER BY row DESC")]
    while path:
        text = page(path, headers=bearer()).text
        seen += [int(x) for x in re.findall(r'<li><div><a href="[^"]*">(\d+)</a>', text)]
        call(bundle('hello'))
        more = re.search(r'class="more"><a href="/run([^"]*)"', text)
        path = html.unescape(more.group(1)) if more else None
    same(seen, want)
    call(web.url + '/bundle/alice.test/page/latest/hello')
    same(page('/operator?author=alice.test', headers=bearer()).text.count('<li><div>'), 50, 'by handle')
    for query, sql in (('state=done&outcome=cancelled', "outcome = 'cancelled'"), ('outcome=failed', "outcome <> 'ok'"),
                       ('state=open', "state <> 'done'"),
                       ('author=' + alice.did + '&outcome=error', "outcome = 'error' AND did LIKE 'did:plc:%'")):
        text = page('/operator?' + query, headers=bearer()).text
        same([int(x) for x in re.findall(r'<li><div><a href="[^"]*">(\d+)</a>', text)],
             [r for r, in runner.sql('SELECT row FROM v_jobs WHERE %s ORDER BY row DESC' % sql)], query)


def operator_looks_well():
    eyes = browser.open()
    eyes.go(web.url + '/operator')
    eyes.fill(where='#token', value=token)
    eyes.press(where='main button')
    job = runner.sql("SELECT id FROM v_jobs WHERE called LIKE '%/fails' AND outcome = 'error' LIMIT 1")[0][0]
    for path, name in (('/operator', 'jobs'), ('/operator/authors', 'authors'), ('/operator/pool', 'pool'),
                       ('/operator/job/' + job, 'job')):
        seen = shown(path, name, eyes)
        check('Sign out' in seen['text'], seen['text'])
        plain(page(path, headers=bearer()))
    eyes.close()
    shown('/operator', 'sign-in')


def revoked_is_out():
    mine, _ = sign_in_by_hand()
    second = runner.cli('page', 'token', '--json')
    same(json.loads(second.stdout)['token'], 2, second)
    tokens = json.loads(runner.cli('page', 'list', '--json').stdout)['tokens']
    same([(x['name'], x['state']) for x in tokens], [('te"st', 'good'), ('operator', 'good')])
    check(tokens[0]['browsers'] > 1, tokens)
    same(runner.cli('page', 'revoke', '1').returncode, 0)
    check('name="token"' in page('/operator', headers=mine).text, 'a session of a revoked token')
    same(call(web.url + '/operator', headers=bearer()).status, 401)
    same(page('/operator', headers=bearer(json.loads(second.stdout)['secret'])).status, 200)
    check('name="token"' in desk.go(web.url + '/operator')['text'] or 'Token' in desk.facts()['text'], desk.facts()['text'])
    same(runner.cli('page', 'revoke', '1').returncode, 66)
    same(runner.cli('page', 'revoke', 'all').returncode, 0)


def guessing_ends():
    tries = [form('/operator/sign-in', token='atrp_2_%048x' % i) for i in range(30)]
    check({a.status for a in tries} == {403, 429} and tries[-1].status == 429, [a.status for a in tries])
    check(1 <= int(tries[-1].header('retry-after')) <= 61, tries[-1])
    same(call(web.url + '/operator', headers=bearer('atrp_9_' + 'a' * 48)).status, 429, 'Bearer too')
    same(page().status, 200, 'the page for everybody')
    check(runner.sql('SELECT max(tries) FROM page_wrong')[0][0] <= 10, 'no row for each try')


def works_at_the_root():
    """The lighttpd of at-rund serve, without a base path."""
    global web
    del runner.conf['web']['base_path']
    runner.write()
    runner.stop()
    runner.start()
    usual, web = web, type('Own', (), {'url': runner.url, 'root': runner.url})()
    mine = runner.cli('page', 'token').stdout.strip()
    for link in re.findall(r'(?:href|action)="(/[^"]*)"', plain(page()).text):
        check(not link.startswith(('//', '/run')), link)
    eyes = browser.open(script=False)
    eyes.go(web.url + '/operator')
    eyes.fill(where='#token', value=mine)
    eyes.press(where='main button')
    check('Sign out' in eyes.facts()['text'], eyes.facts())
    eyes.press(where='nav li:nth-child(4) a')
    check(eyes.facts()['url'] == web.url + '/operator/pool', eyes.facts())
    eyes.press(where='header form button')
    check('Sign out' not in eyes.facts()['text'] and 'Token' in eyes.facts()['text'], eyes.facts()['text'])
    eyes.close()
    runner.conf['web']['base_path'] = '/run'
    runner.write()
    runner.stop()
    runner.start()
    web = usual


def shared_origin_has_no_browser_sessions():
    runner.conf['web']['sandbox_answers'] = 'no'
    runner.write()
    runner.stop()
    runner.start()
    text = page('/operator').text
    check('name="token"' not in text and 'sandbox_answers' in text, text)
    same(form('/operator/sign-in', token='atrp_1_' + 'a' * 48).status, 403)
    runner.conf['web']['sandbox_answers'] = 'yes'


t.run('the page for everybody says who, what, whose and how', lambda: (setup(), says_who_and_how()))
t.run('its links stay below the base path', links_stay_below_the_base)
t.run('HEAD and other methods', head_has_no_body)
t.run('it looks well in light and dark, on a phone and on a desk', looks_well)
t.run('the commands that it shows work', commands_work)
t.run('the document of a did:web lies at the root of its host', document_at_the_root)
t.run('the operator\'s part is nobody else\'s', nobody_sees_it)
t.run('a token opens it, and stands nowhere', token_opens_it)
t.run('a browser without script signs in', browser_signs_in)
for server, make in (('Apache', apache), ('Caddy', caddy), ('nginx', nginx), ('plain CGI', apache_cgi)):
    t.run('all of it through ' + server, through, make)
for server, make in (('mod_proxy_fcgi', htaccess_proxy), ('mod_cgid', htaccess_cgi)):
    t.run('an .htaccess with ' + server, through_htaccess, make)
t.run('its buttons cancel a job that runs', cancels_what_runs)
t.run('its buttons run a failed job again', retries_what_failed)
t.run('its buttons tell a callback again', tells_a_callback_again)
t.run('its buttons drain the pool', drains_the_pool)
t.run('forged forms are refused', forged_forms_are_refused)
t.run('neither bodies nor headers nor queries are shown, but the proof is', bodies_and_secrets_stay_away)
t.run('pages go on by number, and filters filter', pages_by_number)
t.run('the operator\'s pages look well', operator_looks_well)
t.run('what strangers write stays text', strangers_words_stay_words)
t.run('a revoked token is out at once', revoked_is_out)
t.run('it works at the root', works_at_the_root)
t.run('guessing ends', guessing_ends)
t.run('no browser is signed in where bundles share the origin', shared_origin_has_no_browser_sessions)
t.run('web.status_page = no', may_be_turned_off)
t.end()
