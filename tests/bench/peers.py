"""PEERS=1 make bench: what a user would pick instead, on the same two lines of handler (facts: performance).

workerd and functions-framework come from npm into the dependency folder, fcgiwrap and webhook are Debian's.
"""
import json
import os
import shutil
import subprocess

from kit import free_port, wait_url, wrk

WORKERD = '''using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = (modules = [ (name = "worker", esModule = embed "worker.mjs") ],
                compatibilityDate = "2026-01-01")) ],
  sockets = [ (name = "http", address = "127.0.0.1:%d", http = (), service = "main") ]
);
'''


def packages():
    d = os.path.join(os.environ.get('AT_RUND_DEPS', os.path.expanduser('~/.cache/at-rund')), 'peers')
    if not os.path.exists(os.path.join(d, 'node_modules', 'workerd')):
        os.makedirs(d, exist_ok=True)
        subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--silent', 'workerd@1.20261117.1',
                        '@google-cloud/functions-framework@4'], cwd=d, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    return os.path.join(d, 'node_modules')


def write(path, text, mode=0o644):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(path, mode)


def run(args, kids, table, work):
    modules = packages()
    d = os.path.join(work, 'peers')
    os.makedirs(d)
    served = []

    port = free_port()
    write(os.path.join(d, 'worker.mjs'), 'export default { fetch() { return Response.json({ hello: "world" }); } };\n')
    write(os.path.join(d, 'config.capnp'), WORKERD % port)
    binary = os.path.join(modules, '@cloudflare', 'workerd-linux-64', 'bin', 'workerd')
    if os.path.exists(binary):
        kids.start([binary, 'serve', 'config.capnp'], cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        served.append(('workerd', f'http://127.0.0.1:{port}/'))

    port = free_port()
    write(os.path.join(d, 'index.js'), 'exports.hello = (req, res) => { res.json({ hello: "world" }); };\n')
    write(os.path.join(d, 'package.json'), json.dumps({'main': 'index.js'}))
    kids.start(['node', os.path.join(modules, '@google-cloud', 'functions-framework', 'build', 'src', 'main.js'),
                '--target=hello', f'--port={port}'], cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
               env=dict(os.environ, HOST='127.0.0.1'))
    served.append(('functions-framework', f'http://127.0.0.1:{port}/'))

    cgi = os.path.join(d, 'hello.py')
    write(cgi, '#!/usr/bin/python3\nimport json\nprint("Content-Type: application/json\\n")\n'
               'print(json.dumps({"hello": "world"}))\n', 0o755)
    if shutil.which('fcgiwrap'):
        port, sock = free_port(), os.path.join(d, 'wrap.sock')
        kids.start(['fcgiwrap', '-c', '4', '-s', 'unix:' + sock], stderr=subprocess.DEVNULL)
        write(os.path.join(d, 'wrap.conf'), f'''server.modules = ("mod_fastcgi")
server.document-root = "{d}"
server.bind = "127.0.0.1"
server.port = {port}
fastcgi.server = (".py" => (("socket" => "{sock}")))
''')
        kids.start(['lighttpd', '-D', '-f', os.path.join(d, 'wrap.conf')], stderr=subprocess.DEVNULL)
        served.append(('fcgiwrap + python', f'http://127.0.0.1:{port}/hello.py'))
    if shutil.which('webhook'):
        port = free_port()
        write(os.path.join(d, 'hooks.json'), json.dumps([{'id': 'hello', 'execute-command': cgi,
                                                          'include-command-output-in-response': True}]))
        kids.start(['webhook', '-hooks', os.path.join(d, 'hooks.json'), '-ip', '127.0.0.1', '-port', str(port)],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        served.append(('webhook + python', f'http://127.0.0.1:{port}/hooks/hello'))

    for name, url in served:
        wait_url(url)
        wrk(url, 16, 1)
        figures = []
        for clients in (1, 16, 64):
            r = wrk(url, clients, args.seconds)
            figures.append(f"{clients}: {r['rate']:.0f}/s p50 {r['p50']:.2f} p99 {r['p99']:.2f} ms")
        table.note('peer ' + name, '; '.join(figures))
