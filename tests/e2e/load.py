"""A mixed load for the endurance tests: sync and async calls, streams, looks and cancels, all written into a history.

The handlers write the id of their job into a file of their own the moment they start (history.py reads both).
"""
import http.client
import json
import os
import random
import threading

from history import History
from kit import call

PYTHON = '''
import os, time

def begin(ctx):
    fd = os.open(%(file)r, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (ctx.job + '\\n').encode())
    os.close(fd)

def work(request, ctx):
    begin(ctx)
    time.sleep(float(request.query.get('s', '0')))
    return ctx.job

def again(request, ctx):
    return work(request, ctx)

def flow(request, ctx):
    begin(ctx)
    for i in range(8):
        yield 'line %%d\\n' %% i
        time.sleep(float(request.query.get('s', '0')) / 8)
    yield 'end\\n'
'''
NODE = '''
import fs from 'node:fs';
const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s));
const wanted = (request) => Number(new URL(request.url).searchParams.get('s') ?? '0');
const begin = (ctx) => fs.appendFileSync(%(file)s, ctx.job + '\\n');
export async function work(request, env, ctx) {
  begin(ctx);
  await pause(wanted(request));
  return new Response(ctx.job);
}
export const again = work;
export function flow(request, env, ctx) {
  begin(ctx);
  const s = wanted(request) / 8, encoder = new TextEncoder();
  return new Response(new ReadableStream({ async start(c) {
    for (let i = 0; i < 8; i++) {
      c.enqueue(encoder.encode(`line ${i}\\n`));
      await pause(s);
    }
    c.enqueue(encoder.encode('end\\n'));
    c.close();
  } }));
}
'''
ENDPOINTS = {'work': {}, 'again': {'idempotent': True, 'attempts': 3}, 'flow': {}}


def write_bundles(where, limits=None):
    """The folder for Runner(bundles=), and the files with starts."""
    bundles, ran = os.path.join(where, 'bundles'), os.path.join(where, 'ran')
    os.makedirs(ran, exist_ok=True)
    for name, file, text, runtime in (('py', 'main.py', PYTHON, 'application/python'),
                                      ('js', 'main.mjs', NODE, 'application/javascript+node')):
        starts = os.path.join(ran, name)
        os.makedirs(os.path.join(bundles, name))
        with open(os.path.join(bundles, name, file), 'w') as f:
            f.write(text % {'file': starts if name == 'py' else json.dumps(starts)})
        with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
            json.dump({'runtime': runtime, 'entry': file, 'endpoints': ENDPOINTS,
                       'permissions': {'write': [ran], 'read': [ran]}, 'limits': limits or {}}, f)
    return bundles, [os.path.join(ran, 'py'), os.path.join(ran, 'js')]


class Load:
    """Threads that ask until stop()."""

    def __init__(self, runner, where, seed, threads=4, names=('py', 'js')):
        self.runner, self.history = runner, History(os.path.join(where, 'history.jsonl'))
        self.stopping, self.names = threading.Event(), names
        self.recent = []
        self.threads = [threading.Thread(target=self._one, args=(random.Random(seed + i),), daemon=True) for i in range(threads)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)

    @property
    def done(self):
        """Calls that came to a good end."""
        return sum(self.history.count(op, status) for op, status in (('sync', 200), ('async', 202), ('stream', 200)))

    def _one(self, dice):
        while not self.stopping.is_set():
            op = dice.choices(('sync', 'async', 'stream', 'look', 'cancel'), (40, 40, 8, 10, 2))[0]
            if op in ('look', 'cancel') and not self.recent:
                op = 'async'
            n = None
            try:
                n, status = getattr(self, op)(dice)
            except (OSError, http.client.HTTPException, ValueError) as e:
                status = 0
                self.history.none(self.history.n if n is None else n, op, type(e).__name__)
            if status not in (200, 202):
                self.stopping.wait(0.02)  # the door is being opened again, or the house is full

    def _url(self, dice, endpoint):
        name = dice.choice(self.names)
        return '%s/%s' % (name, endpoint), '%s/bundle/local/%s/latest/%s?s=%.3f' % (
            self.runner.url, name, endpoint, dice.choice((0, 0, 0.01, 0.1)))

    def _failed(self, n, op, a):
        try:
            error = a.error
        except Exception:  # a web server's own words
            error = None
        self.history.told(n, op, a.status, job=a.header('at-run-job'), error=error)

    def sync(self, dice):
        what, url = self._url(dice, dice.choice(('work', 'work', 'again')))
        n = self.history.ask('sync', what)
        a = call(url, timeout=30)
        if a.status == 200:
            self.history.told(n, 'sync', 200, job=a.header('at-run-job'), body=a.text.strip('"'), whole=not a.cut)
        else:
            self._failed(n, 'sync', a)
        return n, a.status

    def stream(self, dice):
        what, url = self._url(dice, 'flow')
        n = self.history.ask('stream', what)
        a = call(url, timeout=30)
        if a.status == 200:
            self.history.told(n, 'stream', 200, job=a.header('at-run-job'), body=a.text, whole=not a.cut)
        else:
            self._failed(n, 'stream', a)
        return n, a.status

    def _async(self, dice):
        what, url = self._url(dice, dice.choice(('work', 'work', 'again')))
        n = self.history.ask('async', what)
        a = call(url, 'POST', b'', [('Prefer', 'respond-async')], timeout=30)
        if a.status == 202:
            job = a.header('at-run-job')
            self.history.told(n, 'async', 202, job=job)
            self.recent = self.recent[-50:] + [job]
        else:
            self._failed(n, 'async', a)
        return n, a.status

    def look(self, dice):
        job = dice.choice(self.recent)
        n = self.history.ask('look', job)
        a = call('%s/xrpc/dev.at-run.getJob?id=%s' % (self.runner.url, job), timeout=30)
        self.history.told(n, 'look', a.status, job=job, outcome=a.json.get('outcome') if a.status == 200 else None)
        return n, a.status

    def cancel(self, dice):
        job = dice.choice(self.recent)
        n = self.history.ask('cancel', job)
        a = call('%s/xrpc/dev.at-run.cancelJob?id=%s' % (self.runner.url, job), 'POST', timeout=30)
        self.history.told(n, 'cancel', a.status, job=job, outcome=a.json.get('outcome') if a.status == 200 else None)
        return n, a.status


setattr(Load, 'async', Load._async)  # a word of the language, and of the history
