"""Chromium for the tests: browser.mjs says what it can do.  Needs Debian's chromium, and what contrib/setup.sh puts aside."""
import json
import os
import subprocess

from kit import DEPS, ROOT, Failed, Process, Skipped, clean_env, pds_node, program

MODULES = os.path.join(DEPS, 'browser', 'node_modules')


class Browser:
    def __init__(self, where):
        found = pds_node()
        if not found or not os.path.isdir(os.path.join(MODULES, 'playwright-core')):
            raise Skipped('no playwright-core here: run sh contrib/check.sh once')
        env = clean_env(AT_RUND_BROWSER_MODULES=MODULES, AT_RUND_CHROMIUM=program('chromium'), HOME=where, TMPDIR=where)
        self.p = Process([found[0], os.path.join(ROOT, 'tests', 'e2e', 'browser.mjs')], os.path.join(where, 'browser.log'), env=env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, op, **what):
        self.p.p.stdin.write(json.dumps(dict(what, op=op)).encode() + b'\n')
        self.p.p.stdin.flush()
        line = self.p.p.stdout.readline()
        answer = json.loads(line) if line else {'failed': self.p.tail()}
        if 'failed' in answer:
            raise Failed('%s %s: %s' % (op, what, answer['failed']))
        return answer

    def open(self, **how):
        return Page(self, self('open', **how)['page'])

    def stop(self):
        self.p.p.stdin.close()
        self.p.stop()


class Page:
    """One page in a context of its own: browser.open(scheme='dark', width=320)."""

    def __init__(self, browser, number):
        self.browser, self.number = browser, number

    def __getattr__(self, op):
        return lambda **what: self.browser(op, page=self.number, **what)

    def go(self, url):
        self.browser('go', page=self.number, url=url)
        return self.facts()
