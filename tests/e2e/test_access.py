#!/usr/bin/env python3
"""Who may: follows, mutuals and lists of a real PDS, each with an extra allowlist and blocklist, while it is up and while it
is down."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kit import *  # noqa: E402,F403

t = Cases()
where = scratch()
FOLLOW, LIST, ITEM = 'app.bsky.graph.follow', 'app.bsky.graph.list', 'app.bsky.graph.listitem'
NOW = '2026-01-01T00:00:00.000Z'
CODE = b"def x(request, ctx):\n    return ctx.caller or 'anonymous'\n"
CROWD = 430  # enough for some pages


def plc_did(n):
    return 'did:plc:' + ''.join('abcdefghijklmnopqrstuvwxyz234567'[n >> 5 * i & 31] for i in range(24))


class World:
    """Olga runs the runner and follows a crowd, then Fred and Ben.  Fred follows many and her, Ben does not; Zoe follows her
    and is not followed.  Ben is on her list."""

    def __init__(self):
        self.pds = Pds(where)
        for name in ('olga', 'fred', 'ben', 'zoe'):
            setattr(self, name, self.pds.account(name + '.test'))
        for who in (self.olga, self.fred, self.ben, self.zoe):
            who.deploy('hello', CODE, 'text/x-python', runtime='application/python', entry='main.py', endpoints={'x': {}})
        self.follow(self.olga, self.fred.did, self.ben.did, *map(plc_did, range(CROWD)))
        self.follow(self.fred, self.olga.did, *map(plc_did, range(130)))
        self.follow(self.ben, self.zoe.did)
        self.follow(self.zoe, self.olga.did)
        self.list, self.other = self.make_list('friends'), self.make_list('others')
        self.item = self.put_on(self.list, self.ben)
        self.put_on(self.other, self.fred)
        self.relay = Relay(self.pds)
        self.runner = Runner(where, did=self.olga.did, handle='olga.test', sections={
            'atproto': {'plc_url': self.relay.url, 'handle_resolver': self.pds.url, 'graph_fresh': '1s', 'identity_fresh': '1s',
                        'fetch_timeout': '4s'}})
        self.runner.init()
        self.mode('follows')

    def follow(self, who, *dids):
        """In one go, the first named first: a PDS tells the newest first."""
        for i in range(0, len(dids), 100):
            self.pds.xrpc('com.atproto.repo.applyWrites', {'repo': who.did, 'writes': [
                {'$type': 'com.atproto.repo.applyWrites#create', 'collection': FOLLOW,
                 'value': {'$type': FOLLOW, 'subject': d, 'createdAt': NOW}} for d in dids[i:i + 100]]}, who)

    def make_list(self, name):
        return self.create(self.olga, LIST, {'$type': LIST, 'name': name, 'purpose': 'app.bsky.graph.defs#curatelist',
                                             'createdAt': NOW})

    def put_on(self, uri, who):
        return self.create(self.olga, ITEM, {'$type': ITEM, 'list': uri, 'subject': who.did, 'createdAt': NOW})

    def create(self, who, collection, record):
        return self.pds.xrpc('com.atproto.repo.createRecord', {'repo': who.did, 'collection': collection, 'record': record},
                             who)['uri']

    def delete(self, who, uri):
        self.pds.xrpc('com.atproto.repo.deleteRecord', {'repo': who.did, 'collection': uri.split('/')[3],
                                                        'rkey': uri.split('/')[4]}, who)

    def mode(self, mode, section='access', **more):
        r = self.runner
        if r.p:
            r.stop()
        for s in ('access', 'callers'):
            r.conf[s] = {'mode': 'open'}
        r.conf[section] = dict({'mode': mode}, **more)
        r.write()
        r.start()

    def call(self, who, headers=None):
        return call('%s/bundle/%s/hello/latest/x' % (self.runner.url, getattr(who, 'did', who)), headers=headers)

    def check(self, who, *words):
        r = self.runner.cli('access', 'check', getattr(who, 'did', who), *words)
        return r.returncode, r.stdout.strip()


class Relay(Serve):
    """The PLC directory, whose documents name this server as everybody's PDS: so the network can fail while the PDS runs."""

    def __init__(self, pds):
        self.pds, self.down, self.asked = pds, False, []
        super().__init__(self.answer)

    def answer(self, method, path, headers, body, send):
        if self.down:
            return send(503, {'Content-Type': 'text/html'}, b'down')
        self.asked.append(path)
        directory = path.startswith('/did:')
        a = call((self.pds.plc if directory else self.pds.url), path=path)
        data = a.body.replace(self.pds.url.encode(), self.url.encode()) if directory else a.body
        return send(a.status, {'Content-Type': a.header('content-type')}, data)


def may(a):
    same((a.status, a.text), (200, 'anonymous'), a)


def may_not(a, why):
    same((a.status, a.error), (403, 'AuthorNotAllowed'), a)
    check(why in a.json['message'], a)


def follows(w):
    may(w.call(w.fred))
    may(w.call('fred.test'))
    may(w.call(w.olga))
    until(lambda: w.runner.sql("SELECT members, error FROM v_graph WHERE checked_at IS NOT NULL") == [(CROWD + 2, None)],
          'all follows are read')
    may(w.call(w.ben))
    may_not(w.call(w.zoe), 'is not followed by the operator')
    may_not(w.call('zoe.test'), 'is not followed by the operator')
    code, said = w.check(w.fred)
    same((code, 'yes: %s is followed by the operator (access.mode = follows)' % w.fred.did), (0, said))
    code, said = w.check(w.zoe, '--json')
    same((code, json.loads(said)['allowed']), (1, False), said)
    same(w.check(plc_did(7))[0], 0)
    r = w.runner.cli('access', 'show')
    check('follows' in r.stdout and str(CROWD + 2) in r.stdout, r.stdout)


def an_unknown_handle_costs_no_fetch(w):
    w.relay.asked.clear()
    may_not(w.call('zoe.test'), 'is not followed')
    check(not [p for p in w.relay.asked if 'getRecord' in p and w.zoe.did.split(':')[2] in p], w.relay.asked)


def news_of_follows(w):
    """Who is followed from now on may, who is not followed any more may not."""
    uri = w.create(w.olga, FOLLOW, {'$type': FOLLOW, 'subject': w.zoe.did, 'createdAt': NOW})
    until(lambda: w.call(w.zoe).status == 200, 'Zoe may', 20)
    w.delete(w.olga, uri)
    until(lambda: w.call(w.zoe).status == 403, 'Zoe may not', 20)


def while_the_pds_is_down(w):
    may(w.call(w.fred))
    w.relay.down = True
    until(lambda: w.runner.sql("SELECT error FROM v_graph")[0][0], 'a reading fails', 20)
    may(w.call(w.fred))
    w.runner.stop()
    w.runner.start()  # and with a scheduler that has never reached it
    may(w.call(w.fred))
    may_not(w.call(w.zoe), 'is not followed')
    w.relay.down = False


def never_read(w):
    """Nobody is let in on the strength of what could not be asked."""
    w.relay.down = True
    w.mode('list', list=w.other)
    a = w.call(w.fred)
    same((a.status, a.error), (502, 'GraphNotRead'), a)
    same(w.check(w.fred)[0], 75)
    may(w.call(w.olga))
    w.relay.down = False
    until(lambda: w.call(w.fred).status == 200, 'it is read', 45)


def extra_lists(w, mode, yes, no, **more):
    """Each mode with an allowlist and a blocklist: yes is let in by the mode alone, no is not."""
    w.mode(mode, allowlist=[no.did], blocklist=[yes.did], **more)
    may(w.call(no))
    may_not(w.call(yes), 'is on access.blocklist')
    w.mode(mode, allowlist=[yes.did, no.did], blocklist=[no.did], **more)
    may(w.call(yes))
    may_not(w.call(no), 'is on access.blocklist')


def mutuals(w):
    w.mode('mutuals')
    may(w.call(w.fred))
    may_not(w.call(w.ben), 'does not follow the operator')
    may_not(w.call(w.zoe), 'is not followed by the operator')
    same(dict(w.runner.sql('SELECT did, follows FROM follower')), {w.fred.did: 1, w.ben.did: 0})
    same([w.check(x)[0] for x in (w.fred, w.ben, w.zoe)], [0, 1, 1])
    same(w.check(plc_did(3))[0], 75)
    uri = w.create(w.ben, FOLLOW, {'$type': FOLLOW, 'subject': w.olga.did, 'createdAt': NOW})
    until(lambda: w.call(w.ben).status == 200, 'Ben follows back', 20)
    w.delete(w.ben, uri)
    until(lambda: w.call(w.ben).status == 403, 'and no more', 20)


def a_list(w):
    w.mode('list', list=w.list)
    may(w.call(w.ben))
    may_not(w.call(w.fred), 'is not on the list')
    same(w.runner.sql("SELECT name, members FROM v_graph WHERE kind = 'list' AND source = ?", w.list), [('friends', 1)])
    w.delete(w.olga, w.item)
    until(lambda: w.call(w.ben).status == 403, 'Ben is taken off', 20)
    w.item = w.put_on(w.list, w.ben)
    until(lambda: w.call(w.ben).status == 200, 'and put on', 20)
    w.mode('list', list=w.list.replace(w.olga.did, 'olga.test'))  # written with a handle
    may(w.call(w.ben))


def a_mode_that_changes(w):
    """A config that is read again asks for sets that nobody has read yet."""
    w.mode('allowlist')
    may_not(w.call(w.fred), 'is not on access.allowlist')
    w.runner.conf['access'] = {'mode': 'list', 'list': w.other}
    w.runner.write()
    os.kill(w.runner.sql('SELECT pid FROM v_runs ORDER BY run DESC LIMIT 1')[0][0], signal.SIGHUP)
    until(lambda: w.call(w.fred).status == 200, 'Fred may', 20)
    may_not(w.call(w.ben), 'is not on the list')


def callers(w):
    """The same modes for who calls."""
    def token(who):
        a = call('%s/xrpc/com.atproto.server.getServiceAuth?aud=%s&lxm=dev.at-run.invoke' % (w.pds.url, w.olga.did),
                 headers=[('Authorization', 'Bearer ' + who.jwt)])
        return [('Authorization', 'Bearer ' + a.json['token'])]
    for mode, yes, no, more in (('follows', w.fred, w.zoe, {}), ('mutuals', w.fred, w.ben, {}), ('list', w.ben, w.fred, {'list': w.list})):
        w.mode(mode, 'callers', **more)
        a = w.call(w.ben, token(yes))
        same((a.status, a.text), (200, yes.did), a)
        a = w.call(w.ben, token(no))
        same((a.status, a.error), (403, 'CallerNotAllowed'), a)
        same((w.check(yes, '--caller')[0], w.check(no, '--caller')[0]), (0, 1), mode)
        same(w.call(w.ben).error, 'AuthMissing')


def main():
    try:
        w = World()
    except Skipped as e:
        why = str(e)
        t.run('access', lambda: skip(why))
        t.end()
    for fn in (follows, an_unknown_handle_costs_no_fetch, news_of_follows, while_the_pds_is_down, never_read, mutuals, a_list,
               a_mode_that_changes):
        t.run('access: ' + fn.__name__.replace('_', ' '), fn, w)
    for mode, yes, no, more in (('open', w.fred, w.ben, {}), ('allowlist', w.fred, w.zoe, {}), ('blocklist', w.fred, w.zoe, {}),
                                ('follows', w.fred, w.zoe, {}), ('mutuals', w.fred, w.ben, {}), ('list', w.ben, w.fred, {'list': w.list})):
        t.run('access: %s and an extra allowlist and blocklist' % mode, lambda: extra_lists(w, mode, yes, no, **more))
    t.run('access: callers by the graph', callers, w)
    t.end()


main()
