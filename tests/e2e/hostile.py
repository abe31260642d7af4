"""
A PLC directory and a PDS that lie: one server on loopback for both, the name of the bundle says how it misbehaves.

    h = Hostile()
    h.did            an account whose document points at this server (K-256); h.did_p256 has a key on the other curve
    h.modes          every bundle name it knows and what the fetcher must say to it
    h.lies           how a proof can lie, and the name of the link that then breaks: {'high-s': 'HighSSignature', ...};
                     the bundle "lie-high-s" is served with that lie.  An old revision is older than h.rev.

Proofs are made by build/tests/proof_make, without which there is no Hostile.

Used by test_fetcher.py, and by whoever wants a runner to meet such a server.
"""
import gzip
import json
import os
import subprocess
import threading
import urllib.parse

from kit import BUILD, COLLECTION, Serve, cid_raw, skip

CODE = b'export default () => "fine"\n'
PROOF_MAKE = os.path.join(BUILD, 'tests', 'proof_make')
REV = '3lonbndhf722s'
HTML = b'<!DOCTYPE html><title>Sorry</title><h1>Down for maintenance</h1>'

# bundle name: (kind, what the message says), or None when the fetch must work
MODES = {
    'fine': None,
    # the record
    'html-200': ('remote', 'CAR at byte'),
    'html-502': ('remote', 'answers 502 with text/html'),
    'no-bytes': ('remote', 'no bytes'),
    'gzip-nonsense': ('remote', 'CAR at byte'),
    'no-such-method': ('remote', 'XRPCNotSupported'),
    'missing': ('notfound', 'there is no record'),
    'huge-record': ('remote', 'atproto.record'),
    'record-of-a-gib': ('remote', 'atproto.record'),
    'endless-record': ('remote', 'atproto.record'),
    'endless-headers': ('remote', 'bytes of headers'),
    'slow-headers': ('timeout', 'atproto.f'),
    'silent': ('timeout', 'atproto.first_byte_timeout'),
    'trickle': ('timeout', 'atproto.fetch_timeout'),
    'hang-up': ('remote', 'localhost: '),
    'redirect-record': ('remote', 'that is not followed'),
    'wrong-name': ('input', 'its name is'),
    'wrong-type': ('input', '$type'),
    # the blob
    'wrong-hash': ('remote', 'they hash to'),
    'too-short': ('remote', 'bytes of a blob of'),
    'too-long': ('remote', 'larger than the'),
    'truncated': ('remote', 'localhost: '),
    'lying-length': ('remote', 'localhost: '),
    'endless-blob': ('remote', 'larger than the'),
    'huge-blob': ('input', 'atproto.blob'),
    'html-blob': ('remote', ''),
    'no-blob': ('notfound', 'BlobNotFound'),
    'blob-trickle': ('timeout', 'atproto.fetch_timeout'),
    'blob-inside': ('remote', 'is not the name of a public host'),
    'blob-file': ('remote', ''),
    'blob-loop': ('remote', 'more than 3 redirects'),
    'blob-moved': None,
    'bomb': ('input', 'atproto.unpacked'),
}


class Hostile(Serve):
    def __init__(self):
        if not os.access(PROOF_MAKE, os.X_OK):
            skip('no %s: make it first' % os.path.relpath(PROOF_MAKE))
        self.did = 'did:plc:' + 'h' * 24
        self.did_p256 = 'did:plc:' + 'q' * 24
        self.modes = MODES
        self.rev = REV
        self.lies = dict(line.split(' ', 1) for line in make_proof('lies').decode().splitlines())
        self.keys = {c: make_proof('key', c).decode().strip() for c in ('K-256', 'P-256')}
        self.hits = {}
        self.proofs = {}
        self.lock = threading.Lock()
        super().__init__(self._answer)

    def document(self, did):
        key = self.keys['P-256' if did == self.did_p256 else 'K-256']
        if did[8] == 'r' and self.hits['/' + did] == 1:
            key = self.keys['P-256']  # not the one that signs: it is rotated before the document is read again
        return {'id': did, 'alsoKnownAs': ['at://hostile.test'],
                'verificationMethod': [] if did[8] == 'k' else
                [{'id': did + '#atproto', 'type': 'Multikey', 'controller': did, 'publicKeyMultibase': key}],
                'service': [{'id': '#atproto_pds', 'type': 'AtprotoPersonalDataServer', 'serviceEndpoint': self.url}]}

    def _answer(self, method, path, headers, body, send):
        at = urllib.parse.urlsplit(path)
        q = dict(urllib.parse.parse_qsl(at.query))
        with self.lock:
            self.hits[at.path] = self.hits.get(at.path, 0) + 1
        if at.path.startswith('/did:plc:'):
            did = at.path[1:]
            kind = did[len('did:plc:')]
            if kind == 'g':
                return send(410, None, {'message': 'DID not available'})
            if kind == 'n':
                return send(404, None, {'message': 'DID not registered'})
            if kind == 'o':
                return send(200, None, self.document(self.did))
            if kind == 'x':
                return send(200, {'Content-Type': 'text/html'}, HTML)
            if kind == 'p':
                doc = self.document(did)
                doc['service'][0]['serviceEndpoint'] = 'http://169.254.169.254'
                return send(200, None, doc)
            return send(200, None, self.document(did))
        if at.path.endswith('resolveHandle'):
            did = {'hostile.test': self.did, 'thief.test': self.did}.get(q.get('handle'))
            return send(200, None, {'did': did}) if did else send(400, None, {'error': 'InvalidRequest', 'message': 'x'})
        if at.path.endswith('getRecord'):
            return self._record(q['did'], q['rkey'], send)
        if at.path.endswith('getBlob'):
            return self._blob(q, send)
        if at.path == '/moved':
            return send(200, None, self.code('blob-moved'))
        if at.path == '/loop':
            return send(302, {'Location': self.url + '/loop'})
        return send(404, None, {'error': 'XRPCNotSupported', 'message': path})

    def code(self, mode):
        if mode == 'bomb':
            return gzip.compress(tar_of_zeros(3 << 20), 9, mtime=0)
        return CODE + b'// %s\n' % mode.encode()

    def record(self, mode):
        data = self.code(mode)
        size = {'huge-blob': 1 << 30}.get(mode, len(data))
        return {'$type': 'com.example.other' if mode == 'wrong-type' else COLLECTION,
                'name': 'somebody-else' if mode == 'wrong-name' else mode, 'version': '1',
                'runtime': 'application/javascript',
                'code': {'$type': 'blob', 'ref': {'$link': cid_raw(data)}, 'mimeType': 'application/javascript', 'size': size}}

    def proof(self, did, mode):
        """The CAR for a bundle; the same one for everybody who asks."""
        with self.lock:
            if (did, mode) not in self.proofs:
                lie = mode[4:] if mode.startswith('lie-') else 'none'
                self.proofs[did, mode] = make_proof(
                    'car', did, COLLECTION, mode, REV, lie, 'P-256' if did == self.did_p256 else 'K-256',
                    data=json.dumps(self.record(mode)).encode())
            return self.proofs[did, mode]

    def _record(self, did, mode, send):
        car = {'Content-Type': 'application/vnd.ipld.car'}
        head = b'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.car\r\n'
        if mode == 'html-200':
            return send(200, {'Content-Type': 'text/html'}, HTML)
        if mode == 'html-502':
            return send(502, {'Content-Type': 'text/html'}, HTML)
        if mode == 'no-bytes':
            return send(200, car, b'')
        if mode == 'gzip-nonsense':
            return send(200, dict(car, **{'Content-Encoding': 'gzip'}), gzip.compress(b'{}') * 9)
        if mode == 'no-such-method':
            return send(501, None, {'error': 'XRPCNotSupported', 'message': 'no sync here'})
        if mode == 'missing':
            return send(400, None, {'error': 'RecordNotFound', 'message': 'Could not locate record'})
        if mode == 'huge-record':
            return send(200, car, self.proof(did, 'fine') + b'x' * (2 << 20))
        if mode == 'record-of-a-gib':
            send.raw(head + b'Content-Length: %d\r\n\r\n' % (1 << 30) + self.proof(did, 'fine'))
            return self._forever(send, b'x' * 65536, 0)
        if mode == 'endless-record':
            send.raw(head + b'\r\n' + self.proof(did, 'fine'))
            return self._forever(send, b'x' * 65536, 0)
        if mode == 'endless-headers':
            send.raw(head)
            return self._forever(send, b'X-Pad: ' + b'y' * 1000 + b'\r\n', 0)
        if mode == 'slow-headers':
            send.raw(b'HTTP/1.1 200 OK\r\n')
            return self._forever(send, b'X: y\r\n', 0.1)
        if mode == 'silent':
            return self.closing.wait(60)
        if mode == 'trickle':
            send.raw(head + b'\r\n')
            return self._forever(send, b' ', 0.05)
        if mode == 'hang-up':
            return None
        if mode == 'redirect-record':
            return send(302, {'Location': self.url + '/xrpc/com.atproto.sync.getRecord?did=x'})
        if mode == 'rotated' and did[8] == 'r':
            self.closing.wait(2.2)  # a document that was read a moment ago is not read again
        return send(200, car, self.proof(did, mode))

    def _forever(self, send, piece, pause):
        while not self.closing.is_set():
            send.raw(piece)
            if pause:
                self.closing.wait(pause)

    def _blob(self, q, send):
        names = list(MODES) + ['rotated'] + ['lie-' + x for x in self.lies]
        mode = next((m for m in names if cid_raw(self.code(m)) == q['cid']), None)
        data = self.code(mode)
        head = b'HTTP/1.1 200 OK\r\nContent-Type: application/javascript\r\n'
        if mode == 'wrong-hash':
            return send(200, None, data[:-2] + b'X\n')
        if mode == 'too-short':
            return send(200, None, data[:-5])
        if mode == 'too-long':
            return send(200, None, data + b'more')
        if mode == 'truncated':
            return send.raw(head + b'Content-Length: %d\r\n\r\n' % len(data) + data[:5])
        if mode == 'lying-length':
            return send.raw(head + b'Content-Length: %d\r\n\r\n' % (len(data) * 2) + data)
        if mode == 'endless-blob':
            send.raw(head + b'\r\n')
            return self._forever(send, b'z' * 65536, 0)
        if mode == 'html-blob':
            return send(200, {'Content-Type': 'text/html'}, HTML)
        if mode == 'no-blob':
            return send(400, None, {'error': 'BlobNotFound', 'message': 'Blob not found'})
        if mode == 'blob-trickle':
            send.raw(head + b'\r\n')
            for i in range(len(data)):
                send.raw(data[i:i + 1])
                self.closing.wait(0.5)
            return None
        if mode == 'blob-inside':
            return send(302, {'Location': 'http://10.0.0.1/secret'})
        if mode == 'blob-file':
            return send(302, {'Location': 'file:///etc/passwd'})
        if mode == 'blob-loop':
            return send(302, {'Location': self.url + '/loop'})
        if mode == 'blob-moved':
            return send(302, {'Location': self.url + '/moved'})
        return send(200, None, data)


def make_proof(*argv, data=b''):
    return subprocess.run((PROOF_MAKE,) + argv, input=data, capture_output=True, timeout=30, check=True).stdout


def tar_of_zeros(size):
    head = bytearray(512)
    head[0:7] = b'main.js'
    head[100:108] = b'0000644\0'
    head[108:116] = head[116:124] = b'0000000\0'
    head[124:136] = b'%011o\0' % size
    head[136:148] = b'00000000000\0'
    head[156:157] = b'0'
    head[257:265] = b'ustar\x0000'
    head[148:156] = b'        '
    head[148:156] = b'%06o\0 ' % sum(head)
    return bytes(head) + b'\0' * (size + 1024)

