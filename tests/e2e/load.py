"""A mixed load for the endurance tests: sync and async calls, streams, ways out, schedules, looks and cancels, all written into a
history.

The handlers write the id of their job into a file of their own the moment they start (history.py reads both).
"""
import contextlib
import http.client
import json
import os
import random
import re
import sqlite3
import threading

from history import History
from kit import call

PYTHON = '''
import os, time, urllib.request

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

def out(request, ctx):
    begin(ctx)
    with urllib.request.urlopen(%(world)r, timeout=20) as r:
        assert r.read() == b'the world'
    return ctx.job

def skips(request, ctx):
    return work(request, ctx)

queues = catches = skips

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
export const again = work, skips = work, queues = work, catches = work;
export async function out(request, env, ctx) {
  begin(ctx);
  const r = await fetch(%(js_world)s);
  if (await r.text() !== 'the world') throw new Error('another world');
  return new Response(ctx.job);
}
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
EVERY_MINUTE = {'schedule': '* * * * *'}
TIMED = {'skips': EVERY_MINUTE, 'queues': dict(EVERY_MINUTE, overlap='queue'), 'catches': dict(EVERY_MINUTE, overlap='parallel',
                                                                                               missed='once')}


def bundles_for(where, limits=None, world=None):
    """name → (file, text, record without code), and the files with starts.  world: the URL, of a name with port, that `out` asks."""
    ran = os.path.join(where, 'ran')
    os.makedirs(ran, exist_ok=True)
    found = {}
    for name, file, text, runtime in (('py', 'main.py', PYTHON, 'application/python'),
                                      ('js', 'main.mjs', NODE, 'application/javascript+node')):
        starts = os.path.join(ran, name)
        text %= {'file': starts if name == 'py' else json.dumps(starts), 'world': world, 'js_world': json.dumps(world)}
        permissions = {'write': [ran], 'read': [ran]}
        if world:
            permissions['net'] = [world.split('/')[2]]
        found[name] = (file, text, {'runtime': runtime, 'entry': file, 'endpoints': dict(ENDPOINTS, out={}) if world else ENDPOINTS,
                                    'permissions': permissions, 'limits': limits or {}})
    return found, [os.path.join(ran, 'py'), os.path.join(ran, 'js')]


def write_bundles(where, limits=None):
    """The folder for Runner(bundles=), and the files with starts."""
    bundles = os.path.join(where, 'bundles')
    found, starts = bundles_for(where, limits)
    for name, (file, text, record) in found.items():
        os.makedirs(os.path.join(bundles, name))
        with open(os.path.join(bundles, name, file), 'w') as f:
            f.write(text)
        with open(os.path.join(bundles, name, 'bundle.json'), 'w') as f:
            json.dump(record, f)
    return bundles, starts


def deploy_bundles(where, account, limits=None, world=None):
    """The same in an author's repository, with schedules.  Returns the files with starts."""
    found, starts = bundles_for(where, limits, world)
    for name, (file, text, record) in found.items():
        record = dict(record, endpoints=dict(record['endpoints'], **TIMED))
        account.deploy(name, text.encode(), 'text/plain', **record)
    return starts


class Load:
    """Threads that ask until stop(); each call through one of the fronts (URLs), out: with ways out, schedules: started by hand too."""

    def __init__(self, runner, where, seed, threads=4, names=('py', 'js'), author='local', fronts=None, out=False, schedules=False):
        self.runner, self.history = runner, History(os.path.join(where, 'history.jsonl'))
        self.author, self.fronts, self.out = author, fronts or [runner.url], out
        self.stopping, self.names = threading.Event(), names
        self.recent = []
        self.threads = [threading.Thread(target=self._one, args=(random.Random(seed + i),), daemon=True) for i in range(threads)]
        if schedules:
            self.threads.append(threading.Thread(target=self._fire, args=(random.Random(seed - 1),), daemon=True))

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

    def _fire(self, dice):
        """Starts of schedules by hand; their own times come by themselves."""
        while not self.stopping.wait(0.3):
            with contextlib.suppress(sqlite3.Error):
                known = [str(r[0]) for r in self.runner.sql('SELECT id FROM schedule')]
                if known:
                    self.fire(dice.choice(known))

    def fire(self, schedule):
        n = self.history.ask('fire', schedule)
        r = self.runner.cli('schedule', 'run', schedule)
        job = re.search(r'as job (\S+)', r.stdout + r.stderr)
        if r.returncode == 0 and job:
            self.history.told(n, 'fire', 202, job=job.group(1))
        else:
            self.history.none(n, 'fire', 'status %d' % r.returncode)

    def _url(self, dice, endpoint):
        name, front = dice.choice(self.names), dice.choice(self.fronts)
        if self.out and endpoint == 'work' and dice.random() < 0.4:
            endpoint = 'out'
        return '%s/%s' % (name, endpoint), '%s/bundle/%s/%s/latest/%s?s=%.3f' % (
            front, self.author, name, endpoint, dice.choice((0, 0, 0.01, 0.1)))

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
        a = call('%s/xrpc/dev.at-run.getJob?id=%s' % (dice.choice(self.fronts), job), timeout=30)
        self.history.told(n, 'look', a.status, job=job, outcome=a.json.get('outcome') if a.status == 200 else None)
        return n, a.status

    def cancel(self, dice):
        job = dice.choice(self.recent)
        n = self.history.ask('cancel', job)
        a = call('%s/xrpc/dev.at-run.cancelJob?id=%s' % (dice.choice(self.fronts), job), 'POST', timeout=30)
        self.history.told(n, 'cancel', a.status, job=job, outcome=a.json.get('outcome') if a.status == 200 else None)
        return n, a.status


setattr(Load, 'async', Load._async)  # a word of the language, and of the history
