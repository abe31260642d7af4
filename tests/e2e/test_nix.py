"""
Images out of packages of Nix: the real nix-build, with a nixpkgs of the test's own (nixpkgs/, which says what it is) and a store of
its own, so that nothing is downloaded.  The runtime that comes out runs a handler behind each wall.
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

HERE = os.path.dirname(os.path.abspath(__file__))
# A store that is made for one command and gone with it: what is in the image then, is all there is.
STORE = 'mount -t tmpfs tmpfs /nix && exec "$0" "$@"'
HANDLER = '''import json, os, ssl, sys, zlib


def where(request, ctx):
    return {'prefix': sys.prefix, 'programs': sorted(os.listdir('/usr/bin')), 'store': sorted(os.listdir('/nix/store')),
            'debian': os.path.exists('/usr/lib/x86_64-linux-gnu') or os.path.exists('/etc/debian_version')}
'''
t = Cases()
where = scratch('at-rund-nix-')
nixpkgs = os.path.join(where, 'nixpkgs')
bundles = os.path.join(where, 'bundles')
runner = None
made_nix = False


def build(*args):
    env = {**runner.env, 'NIX_CONFIG': 'build-users-group =\nsandbox = false\nsubstituters =\n'}
    return subprocess.run(['unshare', '--mount', 'sh', '-c', STORE, os.path.join(BUILD, 'at-rund'), '--json', 'build', *args], env=env,
                          capture_output=True, text=True, timeout=300 * SLOW)


def image(name='python'):
    return os.path.join(runner.home, 'images', name)


def built():
    """From a definition in Nix, whose systemPackages are packages, not names."""
    global first
    r = build('--runtime', 'python')
    check(r.returncode == 0, r.stderr)
    first = json.loads(r.stdout)['images'][0]
    same(first['state'], 'built')
    store = os.listdir(image() + '/root/nix/store')
    check(any('glibc-of-the-test' in s for s in store), 'what the package needs is not there', store)
    check(os.readlink(image() + '/root/usr/bin/python3').startswith('/nix/store/'), 'no link to its program')
    check(not os.path.exists(image() + '/root/usr/lib'), 'there is something of Debian')


def the_same_again():
    """In another store, which builds it all anew."""
    time.sleep(1.1)  # other times of files
    r = build('--runtime', 'python', '--force')
    check(r.returncode == 0, r.stderr)
    second = json.loads(r.stdout)['images'][0]
    same((second['state'], second['image']), ('unchanged', first['image']))
    same(json.loads(build('--runtime', 'python').stdout)['images'][0]['state'], 'up to date')


def by_names():
    """A definition of the other kind: names of packages, in sets too."""
    r = build('--runtime', 'snake')
    check(r.returncode == 0, r.stderr)
    check(os.path.exists(image('snake') + '/root/etc/ssl/certs/ca-certificates.crt'), 'roots of trust are not where programs look')


def refused(name, word):
    r = build('--runtime', name)
    check(r.returncode != 0 and word in r.stderr, r.returncode, r.stderr)
    check(not os.path.exists(image(name)), 'an image all the same')


def definition(name, text):
    with open(os.path.join(runner.home, 'runtimes', name), 'w') as f:
        f.write(text)


def answers(wall):
    if wall == 'container' and not program('podman'):
        skip('podman is not installed')
    runner.conf_top['isolation'] = wall
    runner.write()
    try:
        runner.start()
    except RuntimeError as e:
        skip('%s: %s' % (wall, str(e)[-300:]))
    try:
        a = call(runner.url + '/bundle/local/prefix/latest/where')
        check(a.status == 200, a, runner.tail())
        check(a.json['prefix'].startswith('/nix/store/') and a.json['prefix'].endswith('-python3-of-the-test'), a.json)
        same((a.json['programs'], len(a.json['store']), a.json['debian']), (['python3'], 2, False))
    finally:
        runner.stop()


def start():
    global runner, made_nix
    if os.geteuid() != 0:
        skip('needs root: a store of its own at /nix')
    program('nix-build')
    if not os.path.isdir('/nix'):
        os.mkdir('/nix')
        made_nix = True
    if subprocess.run(['unshare', '--mount', 'sh', '-c', STORE, 'true'], capture_output=True).returncode != 0:
        skip('no mount namespace of our own can be made here')
    shutil.copytree(os.path.join(HERE, 'nixpkgs'), nixpkgs)
    subprocess.run(['gcc', '-std=c11', '-D_GNU_SOURCE', '-O1', '-static', '-o', nixpkgs + '/launcher', nixpkgs + '/launcher.c'], check=True)
    os.makedirs(bundles + '/prefix')
    with open(bundles + '/prefix/main.py', 'w') as f:
        f.write(HANDLER)
    with open(bundles + '/prefix/bundle.json', 'w') as f:
        json.dump({'$type': 'dev.at-run.bundle', 'name': 'prefix', 'version': '1.0.0', 'runtime': 'application/python', 'entry': 'main.py',
                   'endpoints': {'where': {}}}, f)
    runner = Runner(where, bundles=bundles, sections={'build': {'nixpkgs': nixpkgs}})
    runner.init()
    shutil.copy2(os.path.join(ROOT, 'backends', 'runtimes', 'python', 'python.nix'), runner.home + '/runtimes/')
    own = '[executor]\ncommand = python3\n[packages]\nnix = [ %s ]\n'
    definition('snake.ini', 'mimeTypes = [ "application/x-snake" ]\n' + own % '"python3", "nested.certs"')
    definition('hole.ini', 'mimeTypes = [ "application/x-hole" ]\n' + own % '"python3", "nested.nothing"')
    # Without a nixpkgs nobody calls that function; with one it is.
    definition('spy.nix', '''{ pkgs, ... }: {
      mimeTypes = [ "application/x-spy" ];
      guest.environment.systemPackages = [ (pkgs.python3.withPackages (p: if builtins.readFile "/etc/passwd" == "" then [ ] else [ ])) ];
      executor.command = "python3";
    }
    ''')
    runner.conf['runtimes'] = {'python': 'python.nix', 'snake': 'snake.ini', 'hole': 'hole.ini', 'spy': 'spy.nix'}
    runner.write()


def main():
    t.run('a nixpkgs of our own', start)
    if runner:
        t.run('the packages of a definition in Nix', built)
        t.run('made again, it is the same', the_same_again)
        t.run('packages by their names', by_names)
        t.run('a name that is not there', refused, 'hole', 'nixpkgs has no package nothing')
        t.run('a definition that reads the host', refused, 'spy', 'forbidden')
        runner.conf['runtimes'] = {'python': 'python.nix'}
        t.run('a handler behind the sandbox', answers, 'sandbox')
        t.run('a handler behind the container', answers, 'container')
    if made_nix:
        os.rmdir('/nix')
    t.end()


main()
