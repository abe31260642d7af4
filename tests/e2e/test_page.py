"""The status page and the operator's part of it, in Chromium and by hand.  Screenshots lie in build/check/page/."""
import html
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
export function hello() { return { hello: 'page' }; }
export function fails() { throw new Error('on purpose'); }
"""
pds = runner = alice = web = browser = None


def setup():
    global pds, runner, alice, web, browser
    os.makedirs(SHOTS, exist_ok=True)
    pds = Pds(where)
    alice = pds.account('alice.test')
    alice.deploy('page', CODE, 'application/javascript', runtime=NODE, entry='main.mjs', endpoints={'hello': {}, 'fails': {}})
    runner = Runner(where, user='www-data', did='did:web:runner.test', handle='alice.test', sections={
        'access': {'mode': 'allowlist', 'allowlist': [alice.did]}, 'web': {'base_path': '/run'},
        'atproto': {'plc_url': pds.plc, 'handle_resolver': pds.url, 'ports': [str(pds.port)]},
    })
    runner.conf_top.update(isolation='none', operator=alice.did, contact='<b>call & "me"</b>')
    runner.init().start()
    web = lighttpd(where, runner)
    browser = Browser(where)
    until(lambda: call(web.url + '/bundle/%s/page/latest/hello' % alice.did).status == 200, 'the bundle answers', 60)


def page(path='/', **kw):
    return call(web.url + path, headers=HTML + kw.pop('headers', []), **kw)


def shown(path, name, as_page=None):
    """Looks at a page in all looks: nothing complains, nothing is wider than the screen, axe-core finds nothing."""
    p = as_page or browser.open()
    for scheme, width in LOOKS:
        p.look(scheme=scheme, width=width, height=800)
        seen = p.go(web.url + path)
        look = '%s %s %d' % (path, scheme, width)
        p.shot(path=os.path.join(SHOTS, '%s-%s-%d.png' % (name, scheme, width)))
        check(seen['status'] == 200 and seen['complaints'] == [], look, seen['status'], seen['complaints'])
        same(seen['overflow'], 0, look + ' is wider than the screen by')
        same((seen['scripts'], seen['handlers'], seen['alive']), (0, 0, False), look + ' scripts')
        found = p.axe()
        check(found['wrong'] == [] and found['rules'] > 15, look, found)
    if not as_page:
        p.close()
    return seen


def plain(a):
    """What every page is: HTML without a script, small, under a policy that lets nothing in."""
    same(a.status, 200, a)
    check(a.header('content-type') == 'text/html; charset=utf-8' and a.header('cache-control') == 'no-store', a.headers)
    check(len(a.body) < MOST, len(a.body))
    policy = a.header('content-security-policy')
    check("default-src 'none'" in policy and "frame-ancestors 'none'" in policy, policy)
    check('script' not in policy and 'unsafe' not in policy, policy)
    check(re.search(r'<script|javascript:|\son\w+=|\sstyle=', a.text) is None, 'a script, a handler or a style of its own')
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


t.run('the page for everybody says who, what, whose and how', lambda: (setup(), says_who_and_how()))
t.run('its links stay below the base path', links_stay_below_the_base)
t.run('HEAD and other methods', head_has_no_body)
t.run('it looks well in light and dark, on a phone and on a desk', looks_well)
t.run('the commands that it shows work', commands_work)
t.run('web.status_page = no', may_be_turned_off)
t.end()
