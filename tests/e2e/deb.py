"""
The Debian package of this checkout, built once for all tests that install it: kept in build/check/, under the hash of every file
that went in.
"""
from kit import *  # noqa: F403


def files():
    """What a release would hold, or None outside of a git checkout."""
    r = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True)
    return sorted(f for f in r.stdout.splitlines() if os.path.isfile(os.path.join(ROOT, f))) if r.returncode == 0 else None


def checkout(top):
    """The files of the repository, as a release would hold them."""
    names = files()
    if names is None:
        shutil.copytree(ROOT, top, ignore=shutil.ignore_patterns('build', 'node_modules'))
        return top
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)
        shutil.copy2(os.path.join(ROOT, name), os.path.join(top, name))
    return top


def state():
    """A hash of all that a package is built from."""
    h = hashlib.sha256()
    for name in (f for f in files() or [] if not f.startswith('tests/')):
        with open(os.path.join(ROOT, name), 'rb') as f:
            h.update(name.encode() + b'\0' + hashlib.sha256(f.read()).digest())
    return h.hexdigest()[:16] if files() else None


def run(*words, **kw):
    r = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=400 * SLOW, **kw)
    check(r.returncode == 0, ' '.join(words), r.returncode, r.stderr[-1500:] + r.stdout[-500:])
    return r.stdout


def kept():
    s = state()
    return os.path.join(BUILD, 'check', 'at-rund-%s.deb' % s) if s else None


def build(where):
    """dpkg-buildpackage, whatever was built before."""
    program('dpkg-buildpackage')
    program('dh')
    top = checkout(os.path.join(where, 'src'))
    shutil.copytree(os.path.join(top, 'contrib', 'packaging', 'debian'), os.path.join(top, 'debian'))
    env = clean_env(DEB_BUILD_OPTIONS='parallel=2 noautodbgsym', HOME=where)
    if shutil.which('ccache'):  # whoever has it builds the same files over and over
        env.update(PATH='/usr/lib/ccache:' + env['PATH'], CCACHE_DIR=os.environ.get(
            'CCACHE_DIR', os.path.expanduser('~/.cache/ccache')))
    run('dpkg-buildpackage', '-us', '-uc', '-b', cwd=top, env=env)
    (name,) = [n for n in os.listdir(where) if n.endswith('.deb')]
    deb, keep = os.path.join(where, name), kept()
    if keep:
        os.makedirs(os.path.dirname(keep), exist_ok=True)
        for old in os.listdir(os.path.dirname(keep)):
            if re.fullmatch(r'at-rund-[0-9a-f]{16}\.deb', old):
                os.unlink(os.path.join(os.path.dirname(keep), old))
        shutil.copy2(deb, keep)
    return deb


def package(where):
    """A package of these very files: the one that was kept, or a new one."""
    keep = kept()
    return keep if keep and os.path.exists(keep) else build(where)
