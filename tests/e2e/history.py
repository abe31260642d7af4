#!/usr/bin/python3
"""
The checker of the endurance tests, Jepsen-style: clients write down what they asked and what they were told, handlers
write down that they were started, and afterwards all of it is held against the ledger.  Nothing here knows the
scheduler: only what was promised (at-rund-jobs(7)).

    history.py HISTORY DATABASE [STARTS_FILE...]      prints what does not fit; exit status 1 when anything does not

A line of the history, JSON:
    {"n": 7, "type": "ask",  "op": "sync", "what": "py/work", "at": seconds}
    {"n": 7, "type": "told", "status": 200, "job": "41-...", "body": "...", "whole": true, "at": seconds}
    {"n": 7, "type": "none", "why": "ConnectionResetError", "at": seconds}                 nobody answered
op: sync, stream, async, fire (a schedule, by hand), look (getJob), cancel.  A line of a starts file: the id of the job, written by its handler first of all.
"""
import collections
import json
import os
import sqlite3
import sys
import threading
import time

# What a 202 may come to.  refused would say that it never should have been accepted; expired is for one that waited too long.
ENDS = ('ok', 'error', 'timeout', 'memory', 'output', 'killed', 'lost', 'cancelled', 'expired')
NEVER_RAN = ('refused', 'expired')
# What a caller is told of each end.  A caller whose patience ends first is told JobTimeout or RunnerFailed whatever comes after.
TOLD = {'error': ('HandlerFailed',), 'timeout': ('JobTimeout',), 'memory': ('MemoryLimitExceeded',), 'output': ('OutputLimitExceeded',),
        'killed': ('HandlerFailed', 'LimitExceeded', 'RunnerFailed'), 'lost': ('RunnerFailed',), 'expired': ('JobExpired', 'JobTimeout'),
        'cancelled': ('JobCancelled', 'JobTimeout')}


class History:
    """Where clients write; safe for threads, a line at a time."""

    def __init__(self, path):
        self.path, self.lock, self.n = path, threading.Lock(), 0
        self.file = open(path, 'a', buffering=1)
        self.counts = collections.Counter()

    def _put(self, line):
        line['at'] = time.time()
        self.file.write(json.dumps(line) + '\n')

    def ask(self, op, what):
        with self.lock:
            self.n += 1
            self._put({'n': self.n, 'type': 'ask', 'op': op, 'what': what})
            return self.n

    def told(self, n, op, status, **facts):
        with self.lock:
            self.counts[(op, status)] += 1
            self._put(dict(facts, n=n, type='told', op=op, status=status))

    def none(self, n, op, why):
        with self.lock:
            self.counts[(op, 0)] += 1
            self._put({'n': n, 'type': 'none', 'op': op, 'why': why})

    def count(self, op, status):
        return self.counts[(op, status)]


Row = collections.namedtuple('Row', 'id mode state outcome attempt idempotent cid created admitted started done error')


def read_rows(db):
    c = sqlite3.connect('file:%s?mode=ro' % db, uri=True, timeout=20)
    try:
        rows = [Row(*r) for r in c.execute(
            "SELECT id || '-' || nonce, mode, state, outcome, attempt, idempotent, cid, created_at, admitted_at, started_at,"
            ' done_at, error_name FROM job')]
        bodies = dict(c.execute("SELECT j.id || '-' || j.nonce, CAST(r.body AS TEXT) FROM result r JOIN job j ON j.id = r.job"
                                ' WHERE r.streamed = 0 AND r.status = 200'))
        fired = c.execute("SELECT f.schedule, f.due_at, f.what, j.id || '-' || j.nonce, s.missed, s.cron FROM firing f LEFT JOIN"
                          ' job j ON j.id = f.job LEFT JOIN schedule s ON s.id = f.schedule ORDER BY f.schedule, f.due_at').fetchall()
        timed = [r[0] for r in c.execute("SELECT id || '-' || nonce FROM job WHERE client = 'schedule'")]
        sound = c.execute('PRAGMA integrity_check').fetchall()
        return rows, bodies, sound, fired, timed
    finally:
        c.close()


class Check:
    def __init__(self, history, db, starts, clock_steps=False):
        self.lines = [json.loads(x) for x in open(history) if x.strip()]
        self.list, self.bodies, self.sound, self.fired, self.timed = read_rows(db)
        self.rows = {r.id: r for r in self.list}
        self.starts = collections.Counter()
        for path in starts:
            if os.path.exists(path):
                self.starts.update(x.split()[0] for x in open(path) if x.strip())
        self.clock_steps = clock_steps
        self.wrong = []

    def say(self, claim, items):
        if items:
            self.wrong.append('%s: %d, such as %s' % (claim, len(items), items[:3]))

    def told(self, *ops):
        return [x for x in self.lines if x['type'] == 'told' and x['op'] in ops]

    # ---- the claims ----

    def accepted_is_durable(self):
        ids = [x['job'] for x in self.told('async', 'fire') if x['status'] == 202]
        rows = self.rows
        self.say('accepted with an id that was given before', [i for i, n in collections.Counter(ids).items() if n > 1])
        self.say('accepted, and not in the ledger', [i for i in ids if i not in rows])
        self.say('accepted, and without an end', [i for i in ids if i in rows and rows[i].state != 'done'])
        self.say('accepted, and with an end it cannot have',
                 [(i, rows[i].outcome) for i in ids if i in rows and rows[i].state == 'done' and rows[i].outcome not in ENDS])

    def started_as_promised(self):
        rows = self.rows
        self.say('ran, and in no row', [i for i in self.starts if i not in rows])
        known = [(i, n, rows[i]) for i, n in self.starts.items() if i in rows]
        self.say('started twice', [(i, n, r.outcome) for i, n, r in known if n > 1 and not r.idempotent])
        # A sync call is written when it ends; one that a killed scheduler had in its hands says "may have been started".
        self.say('started more often than the ledger says',
                 [(i, n, r.attempt, r.outcome) for i, n, r in known if n > r.attempt and not (r.mode == 'sync' and r.outcome == 'lost')])
        self.say('said never to have run, but did', [(i, r.outcome) for i, _, r in known if r.outcome in NEVER_RAN and r.attempt == 0])
        self.say('said never to have run, and was started twice', [(i, r.outcome) for i, _, r in known if r.outcome in NEVER_RAN and
                                                                    not r.idempotent])
        self.say('ok, and never started', [r.id for r in self.list if r.outcome == 'ok' and r.id not in self.starts])

    def callers_were_told_the_truth(self):
        rows = self.rows
        good = [x for x in self.told('sync', 'stream') if x['status'] == 200]
        self.say('answered, and in no row', [x['job'] for x in good if x['job'] not in rows])
        self.say('answered with the answer of another job', [(x['job'], x['body']) for x in good if x['op'] == 'sync' and
                                                               x['body'] != x['job']])
        self.say('answered 200 in full, and the row says otherwise',
                 [(x['job'], rows[x['job']].outcome, x['op']) for x in good
                  if x.get('whole') and x['job'] in rows and rows[x['job']].outcome != 'ok'])
        self.say('a stream that ended, but not with its end', [x['job'] for x in good if x['op'] == 'stream' and x['whole'] and
                                                             not x['body'].endswith('end\n')])
        bad = [(x, rows[x['job']]) for x in self.told('sync', 'stream') if x['status'] >= 500 and x.get('job') in rows]
        self.say('told of a failure, and the row says ok',
                 [(x['job'], x['status'], x.get('error')) for x, r in bad if r.outcome == 'ok' and x.get('error') != 'JobTimeout'])
        self.say('told another failure than the row has', [(x['error'], r.outcome, r.error, r.id) for x, r in bad if x.get('error') and
                                                          r.outcome in TOLD and x['error'] not in TOLD[r.outcome]])
        self.say('kept an answer that is not its own',
                 [(i, b) for i, b in self.bodies.items() if b is not None and i in self.starts and not b.startswith('line') and b.strip('"') != i])

    def done_never_changes(self):
        seen = {}
        for x in self.told('look'):
            if x['status'] == 200 and x.get('outcome'):
                seen.setdefault(x['job'], set()).add(x['outcome'])
        self.say('seen with two ends', [(i, sorted(o)) for i, o in seen.items() if len(o) > 1])
        self.say('seen done, and the ledger says otherwise',
                 [(i, o, self.rows[i].outcome if i in self.rows else 'gone') for i, o in
                  ((i, next(iter(o))) for i, o in seen.items()) if i not in self.rows or self.rows[i].outcome != o])
        self.say('known once, and unknown later', [x['job'] for x in self.told('look') if x['status'] == 404])

    def cancelled_when_said(self):
        ids = [x['job'] for x in self.told('cancel') if x['status'] == 200 and x.get('outcome') == 'cancelled']
        self.say('cancelled, and the row says otherwise',
                 [(i, self.rows[i].outcome) for i in ids if i in self.rows and self.rows[i].outcome != 'cancelled'])

    def schedules_came_once(self):
        begun = collections.Counter(job for _, _, what, job, _, _ in self.fired if what in ('started', 'asked'))
        self.say('a time of a schedule that started nothing', [(f[0], f[1]) for f in self.fired if f[2] in ('started', 'asked') and
                                                               not f[3]])
        self.say('a job of a schedule that belongs to no time of it', [i for i in self.timed if i not in begun])
        self.say('a job of two times', [i for i, n in begun.items() if i and n > 1])
        if not self.clock_steps:
            by = {}
            for schedule, due, what, _, missed, cron in self.fired:
                if what != 'asked' and missed == 'skip' and cron == '* * * * *':
                    by.setdefault(schedule, []).append((due, what))
            self.say('a minute that a schedule did not see', [(s, a, b) for s, row in by.items() for (a, what), (b, _) in
                                                             zip(row, row[1:]) if b - a != 60000 and what != 'missed'])

    def rows_make_sense(self):
        self.say('integrity_check', [r[0] for r in self.sound if r[0] != 'ok'])
        self.say('not done', [(r.id, r.state, r.mode) for r in self.list if r.state != 'done'])
        if not self.clock_steps:
            self.say('times run backwards', [r.id for r in self.list if any(
                a is not None and b is not None and a > b for a, b in
                ((r.created, r.admitted), (r.admitted, r.started), (r.started, r.done), (r.created, r.done)))])

    def run(self):
        self.accepted_is_durable()
        self.started_as_promised()
        self.callers_were_told_the_truth()
        self.done_never_changes()
        self.cancelled_when_said()
        self.schedules_came_once()
        self.rows_make_sense()
        return self.wrong

    def summary(self):
        ends = collections.Counter(r.outcome or r.state for r in self.list)
        told = collections.Counter('%s %s' % (x['op'], x['status']) for x in self.lines if x['type'] == 'told')
        came = collections.Counter(f[2] for f in self.fired)
        return '%d asked, told %s; %d rows: %s; %d starts; schedules: %s' % (
            sum(x['type'] == 'ask' for x in self.lines), dict(told.most_common()), len(self.list), dict(ends.most_common()),
            sum(self.starts.values()), dict(came.most_common()))


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    c = Check(sys.argv[1], sys.argv[2], sys.argv[3:])
    for line in c.run():
        print('WRONG', line)
    print(c.summary())
    sys.exit(1 if c.wrong else 0)
