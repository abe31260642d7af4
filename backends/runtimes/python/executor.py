"""The python executor: python3 -I -S executor.py SOCKET.

This file only says hello; the rest is in at_rund_serve.py, beside it, which python keeps compiled.  The plain
_socket is used because socket, json, re and their like take longer to import than python takes to start; they
are imported while the instance is blank.
"""
import sys
import _socket

VERSION = '%d.%d.%d' % sys.version_info[:3]
HELLO = b'{"protocol":1,"runtime":"python","version":"%s"}' % VERSION.encode()


def main():
    s = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    s.connect(sys.argv.pop())
    s.send(b'\x01\0\0\0\0\0\0\0' + len(HELLO).to_bytes(4, 'big') + HELLO)
    here = __file__.rpartition('/')[0] or '.'
    sys.path.insert(0, here)
    import at_rund_serve
    sys.path.remove(here)
    sys.dont_write_bytecode = True
    at_rund_serve.serve(s, here)


if __name__ == '__main__':
    main()
