"""serve --dev with a folder of bundles: a change is seen by the next call, mistakes are told, the ledger can be read."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
bundles = os.path.join(where, 'bundles')
os.makedirs(bundles)
runner = Runner(where, bundles=bundles)


def put(path, text):
    full = os.path.join(bundles, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'w') as f:
        f.write(text)


def get(path, *args, **kw):
    return call(runner.url + '/bundle/local/' + path, *args, **kw)


def starts():
    runner.init().start()


def single_files():
    put('one.py', "def say(request, ctx):\n    return 'python'\n")
    put('two.mjs', "export const say = () => new Response('mjs');\n")
    put('three.ts', "export const say = (): Response => new Response('ts' as string);\n")
    same([get('%s/latest/say' % n).text for n in ('one', 'two', 'three')], ['python', 'mjs', 'ts'])


def changes():
    """Twenty changes, some within the same second and of the same length: the very next call runs the new text."""
    for i in range(20):
        name = ('one.py', "def say(request, ctx):\n    return 'now %02d'\n") if i % 2 else (
            'two.mjs', "export const say = () => new Response('now %02d');\n")
        put(name[0], name[1] % i)
        same(get('%s/latest/say' % name[0].split('.')[0]).text, 'now %02d' % i)


def imported_files():
    put('deep/main.mjs', "import { x } from './lib/x.mjs';\nexport const say = () => new Response(x);\n")
    put('deep/lib/x.mjs', "export const x = 'before';\n")
    same(get('deep/latest/say').text, 'before')
    put('deep/lib/x.mjs', "export const x = 'after';\n")
    same(get('deep/latest/say').text, 'after')


def new_endpoint():
    same(get('one/latest/more').status, 404)
    put('one.py', "def say(request, ctx):\n    return 'x'\n\ndef more(request, ctx):\n    return 'more'\n")
    same(get('one/latest/more').text, 'more')


def syntax_errors():
    """A mistake is told with file and line; its repair is seen at once."""
    for file, broken, good in (('one.py', 'def say(request, ctx)\n', "def say(request, ctx):\n    return 'well'\n"),
                               ('two.mjs', 'export const say = ( => 1;\n', "export const say = () => new Response('well');\n"),
                               ('three.ts', 'export const say = ( => 1;\n', "export const say = () => new Response('well');\n")):
        name, ext = file.split('.')
        put(file, broken)
        a = get(name + '/latest/say')
        check(a.status >= 500 and 'main.%s:1' % ext in a.text, file, a)
        check(bundles not in a.text and runner.home not in a.text, 'paths of the host in', a)
        put(file, good)
        same(get(name + '/latest/say').text, 'well', file)


def bad_record():
    put('odd/main.py', "def say(request, ctx):\n    return 'x'\n")
    put('odd/bundle.json', '{"runtime": 7}')
    a = get('odd/latest/say')
    check(400 <= a.status < 600 and 'runtime' in a.text, a)
    put('odd/bundle.json', '{"runtime": "application/x-cobol"}')
    a = get('odd/latest/say')
    check(a.status in (400, 404) and 'application/x-cobol' in a.text, a)
    os.unlink(os.path.join(bundles, 'odd', 'bundle.json'))
    same(get('odd/latest/say').text, 'x')


def gone():
    put('short.py', "def say(request, ctx):\n    return 'here'\n")
    same(get('short/latest/say').text, 'here')
    os.unlink(os.path.join(bundles, 'short.py'))
    a = get('short/latest/say')
    same((a.status, a.error), (404, 'BundleNotFound'), a)


def no_way_out():
    """Names that lead out of the folder, and links that do."""
    with open(os.path.join(where, 'outside.py'), 'w') as f:
        f.write("def say(request, ctx):\n    return 'outside'\n")
    for name in ('..%2foutside', '..', '.', '%2e%2e'):
        a = get(name + '/latest/say')
        check(400 <= a.status < 500 and 'outside"' not in a.text, name, a)
    os.symlink('/etc', os.path.join(bundles, 'deep', 'etc'))
    a = get('deep/latest/say')
    check('root:' not in a.text, a)
    os.unlink(os.path.join(bundles, 'deep', 'etc'))


def logs():
    put('talk.py', "import sys\n\ndef say(request, ctx):\n    print('to stdout')\n    print('to stderr', file=sys.stderr)\n"
        "    ctx.log('warn', 'by ctx.log')\n    return 'said'\n")
    a = get('talk/latest/say')
    same(a.text, 'said')
    job = a.header('at-run-job')
    r = until(lambda: (lambda r: r if 'by ctx.log' in r.stdout else None)(runner.cli('job', 'logs', job)), 'the log')
    check('to stdout' in r.stdout and 'to stderr' in r.stdout, r.stdout)
    j = runner.cli('job', 'logs', job, '--json')
    same(j.returncode, 0, j.stderr)
    texts = json.dumps([json.loads(line) for line in j.stdout.splitlines()] if j.stdout.count('\n{') else json.loads(j.stdout))
    check('to stderr' in texts, texts)


def a_megabyte_of_log():
    put('loud.py', "def say(request, ctx):\n    for i in range(40000):\n        print('x' * 25)\n    return 'done'\n")
    a = get('loud/latest/say')
    same((a.status, a.text), (200, 'done'), a)
    kept = runner.sql('SELECT coalesce(sum(length(text)), 0) FROM log WHERE job = ?', int(a.header('at-run-job').split('-')[0]))
    check(0 < kept[0][0] <= 80 * 1024, 'kept %s bytes, limits.log is 64K' % kept[0][0])


def cold_and_warm():
    put('temp.py', "def say(request, ctx):\n    return 'x'\n")
    first, second = get('temp/latest/say'), get('temp/latest/say')
    check(first.header('at-run-instance') in ('cold', 'blank'), first)
    same(second.header('at-run-instance'), 'warm')


def ledger():
    r = subprocess.run(['sqlite3', '-readonly', '-header', runner.db, 'select * from v_jobs limit 3'], capture_output=True,
                       text=True, timeout=30)
    same(r.returncode, 0, r.stderr)
    check('local' in r.stdout and 'ok' in r.stdout, r.stdout)
    views = [v for v, in runner.sql("SELECT name FROM sqlite_master WHERE type = 'view'")]
    for view in ('v_jobs', 'v_queue', 'v_failed', 'v_bundles', 'v_instances', 'v_today'):
        check(view in views, view, views)
        runner.sql('SELECT * FROM ' + view)


def same_with_home_as_link():
    """The home may be a symbolic link (shared hosts)."""
    real = os.path.join(where, 'real')
    os.mkdir(real)
    os.symlink(real, os.path.join(where, 'link'))
    other = Runner(where, name='link', bundles=bundles)
    other.init().start()
    try:
        same(call(other.url + '/bundle/local/temp/latest/say').text, 'x')
    finally:
        same(other.stop(), 0)


def stops():
    same(runner.stop(), 0, 'exit status')
    until(lambda: not processes_of(where), 'no process is left: %s' % processes_of(where), 10)


t.picked, t.pick = t.pick, []
t.run('at-rund serve --dev with a folder', starts)
t.pick = t.picked
if t.failed == 0:
    t.run('single files are bundles', single_files)
    t.run('a change is seen by the next call', changes)
    t.run('a change of an imported file, too', imported_files)
    t.run('a new endpoint is there at once', new_endpoint)
    t.run('mistakes are told with file and line, and their repair is seen', syntax_errors)
    t.run('a bad bundle.json is told', bad_record)
    t.run('a bundle that is gone is gone', gone)
    t.run('nothing outside of the folder is served', no_way_out)
    t.run('what handlers print is in at-rund job logs', logs)
    t.run('a megabyte of printing is cut at limits.log', a_megabyte_of_log)
    t.run('cold, then warm', cold_and_warm)
    t.run('the ledger and its views', ledger)
    t.run('a home behind a symbolic link', same_with_home_as_link)
    t.run('stop ends everything', stops)
t.end()
