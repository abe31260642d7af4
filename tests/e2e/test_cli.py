"""The command line: every command on a fresh home and on a running one, its JSON, exit codes, and serve's comings and goings."""
import os
import pty
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
home = os.path.join(where, 'home')
AT_RUND = os.path.join(BUILD, 'at-rund')
DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
BUNDLE = """
export async function slow(request) {
  console.log('first');
  await new Promise((r) => setTimeout(r, Number(new URL(request.url).searchParams.get('ms') ?? 500)));
  console.log('\\u001b[2Jlast');
  return { slept: true };
}
"""
bundles = os.path.join(where, 'bundles')
serve = None
port = 0


def cli(*words, env=None, **kw):
    return subprocess.run([AT_RUND, *words], capture_output=True, text=True, timeout=60 * SLOW, cwd=where,
                          env={**clean_env(AT_RUND_HOME=home, HOME=where), **(env or {})}, **kw)


def as_json(r):
    try:
        return json.loads(r.stdout)
    except ValueError:
        raise Failed('not one JSON document: %s %s' % (brief(r.stdout), brief(r.stderr)))


def error_json(r):
    same(r.stdout, '', 'standard output')
    e = json.loads(r.stderr)
    same(sorted(e), ['error', 'message'], 'members')
    return e


# ---- without a runner ----

def helps():
    r = cli('--help')
    same(r.returncode, 0)
    check(r.stdout.index('Examples:') < r.stdout.index('Commands:'), r.stdout)
    for line in r.stdout.split('Commands:\n')[1].split('\n\n')[0].splitlines():
        words = [w for w in line.split('  ')[1].split() if w.islower()]
        one = cli(*words, '--help')
        same(one.returncode, 0, line)
        check(re.search(r'Examples:\n  .*\n?.*at-rund', one.stdout), one.stdout)
    r = cli('--version')
    check(re.match(r'at-rund \d+\.\d+\.\d+\n.*[Ll]icence', r.stdout), r.stdout)
    same(cli().returncode, 64)


def typos():
    for words, hint in ((('sevre',), 'did you mean at-rund serve?'), (('job', 'lst'), 'did you mean at-rund job list?'),
                        (('job',), 'job needs one of: list, show, cancel, logs'),
                        (('job', 'list', '--sate', 'x'), 'did you mean --state?'), (('job', 'show'), 'a word is missing'),
                        (('job', 'show', 'x'), 'x is no job'), (('banana',), 'at-rund --help'),
                        (('job', 'list', '--limit', '0'), '--limit: expected a number'),
                        (('job', 'list', '--state', 'nice'), '--state: expected'), (('serve', '--port', '99999'), '--port'),
                        (('serve', '--bundles', '.'), '--bundles needs --dev'), (('status', 'x'), 'too many words'),
                        (('job', 'list', '--json=1'), 'takes no value'), (('job', 'list', '--limit'), 'needs a value')):
        r = cli(*words)
        same(r.returncode, 64, words)
        same(r.stdout, '', words)
        check(r.stderr.startswith('at-rund: ') and hint in r.stderr, words, r.stderr)
        same(error_json(cli(*words, '--json'))['error'], 'Usage', words)


def no_config():
    r = cli('config', 'check')
    same(r.returncode, 78)
    check('at-rund init' in r.stderr, r.stderr)
    same(cli('serve').returncode, 78)
    for words in (('job', 'list'), ('status',), ('bundle', 'list'), ('pool', 'status')):
        r = cli(*words)
        same(r.returncode, 66, words)
        check('at-rund serve makes it' in r.stderr, r.stderr)


def inits():
    r = cli('init', '--did', DID, '--handle', 'me.example.com', '--json')
    same(r.returncode, 0, r.stderr)
    same(as_json(r)['home'], home)
    for name, mode in (('.', 0o700), ('keys', 0o700), ('bundles', 0o700), ('runtimes', 0o700), ('config.ini', 0o600)):
        same(oct(os.stat(os.path.join(home, name)).st_mode & 0o777), oct(mode), name)
    same(sorted(os.listdir(os.path.join(home, 'runtimes'))),
         ['deno.ini', 'deno.nix', 'node.ini', 'node.nix', 'python.ini', 'python.nix'])
    text = open(os.path.join(home, 'config.ini')).read()
    check('\ndid = ' + DID + '\n' in text and '\nhandle = me.example.com\n' in text, text)
    check('node = node.ini' in text and 'python = python.ini' in text, text)
    again = cli('init')
    same(again.returncode, 73)
    check('overwrites nothing' in again.stderr, again.stderr)
    same(open(os.path.join(home, 'config.ini')).read(), text)
    r = cli('init', '--did', 'me', env={'AT_RUND_HOME': os.path.join(where, 'other')})
    same(r.returncode, 64)
    check('expected a DID' in r.stderr, r.stderr)


def configs():
    r = cli('config', 'check')
    same((r.returncode, r.stderr), (0, ''))
    check(r.stdout.endswith('config.ini is good.\n'), r.stdout)
    shown = as_json(cli('config', 'show', '--json', env={'AT_RUND_LIMITS_TIMEOUT': '7s'}))
    keys = {k['key']: k for k in shown['keys']}
    same(keys['did']['value'], DID)
    check(keys['did']['from'].endswith('config.ini:5'), keys['did'])
    same((keys['limits.timeout']['value'], keys['limits.timeout']['from']), ('7s', 'environment AT_RUND_LIMITS_TIMEOUT'))
    same((keys['limits.log']['value'], keys['limits.log']['from']), ('64K', 'default'))
    bad = os.path.join(where, 'bad.toml')
    with open(bad, 'w') as f:
        f.write('prot = 3000\n[limits]\ntimeout = soon\n')
    r = cli('config', 'check', bad)
    same(r.returncode, 78)
    same(r.stdout, '%s:1: prot: unknown key; did you mean port?\n%s:3: limits.timeout: expected a duration with its unit '
         '(ms, s, m, h, d) from 1ms to 1d, not "soon"\n' % (bad, bad))
    r = cli('config', 'check', '--json', bad)
    same((r.returncode, as_json(r)['ok'], len(as_json(r)['problems'])), (78, False, 2))
    same(cli('status', '--config', bad).returncode, 78)
    same(error_json(cli('status', '--config', bad, '--json'))['error'], 'InvalidRequest')


def web_configs():
    """What is printed works: test_main_job.py; here the words, and the values that come from the config."""
    env = {'AT_RUND_WEB_LISTEN': '/run/x/fcgi.sock', 'AT_RUND_LIMITS_REQUEST': '10M', 'AT_RUND_LIMITS_TIMEOUT': '2m'}
    r = cli('web-config', 'nginx', env=env)
    same((r.returncode, r.stderr), (0, ''))
    for line in ('fastcgi_pass unix:/run/x/fcgi.sock;', 'client_max_body_size 12288k;', 'fastcgi_read_timeout 150s;',
                 'location ^~ / {'):
        check(line in r.stdout, line, r.stdout)
    check('@' not in r.stdout, r.stdout)
    r = cli('web-config', 'lighttpd', '--base', '/r.n')
    check('"^/r\\.n(/|$)"' in r.stdout and 'web.base_path' in r.stderr, r.stdout, r.stderr)
    same(as_json(cli('web-config', 'caddy', '--json', env={'AT_RUND_WEB_BASE_PATH': '/run'}))['base'], '/run')
    for kind in ('lighttpd', 'nginx', 'caddy', 'apache', 'cgi', 'htaccess', 'htaccess-fcgid', 'htaccess-cgi'):
        for did, base, there in (('did:web:r.example', '/run', True), ('did:web:r.example', '', False),
                                 ('did:plc:' + 'a' * 24, '/run', False)):
            r = cli('web-config', kind, env={'AT_RUND_WEB_BASE_PATH': base, 'AT_RUND_DID': did})
            check(r.returncode == 0 and ('did.json' in r.stdout.replace('\\', '')) == there, kind, did, base, r.stdout, r.stderr)
    for words, hint in ((('iis',), 'there are: lighttpd, nginx'), (('nginx', '--base', 'run'), 'a path such as /run'),
                        (('nginx', '--base', '/a b'), 'a path such as /run')):
        r = cli('web-config', *words)
        same((r.returncode, r.stdout), (64, ''), words)
        check(hint in r.stderr, r.stderr)
    r = cli('web-config', 'nginx', env={'AT_RUND_WEB_LISTEN': '/run/a b; return 200/fcgi.sock'})
    same((r.returncode, r.stdout), (65, ''))
    check('web.listen' in r.stderr, r.stderr)


def runtime_list():
    found = {r['name']: r for r in as_json(cli('runtime', 'list', '--json', env={'AT_RUND_DEV': '1'}))['runtimes']}
    for name in ('node', 'python'):
        check(found[name]['missing'] is None and found[name]['version'], found[name])
        check(found[name]['mime'] and found[name]['wall'] in ('none', 'sandbox'), found[name])
    lines = cli('runtime', 'list').stdout.splitlines()
    check(any(line.split('\t')[0] == 'node' for line in lines), lines)


def fails_closed():
    r = cli('serve', '--port', '0', env={'PATH': os.path.join(where, 'nothing')})  # without bwrap there is no sandbox
    same(r.returncode, 78)
    check('apt install bubblewrap' in r.stderr, r.stderr)
    check('isolation' in r.stderr, r.stderr)


# ---- with one ----

def starts():
    global serve, port
    os.mkdir(bundles)
    os.mkdir(os.path.join(bundles, 'slow'))
    with open(os.path.join(bundles, 'slow', 'main.mjs'), 'w') as f:
        f.write(BUNDLE)
    with open(os.path.join(bundles, 'slow', 'bundle.json'), 'w') as f:
        json.dump({'$type': 'dev.at-run.bundle', 'name': 'slow', 'version': '1.0.0',
                   'runtime': 'application/javascript+node', 'entry': 'main.mjs', 'endpoints': {'slow': {}}}, f)
    port = free_port()
    start_serve()


def start_serve(more=None):
    global serve
    out = os.path.join(where, 'serve.out')
    env = clean_env(AT_RUND_HOME=home, HOME=where, **(more or {}))
    with open(out, 'w') as f:
        serve = Process([AT_RUND, 'serve', '--dev', '--bundles', bundles, '--port', str(port)], os.path.join(where, 'serve.log'),
                        env=env, cwd=where, stdout=f)
    serve.ready(lambda: 'at-rund serves http://127.0.0.1:%d ' % port in open(out).read(), 'at-rund serve', 30)
    same(call('http://127.0.0.1:%d/ready' % port).status, 200)


def url(ms):
    return 'http://127.0.0.1:%d/bundle/local/slow/latest/slow?ms=%d' % (port, ms)


def one_only():
    r = cli('serve', '--dev', '--port', '0')
    same(r.returncode, 69)
    check('running already' in r.stderr, r.stderr)
    r = cli('serve', '--dev', '--port', str(port), env={'AT_RUND_HOME': os.path.join(where, 'second')})
    same(r.returncode, 69)
    check('Address already in use' in r.stderr and 'port' in r.stderr, r.stderr)
    same(call(url(0)).status, 200)


def later(ms):
    """A job that nobody waits for; its number."""
    a = call(url(ms), headers=[('Prefer', 'respond-async')])
    same(a.status, 202, a)
    return a.header('Location').rsplit('/', 1)[1].split('-')[0]


def jobs():
    row = later(200)
    r = cli('job', 'logs', '-f', row)
    same(r.returncode, 0, r.stderr)
    lines = [line.split('\t') for line in r.stdout.splitlines()]
    same([line[3] for line in lines], ['first', '\\x1b[2Jlast'])
    same([line['text'] for line in as_json(cli('job', 'logs', row, '--json'))['logs']], ['first', '\x1b[2Jlast'])
    job = until(lambda: (lambda j: j['state'] == 'done' and j)(as_json(cli('job', 'show', row, '--json'))), 'the job')
    same((job['outcome'], job['status'], str(job['row'])), ('ok', 200, row))
    same(as_json(cli('job', 'show', job['id'], '--json'))['row'], job['row'])
    listed = as_json(cli('job', 'list', '--json', '--state', 'ok', '--bundle', 'slow', '--author', 'local'))['jobs']
    check(job['row'] in [j['row'] for j in listed], listed)
    same(as_json(cli('job', 'list', '--json', '--state', 'timeout'))['jobs'], [])
    check(len(as_json(cli('job', 'list', '--json', '--limit', '1'))['jobs']) == 1)
    check(cli('job', 'list').stdout.splitlines()[0].split('\t')[1] == 'done')
    same(cli('job', 'show', '999999').returncode, 66)
    same(error_json(cli('job', 'show', '999999', '--json'))['error'], 'JobNotFound')


def cancels():
    row = later(20000)
    until(lambda: as_json(cli('job', 'show', row, '--json'))['state'] == 'running', 'the job runs')
    r = cli('job', 'cancel', row, '--json')
    same((r.returncode, as_json(r)['done']), (0, True), r.stderr)
    until(lambda: as_json(cli('job', 'show', row, '--json'))['outcome'] == 'cancelled', 'the job is cancelled')
    same(error_json(cli('job', 'cancel', row, '--json'))['error'], 'JobDone')


def pools():
    r = cli('pool', 'warm', 'node', '2')
    same(r.returncode, 0, r.stderr)
    until(lambda: sum(i['state'] == 'blank' for i in as_json(cli('pool', 'status', '--json'))['instances']) >= 2, 'two blanks')
    check('no such runtime' in cli('pool', 'warm', 'ruby', '1').stdout)
    same(cli('pool', 'warm', 'node', '0').returncode, 0)
    same(cli('pool', 'drain').returncode, 0)
    until(lambda: as_json(cli('pool', 'status', '--json'))['instances'] == [], 'an empty pool')


def statuses():
    s = as_json(cli('status', '--json'))
    check(s['running'] and s['wall'] in ('none', 'sandbox') and s['databaseBytes'] > 0 and s['heartbeatMs'] < 15000, s)
    check(any(o['outcome'] == 'ok' and o['calls'] > 0 for o in s['today']), s)
    r = cli('status')
    same(r.returncode, 0)
    check(r.stdout.startswith('scheduler   running'), r.stdout)
    same(as_json(cli('bundle', 'list', '--json')).keys(), {'bundles'})
    same(error_json(cli('bundle', 'show', 'nobody/nothing', '--json'))['error'], 'BundleNotFound')
    same(sorted(as_json(cli('version', '--json'))), ['schema', 'sqlite', 'sqliteWalBug', 'version'])


def on_terminal(*words, **env):
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(AT_RUND, [AT_RUND, *words], {**clean_env(AT_RUND_HOME=home, HOME=where), **env})
    out = b''
    with contextlib.suppress(OSError):
        while piece := os.read(fd, 65536):
            out += piece
    os.close(fd)
    os.waitpid(pid, 0)
    return out.decode()


def sqls():
    r = cli('sql', "select called, outcome from v_jobs where outcome = 'ok' limit 1")
    same((r.returncode, r.stdout), (0, 'local/slow/latest/slow\tok\n'), r.stderr)
    same(as_json(cli('sql', '--json', 'select count(*) > 0 as some from v_jobs')), [{'some': 1}])
    same(cli('sql', input="select 1 + 1;\nselect 'x';\n").stdout, '2\nx\n')
    views = [line.split('\t') for line in cli('sql', 'select * from v_views').stdout.splitlines()]
    check(len(views) > 9 and all(name.startswith('v_') and 8 < len(shows) < 120 for name, shows in views), views)
    for name, _ in views:
        same(cli('sql', 'select * from %s limit 1' % name).returncode, 0, name)
    r = cli('sql', "delete from job")
    check(r.returncode != 0 and 'readonly' in r.stderr, r.stderr)
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(AT_RUND, [AT_RUND, 'sql'], clean_env(AT_RUND_HOME=home, HOME=where, TERM='xterm'))
    os.write(fd, b'select verb from v_orders limit 1;\n.quit\n')
    shown = b''
    with contextlib.suppress(OSError):
        while True:
            shown += os.read(fd, 65536)
    same(os.waitpid(pid, 0)[1], 0)
    check(b'v_failed       What did not end well' in shown and '│ cancel │'.encode() in shown, shown)


def metrics():
    """The text format, line by line; counters that count; nobody gets it unless the operator says so."""
    base = 'http://127.0.0.1:%d' % port
    same(call(base + '/metrics').status, 404)
    serve.stop(seconds=40)
    start_serve({'AT_RUND_WEB_METRICS': 'loopback'})

    def read():
        a = call(base + '/metrics')
        same((a.status, a.header('content-type')), (200, 'text/plain; version=0.0.4; charset=utf-8'), a)
        for line in a.text.splitlines():
            check(re.fullmatch(r'# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? -?[0-9.]+', line), line)
        return {k: float(v) for k, v in (x.rsplit(' ', 1) for x in a.text.splitlines() if x[0] != '#')}
    for _ in range(5):
        same(call(url(0)).status, 200)
    found = until(lambda: (lambda m: m if m.get('at_rund_jobs_total{outcome="ok"}') == 5 else None)(read()), 'five jobs', 20)
    same((found['at_rund_job_seconds_count'], found['at_rund_job_seconds_bucket{le="+Inf"}']), (5, 5))
    same((found['at_rund_scheduler_running'], found['at_rund_jobs_open{state="running"}']), (1, 0))
    check(found['at_rund_instances'] >= 1 and found['at_rund_database_bytes{file="main"}'] > 4096, found)
    same(sum(v for k, v in found.items() if k.startswith('at_rund_job_starts_total')), 5)


def scraped():
    """Debian's Prometheus understands all of it."""
    top = os.path.join(where, 'prometheus')
    os.mkdir(top)
    with open(os.path.join(top, 'p.yml'), 'w') as f:
        f.write('scrape_configs:\n- job_name: at-rund\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs:\n'
                '  - targets: ["127.0.0.1:%d"]\n' % port)
    listen = free_port()
    p = Process([program('prometheus'), '--config.file=' + os.path.join(top, 'p.yml'), '--storage.tsdb.path=' + top,
                 '--web.listen-address=127.0.0.1:%d' % listen], os.path.join(top, 'log'), env=clean_env(HOME=top), cwd=top)

    def ask(query):
        a = call('http://127.0.0.1:%d/api/v1/query?query=%s' % (listen, urllib.parse.quote(query)))
        return [float(r['value'][1]) for r in a.json['data']['result']]
    try:
        p.ready(lambda: ask('at_rund_jobs_total{outcome="ok"}') == [5.0], 'Prometheus has scraped', 40)
        same(ask('up{job="at-rund"}'), [1.0])
        check(0 < ask('histogram_quantile(0.9, at_rund_job_seconds_bucket)')[0] < 60, 'a quantile')
    finally:
        p.stop()


def terminals():
    out = on_terminal('job', 'list')
    check('\x1b[1mrow\x1b[0m' in out and 'local/slow/latest/slow' in out, out)
    out = on_terminal('job', 'list', NO_COLOR='1')
    check('\x1b' not in out and out.startswith('row '), out)


def child(name):
    """The pid of one of serve's children, None while there is none."""
    mark = ' -D ' if name == 'lighttpd' else ' --config '
    return next((pid for pid, cmd in processes_of(home) if name in cmd and mark in cmd), None)


def restarts():
    for name in ('at-rund.fcgi', 'lighttpd', 'at-rund-scheduler'):
        pid = child(name)
        os.kill(pid, signal.SIGKILL)
        until(lambda: child(name) not in (pid, None) and call(url(0)).status == 200, '%s is back' % name, 30)
        check('program ended, it starts again' in serve.tail(100000), serve.tail())


def drains():
    answers = []
    caller = threading.Thread(target=lambda: answers.append(call(url(1500))))
    caller.start()
    until(lambda: as_json(cli('job', 'list', '--json', '--state', 'running'))['jobs'], 'a running job')
    same(serve.stop(seconds=40), 0)
    caller.join()
    same(answers[0].status, 200, answers[0])
    until(lambda: not processes_of(home), 'nothing is left')
    check(not os.path.exists(os.path.join(home, 'run', 'fcgi.sock')))
    same(cli('status').returncode, 3)


def hurries():
    start_serve()
    later(20000)
    until(lambda: as_json(cli('job', 'list', '--json', '--state', 'running'))['jobs'], 'a running job')
    serve.p.send_signal(signal.SIGINT)
    until(lambda: 'stopping' in serve.tail(3000).rsplit('listening', 1)[-1], 'the stop began')
    began = time.monotonic()
    serve.p.send_signal(signal.SIGINT)
    serve.p.wait(20 * SLOW)
    check(time.monotonic() - began < 10 * SLOW, 'the second signal hurries')
    until(lambda: not processes_of(home), 'nothing is left')
    serve.stop()


def killed():
    start_serve()
    call(url(0))
    os.kill(serve.pid, signal.SIGKILL)
    serve.p.wait()
    until(lambda: not processes_of(home), 'nothing is left of a serve that was killed', 20)
    serve.stop()
    start_serve()
    same(call(url(0)).status, 200)
    same(serve.stop(seconds=40), 0)


def backups():
    """A backup of a running, busy runner; its home is destroyed; the restored one knows every job and answers again."""
    plain, sealed, word_file = (os.path.join(where, n) for n in ('b.tar.gz', 'b.vault', 'word'))
    with open(word_file, 'w') as f:
        f.write('correct horse\n')
    start_serve()
    done, busy = threading.Event(), []

    def calls():
        while not done.is_set():
            busy.append(call(url(0)).status)
    load = threading.Thread(target=calls)
    load.start()
    until(lambda: len(busy) > 20, 'calls run')
    r = cli('backup', plain)
    same((r.returncode, r.stdout), (0, plain + '\n'), r.stderr)
    r = cli('backup', '--json', '--keys', '--passphrase-file', word_file, sealed)
    same(as_json(r)['sealed'], True, r.stderr)
    before = int(cli('sql', 'select count(*) from v_jobs').stdout)
    done.set()
    load.join()
    check(set(busy) == {200}, set(busy))
    same(serve.stop(seconds=40), 0)
    for name in (plain, sealed):
        same(oct(os.stat(name).st_mode & 0o777), '0o600')
    with tarfile.open(plain) as tar:
        names = tar.getnames()
    check('at-rund.db' in names and 'config.ini' in names and 'runtimes/node.ini' in names, names)
    check(not [n for n in names if n.startswith('keys')], names)
    for words, code, hint in ((('backup', plain), 73, 'overwrites nothing'), (('backup', '--keys', 'x'), 64, 'never written in clear'),
                              (('restore', plain), 73, 'overwrites nothing'), (('restore', '--home', os.path.join(where, 'x'), 'nothing'), 66, 'nothing')):
        r = cli(*words)
        same(r.returncode, code, (words, r.stderr))
        check(hint in r.stderr, r.stderr)
    keys = {n: open(os.path.join(home, 'keys', n), 'rb').read() for n in os.listdir(os.path.join(home, 'keys'))}
    check(keys, 'the runner has no keys')
    shutil.rmtree(home)
    with open(os.path.join(where, 'wrong'), 'w') as f:
        f.write('wrong horse\n')
    r = cli('restore', '--passphrase-file', os.path.join(where, 'wrong'), sealed)
    same(r.returncode, 77)
    check('passphrase is wrong' in r.stderr, r.stderr)
    with open(sealed, 'rb') as f:
        cut = f.read()[:-100]
    with open(os.path.join(where, 'cut'), 'wb') as f:
        f.write(cut)
    same(cli('restore', '--passphrase-file', word_file, os.path.join(where, 'cut')).returncode, 77)
    same([n for n in os.listdir(where) if 'restoring' in n or n == 'home'], [], 'what failed left')
    same(cli('restore', '--passphrase-file', word_file, sealed).returncode, 0)
    same({n: open(os.path.join(home, 'keys', n), 'rb').read() for n in os.listdir(os.path.join(home, 'keys'))}, keys)
    same(oct(os.stat(home).st_mode & 0o777), '0o700')
    after = int(cli('sql', 'select count(*) from v_jobs').stdout)
    check(0 < after <= before, before, after)
    start_serve()
    same(call(url(0)).status, 200)
    same(cli('sql', 'pragma integrity_check').stdout, 'ok\n')
    same(serve.stop(seconds=40), 0)


def takes_a_config():
    """SIGHUP hands a changed config on, loses no call, and a wrong config to nobody."""
    config = os.path.join(home, 'config.ini')
    with open(config) as f:
        was = f.read()

    def put(text):
        with open(config, 'w') as f:
            f.write(text)

    def doors():
        return {p for p, words in family(serve.pid).items() if os.path.basename(words[0]) == 'at-rund.fcgi'}

    def log():
        return serve.tail(200000)
    start_serve()
    old, answers = doors(), []
    under_way = threading.Thread(target=lambda: answers.append(call(url(1500)).status))
    under_way.start()
    until(lambda: as_json(cli('status', '--json'))['running'] == 1, 'a call runs')
    put(was + '\n[pool]\nwarm.node = 2\n')
    os.kill(serve.pid, signal.SIGHUP)
    until(lambda: 'changed=pool.warm.NAME' in log(), 'the scheduler has read it')
    same(call(url(0)).status, 200)
    under_way.join()
    same(answers, [200], 'the call under way')
    until(lambda: doors() and not doors() & old, 'new front doors')
    until(lambda: cli('sql', "select count(*) from v_instances where state = 'blank'").stdout.strip() == '2', 'two blanks')
    put(was + '\n[pool]\nwarm.node = many\n')
    old = doors()
    os.kill(serve.pid, signal.SIGHUP)
    until(lambda: 'the one before stays' in log(), 'the mistake is told')
    same((call(url(0)).status, doors()), (200, old))
    put(was)
    same(serve.stop(seconds=40), 0)


def side_by_side():
    """Checks wait at the same time: the directory answers only once the runner's own address was asked, and the other way round."""
    asked = {'plc': threading.Event(), 'web': threading.Event()}
    met = []

    def meeting(name, other, answer):
        def handler(method, path, headers, body, send):
            asked[name].set()
            if asked[other].wait(8):  # below the deadline of each check
                met.append(name)
            answer(path, send)
        return Serve(handler)
    plc = meeting('plc', 'web', lambda path, send: send(404, {}, b'nobody'))
    web = meeting('web', 'plc', lambda path, send: send(200, {}, b'{"status":"ok"}'))
    at = os.path.join(where, 'waits')
    same(cli('init', '--home', at, '--did', 'did:plc:' + 'a' * 24).returncode, 0)
    door = socket.socket(socket.AF_UNIX)  # a front door, for the address is asked for only when there is one
    door.bind(os.path.join(at, 'run', 'fcgi.sock'))
    door.listen()

    def open_door():
        c, _ = door.accept()
        with c:
            c.recv(4096)
            c.sendall(b'Status: 200 OK')
    threading.Thread(target=open_door, daemon=True).start()
    with open(os.path.join(at, 'config.ini'), 'a') as f:
        f.write('[atproto]\nplc_url = %s\nports = [%d]\n[web]\npublic_url = %s\n' % (plc.url, plc.port, web.url))
    found = {f['what']: f for f in as_json(cli('doctor', '--json', '--home', at, env={'AT_RUND_DEV': '1'}))['checks']}
    same((found['address']['verdict'], found['identity']['verdict']), ('ok', 'failure'), found)
    check({'plc', 'web'} <= set(met), 'they did not wait at the same time:', met)
    door.close()
    plc.stop()
    web.stop()


def recipients():
    """What is sealed for a key of age opens with age, and what age sealed is restored; who makes backups holds no secret."""
    age, keygen = program('age'), program('age-keygen')
    key, other, ours, theirs = (os.path.join(where, n) for n in ('age.key', 'other.key', 'ours.tar.gz.age', 'theirs.age'))
    public = [subprocess.run([keygen, '-o', k], capture_output=True, text=True).stderr.split()[-1] for k in (key, other)]
    r = cli('backup', '--keys', '--recipient', public[0], ours)
    same((r.returncode, r.stdout), (0, ours + '\n'), r.stderr)
    opened = subprocess.run([age, '-d', '-i', key, ours], capture_output=True)
    same(opened.returncode, 0, opened.stderr)
    with tarfile.open(fileobj=io.BytesIO(opened.stdout)) as tar:
        names = tar.getnames()
    check('at-rund.db' in names and [n for n in names if n.startswith('keys/')], names)
    subprocess.run([age, '-r', public[1], '-r', public[0], '-o', theirs], input=opened.stdout, check=True)
    for n, file in enumerate((ours, theirs)):
        at = os.path.join(where, 'from-age-%d' % n)
        same(cli('restore', '--home', at, '--identity', key, file).returncode, 0)
        same(sorted(os.listdir(os.path.join(at, 'keys'))), sorted(os.listdir(os.path.join(home, 'keys'))))
    nowhere = os.path.join(where, 'from-age-x')
    for words, code, hint in ((('restore', '--home', nowhere, '--identity', other, ours), 77, 'other recipients'),
                              (('restore', '--home', nowhere, ours), 65, '--identity'),
                              (('backup', '--encrypt', '--recipient', public[0], 'x'), 64, 'not both'),
                              (('backup', '--recipient', public[0][:-1] + 'b', 'x'), 64, 'slip of the pen')):
        r = cli(*words)
        same(r.returncode, code, (words, r.stderr))
        check(hint in r.stderr, r.stderr)
    check(not os.path.exists(nowhere), 'something was made')


def newer():
    """A backup of a later version is refused with advice."""
    other = os.path.join(where, 'later')
    r = cli('restore', '--home', other, os.path.join(where, 'b.tar.gz'))
    same(r.returncode, 0, r.stderr)
    c = sqlite3.connect(os.path.join(other, 'at-rund.db'))
    c.execute('PRAGMA user_version = 999')
    c.close()
    r = cli('backup', '--home', other, os.path.join(where, 'never.tar.gz'))
    check(r.returncode != 0 and 'version' in r.stderr and 'newer' in r.stderr, r.returncode, r.stderr)
    check(not os.path.exists(os.path.join(where, 'never.tar.gz')), 'a file was left')


def socket_only():
    global port
    out = os.path.join(where, 'serve.out')
    with open(out, 'w') as f:
        p = Process([AT_RUND, 'serve', '--dev', '--port', '0', '--json'], os.path.join(where, 'serve.log'),
                    env=clean_env(AT_RUND_HOME=os.path.join(where, 'fresh'), HOME=where), cwd=where, stdout=f)
    p.ready(lambda: '\n' in open(out).read(), 'at-rund serve', 30)
    ready = json.loads(open(out).read())
    check(ready['wall'] in ('none', 'sandbox'), ready)
    same(ready['pid'], p.pid)
    check('FastCGI on ' in ready['serves'] and not [c for _, c in processes_of(where + '/fresh') if 'lighttpd' in c], ready)
    same(p.stop(seconds=40), 0)


t.run('--help, examples first, and --version', helps)
t.run('mistakes get a hint and exit 64', typos)
t.run('without a home every command says what to do', no_config)
t.run('init makes a home and overwrites nothing', inits)
t.run('config check and show', configs)
t.run('web-config prints what the config says, and refuses what a web server would misread', web_configs)
t.run('runtime list works without a scheduler', runtime_list)
t.run('serve without --dev fails closed when only none is there', fails_closed)
t.run('serve starts everything and says so', starts)
if serve is not None:
    t.run('a second serve, and a port in use', one_only)
    t.run('job list, show, logs -f', jobs)
    t.run('job cancel', cancels)
    t.run('pool warm, status, drain', pools)
    t.run('status, bundle list, version', statuses)
    t.run('/metrics', metrics)
    t.run('/metrics, scraped by Prometheus', scraped)
    t.run('sql reads the views and writes nothing', sqls)
    t.run('a terminal gets a table', terminals)
    t.run('what is killed starts again', restarts)
    t.run('SIGTERM lets calls finish and leaves nothing', drains)
    t.run('a second signal hurries', hurries)
    t.run('a serve that is killed leaves no process', killed)
    t.run('backup while it works, restore, call again', backups)
    t.run('SIGHUP: a changed config is taken, a wrong one is not', takes_a_config)
    t.run('doctor waits for everybody at once', side_by_side)
    t.run('backup for a recipient of age, both ways', recipients)
    t.run('a newer database is refused', newer)
    t.run('port 0 serves the FastCGI socket only', socket_only)
t.end()
