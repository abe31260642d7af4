#!/usr/bin/env python3
"""
The whole world of one test, inside a network namespace: a web server on every address it has, and a resolver that lies.

    world.py LOG [--dns ADDRESS]      prints "ready" when everything listens; LOG gets a line for each connection that came in

    GET /         {"to": address, "port": n, "name": Host}        GET /big?n=N    N bytes
    POST /sink    {"bytes": n}                                    GET /hold       the head of an answer, and nothing more
"""
import http.server
import json
import socket
import socketserver
import struct
import sys
import threading

PORTS = (80, 443, 8080, 9999)
PUBLIC, PRIVATE, META = '11.22.33.44', '10.9.0.2', '169.254.169.254'
PUBLIC6 = '2606:4700:ffff::44'
ZONE = {
    'public.test': [PUBLIC], 'other.test': [PUBLIC], 'denied.test': [PUBLIC], 'six.test': [PUBLIC6], 'two.test': ['11.22.33.99', PUBLIC],
    'private.test': [PRIVATE], 'meta.test': [META], 'loop.test': ['127.0.0.1'], 'zero.test': ['0.0.0.0'],
    'mixed.test': [PUBLIC, PRIVATE], 'mapped.test': ['::ffff:' + PRIVATE], 'mapped-loop.test': ['::ffff:127.0.0.1'],
    'mixed6.test': [PUBLIC, 'fd00:9::2'], 'nat64.test': ['64:ff9b::a09:2'], 'own.test': ['11.22.33.1'], 'gone.test': ['11.22.33.99'],
    'public.example.org': [PUBLIC], 'private.example.org': [PRIVATE], 'loop.example.org': ['127.0.0.1'], 'mapped-loop.example.org': ['::ffff:127.0.0.1'],
}
ALIAS = {'alias.test': 'public.test', 'inward.test': 'private.test', 'circle.test': 'circle.test'}
asked = {}
log_lock = threading.Lock()
log = open(sys.argv[1], 'a', buffering=1)


def note(*words):
    with log_lock:
        log.write(' '.join(str(w) for w in words) + '\n')


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def setup(self):
        super().setup()
        self.to = self.connection.getsockname()[0].removeprefix('::ffff:')
        note('hit', self.to, self.connection.getsockname()[1])

    def log_message(self, *_):
        pass

    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith('/big'):
            left = int(self.path.partition('=')[2])
            self.send_response(200)
            self.send_header('Content-Length', str(left))
            self.end_headers()
            block = bytes(1 << 20)
            while left > 0:
                self.wfile.write(block[:left])
                left -= min(left, len(block))
        elif self.path == '/hold':
            self.send_response(200)
            self.send_header('Content-Length', '1000')
            self.end_headers()
            self.wfile.flush()
            while self.connection.recv(1):
                pass
        else:
            self.reply({'to': self.to, 'port': self.connection.getsockname()[1], 'name': self.headers.get('Host')})

    def do_POST(self):
        left = int(self.headers['Content-Length'])
        n = 0
        while n < left:
            part = self.rfile.read(min(1 << 20, left - n))
            if not part:
                return
            n += len(part)
        self.reply({'bytes': n})


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, *_):
        pass


class HalfClose(socketserver.BaseRequestHandler):
    """Port 7: takes everything until its end, then says how much it was."""

    def handle(self):
        n = 0
        while data := self.request.recv(65536):
            n += len(data)
        self.request.sendall(b'%d' % n)


def wire(name):
    return b''.join(bytes([len(p)]) + p.encode() for p in name.split('.')) + b'\0'


def record(name, kind, data):
    return wire(name) + struct.pack('>HHIH', kind, 1, 1, len(data)) + data


def addresses(name):
    if name == 'rebind.test':  # public when it is looked at, private when it is used
        return [PUBLIC] if asked[name] % 2 else [PRIVATE]
    if name.endswith('.wild.test'):
        return [PUBLIC]
    return ZONE.get(name)


def answer(packet):
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    name, question = '.'.join(labels).lower(), packet[12:at + 5]
    kind = struct.unpack('>H', packet[at + 1:at + 3])[0]
    if kind == 1:
        asked[name] = asked.get(name, 0) + 1
    note('asked', name, kind)
    owner, records = name, b''
    count = 0
    while owner in ALIAS and count < 3:
        records += record(owner, 5, wire(ALIAS[owner]))
        owner = ALIAS[owner]
        count += 1
    found = addresses(owner)
    for a in found or []:
        if (':' in a) == (kind == 28):
            records += record(owner, kind, socket.inet_pton(socket.AF_INET6 if ':' in a else socket.AF_INET, a))
            count += 1
    code = 0 if count or found else 3
    head = lambda ident: struct.pack('>HHHHHH', ident, 0x8180 | code, 1, count, 0, 0)
    ident = struct.unpack('>H', packet[:2])[0]
    if name == 'silent.test':
        return []
    if name == 'liar.test':  # other numbers and other questions, all with an address, and never the right one
        evil = record(name, 1, socket.inet_aton(PUBLIC))
        return [struct.pack('>HHHHHH', ident ^ 1, 0x8180, 1, 1, 0, 0) + question + evil,
                struct.pack('>HHHHHH', ident, 0x8180, 1, 1, 0, 0) + wire('else.test') + struct.pack('>HH', kind, 1) + evil,
                packet, b'', b'\0' * 11]
    if name == 'torn.test':
        return [struct.pack('>HHHHHH', ident, 0x8180, 1, 2, 0, 0) + question + record(name, kind, b'\1\2\3\4' * 5)[:-7]]
    return [head(ident) + question + records]


def serve_dns(s):
    while True:
        packet, who = s.recvfrom(4096)
        for reply in answer(packet):
            s.sendto(reply, who)


for port in PORTS:
    threading.Thread(target=Server(('::', port), Web).serve_forever, daemon=True).start()
threading.Thread(target=Server(('::', 7), HalfClose).serve_forever, daemon=True).start()
if '--dns' in sys.argv:
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind((sys.argv[sys.argv.index('--dns') + 1], 53))
    threading.Thread(target=serve_dns, args=(resolver,), daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
