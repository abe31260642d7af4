#!/usr/bin/env python3
"""Starts each executor for real and speaks frames with it (lib/frame.h).

    tests/executors/run.py [--node PATH] [--deno PATH] [--python PATH] [--only RUNTIME] [--bench] [-v] [WORD...]

Or AT_RUND_NODE, AT_RUND_DENO, AT_RUND_PYTHON in the environment.  WORD: only cases whose name contains it.
"""
import argparse
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNTIMES = os.path.join(ROOT, 'backends', 'runtimes')
HELLO, READY, HEAD, BODY, ERROR, LOG, MORE, DONE, LOAD, CALL, DATA, CANCEL, CREDIT = 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 19, 21
STAYS, WINDOW = 2, 1 << 20
FRAME_MAX = 256 * 1024
DEADLINE = 20.0


class Failed(Exception):
    pass


def check(ok, what):
    if not ok:
        raise Failed(what)


def same(got, want, what):
    check(got == want, f'{what}: {got!r:.300}, expected {want!r:.300}')


def definition(name):
    text = open(os.path.join(RUNTIMES, name, name + '.ini'), encoding='utf-8').read()
    flags = re.search(r'^flags\s*=\s*\[(.*?)\]', text, re.M | re.S)
    file = re.search(r'^file\s*=\s*(\S+)', text, re.M).group(1)
    given = dict(re.findall(r'^(\w+)\s*=\s*(--\S+)', text, re.M))
    return re.findall(r'"([^"]*)"', flags.group(1)) if flags else [], file, given


class Answer:
    def __init__(self):
        self.status = self.headers = self.error = None
        self.body, self.chunks, self.logs, self.times, self.head_at = b'', [], [], [], None
        self.stayed_ms = None  # how long work went on after the answer

    def header(self, name):
        return [v for n, v in self.headers if n == name]

    def json(self):
        return json.loads(self.body)


class Instance:
    """One executor process, as the scheduler would start it behind the wall `none`."""

    def __init__(self, runtime, program, files, entry, env=None, load=True):
        self.dir = tempfile.mkdtemp(prefix='at-rund-x.', dir=os.path.realpath(tempfile.gettempdir()))
        self.home = os.path.join(self.dir, 'home', 'run', 'i', '7')
        self.bundle = os.path.join(self.home, 'bundle')
        os.makedirs(self.bundle)
        os.makedirs(os.path.join(self.home, 'tmp'))
        with open(os.path.join(self.home, 'package.json'), 'w', encoding='utf-8') as f:
            f.write('{"type":"module"}')
        for name, text in files.items():
            path = os.path.join(self.bundle, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        sock = os.path.join(self.home, 'sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sock)
        listener.listen(1)
        listener.settimeout(DEADLINE)
        flags, file, given = definition(runtime)
        own = os.path.join(RUNTIMES, runtime)
        values = {'memory': '128', 'read': f'{self.home},{own}', 'write': f'{self.home}/tmp,{sock}',
                  'net': f'unix:{sock}'}
        flags += [given[k].replace('{}', v) for k, v in values.items() if k in given]
        self.out = tempfile.TemporaryFile()
        environ = {'PATH': os.environ['PATH'], 'HOME': self.home + '/tmp', 'LANG': 'C.UTF-8', 'HOST_ONLY': 'secret',
                   'DENO_DIR': self.home + '/tmp/deno', 'DENO_NO_UPDATE_CHECK': '1'}
        self.started = time.monotonic()
        self.process = subprocess.Popen([program, *flags, os.path.join(own, file), sock], cwd=self.home, env=environ,
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)
        try:
            self.sock, _ = listener.accept()
        except OSError:
            self.stop()
            raise Failed('the executor did not connect: ' + self.output()) from None
        finally:
            listener.close()
        self.sock.settimeout(DEADLINE)
        self.box, self.number, self.logs, self.events, self.more = b'', 0, [], [], 0
        self.hello = self.expect(HELLO)
        self.hello_ms = (time.monotonic() - self.started) * 1000
        self.ready = self.load_error = None
        if load:
            self.load(entry, env)

    def load(self, entry, env=None):
        self.send(LOAD, 0, json.dumps({'dir': self.bundle, 'entry': entry, 'env': env or {},
                                       'bundle': 'did:plc:abc/hello', 'cid': 'bafy'}).encode(), True)
        while True:
            kind, last, call, payload = self.frame()
            if kind == LOG:
                self.logs.append(json.loads(payload))
            elif kind == READY:
                self.ready = json.loads(payload)
                return
            elif kind == ERROR and call == 0:
                self.load_error = json.loads(payload)
                return
            else:
                raise Failed(f'frame {kind} while loading')

    def output(self):
        self.out.seek(0)
        return self.out.read().decode('utf-8', 'replace')

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if hasattr(self, 'sock'):
            self.sock.close()
        self.out.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def send(self, kind, call, payload=b'', last=False):
        self.sock.sendall(struct.pack('>BBHII', kind, int(last), 0, call, len(payload)) + payload)

    def frame(self):
        while True:
            if len(self.box) >= 12:
                kind, flags, zero, call, length = struct.unpack_from('>BBHII', self.box)
                check(kind in (HELLO, READY, HEAD, BODY, ERROR, LOG, MORE, DONE) and zero == 0 and length <= FRAME_MAX and
                      (flags <= 1 or flags == 3 and kind in (HEAD, BODY, ERROR)), f'a frame that may not be: {self.box[:12]!r}')
                if len(self.box) >= 12 + length:
                    payload, self.box = self.box[12:12 + length], self.box[12 + length:]
                    if kind == MORE:
                        check(len(payload) == 4 and call > 0, 'MORE says how much')
                        self.more += int.from_bytes(payload, 'big')
                        continue
                    return kind, flags, call, payload
            try:
                data = self.sock.recv(1 << 20)
            except socket.timeout:
                raise Failed('no answer in time; output: ' + self.output()) from None
            except ConnectionError:
                data = b''
            if not data:
                self.process.wait(DEADLINE)
                raise EOFError(self.output())
            self.box += data

    def expect(self, want):
        kind, _, call, payload = self.frame()
        same((kind, call), (want, 0), 'frame')
        return json.loads(payload)

    def begin(self, endpoint, method='GET', body=None, headers=(), path='', query='', caller=None, deadline=10000,
              url=None):
        self.number += 1
        url = url or f'http://host.test/bundle/did:plc:abc/hello/latest/{endpoint}{path}' + ('?' + query if query else '')
        call = {'job': f'job-{self.number}', 'endpoint': endpoint, 'method': method, 'url': url, 'path': path,
                'query': query, 'headers': [list(h) for h in headers], 'caller': caller, 'deadlineMs': deadline}
        self.send(CALL, self.number, json.dumps(call).encode(), body is None)
        if body is not None:
            parts = body if isinstance(body, list) else [body[i:i + FRAME_MAX] for i in range(0, len(body), FRAME_MAX)] or [b'']
            for i, part in enumerate(parts):
                self.send(DATA, self.number, part, i == len(parts) - 1)
        return self.number

    def finish(self, *numbers, slow=0):
        """Reads until every one of the calls has ended; checks the order of frames on the way."""
        answers = {n: Answer() for n in numbers}
        open_calls, staying = set(numbers), {}
        credit = {n: WINDOW for n in numbers}
        while open_calls or staying:
            kind, last, call, payload = self.frame()
            if slow:
                time.sleep(slow)
            if kind == LOG:
                line = json.loads(payload)
                same(sorted(line), ['level', 'text'], 'fields of LOG')
                (answers[call].logs if call in answers else self.logs).append((line['level'], line['text']))
                continue
            if kind == DONE:
                check(call in staying and len(payload) == 8, 'DONE of a call that does not stay')
                answers[call].works = struct.unpack('!II', payload)
                answers[call].stayed_ms = (time.monotonic() - staying.pop(call)) * 1000
                continue
            check(call in open_calls, f'frame {kind} for call {call}, which is not open')
            a = answers[call]
            if kind == HEAD:
                check(a.status is None, 'a second HEAD')
                h = json.loads(payload)
                a.status, a.headers, a.head_at = h['status'], h['headers'], time.monotonic()
            elif kind == BODY:
                check(a.status is not None, 'BODY before HEAD')
                a.body += payload
                credit[call] -= len(payload)
                check(credit[call] >= 0, 'more of the answer than there was room for')
                if credit[call] < WINDOW // 2 and not last:
                    self.send(CREDIT, call, struct.pack('>I', WINDOW - credit[call]))
                    credit[call] = WINDOW
                if payload:
                    a.chunks.append(payload)
                    a.times.append(time.monotonic())
            elif kind == ERROR:
                a.error = json.loads(payload)
                same(sorted(a.error), ['message', 'name', 'stack', 'where'], 'fields of ERROR')
            else:
                raise Failed(f'frame {kind} in a call')
            if last or kind == ERROR:
                open_calls.discard(call)
                if last & STAYS:
                    staying[call] = time.monotonic()
        return [answers[n] for n in numbers] if len(numbers) > 1 else answers[numbers[0]]

    def call(self, endpoint, **more):
        slow = more.pop('slow', 0)
        return self.finish(self.begin(endpoint, **more), slow=slow)


# ---- what is checked ----

def stays(a, *logs):
    check(a.stayed_ms is not None, 'work after the answer is not told')
    check(set(logs) <= set(a.logs), f'log {a.logs}')


def no_room(x):
    """Nobody gives credit: the window is all that comes, and a CANCEL is still heard."""
    for name in ('endless', 'bigSlow'):
        n, got, asked = x.begin(name), 0, False
        while True:
            kind, last, call, payload = x.frame()
            if kind in (BODY, ERROR):
                same(call, n, 'call')
            got += len(payload) if kind == BODY else 0
            check(got <= WINDOW, 'more than there is room for')
            if got == WINDOW and not asked:
                x.send(CANCEL, n)
                asked = True
            if kind == ERROR:
                same(json.loads(payload)['name'], 'Cancelled', 'name')
                break
    is_answer(x.call('text'))


def streams_at_once(x):
    """What a queue holds when it is looked at is one write; what comes later does not keep the beginning waiting."""
    def kinds(name):
        n, got = x.begin(name), []
        while not got or got[-1][0] != ERROR and not got[-1][1]:
            kind, last, call, payload = x.frame()
            same(call, n, 'call')
            got.append((kind, bool(last), payload if kind == BODY else None))
        return got
    same(kinds('queueWhole'), [(HEAD, False, None), (BODY, True, b'all')], 'a stream that has ended')
    same(kinds('queueEmpty'), [(HEAD, True, None)], 'an empty stream')
    same(kinds('queueOpen'), [(HEAD, False, None), (BODY, False, b'now'), (BODY, True, b'')], 'a stream that ends later')
    same(kinds('queueTwo'), [(HEAD, False, None), (BODY, False, b'a'), (BODY, False, b'b'), (BODY, True, b'')], 'two pieces')
    same([k for k, _, _ in kinds('streamBad')], [ERROR], 'a stream that fails before anything was sent')
    is_answer(x.call('queueReal'), 200, b'[false,"text",true]')


def no_paths(text, x=None):
    for bad in ('/tmp/', '/home/', '/root/', '/usr/', '/work/', 'file://', 'backends/runtimes', 'executor.', 'core.mjs',
                'at_rund_'):
        check(bad not in text, f'a path of the host: {text!r:.400}')


def is_error(a, name, message=None, where=None):
    check(a.error is not None, f'no error but {a.status} {a.body!r:.200}')
    if name is not None:
        same(a.error['name'], name, 'error name')
    if message is not None:
        check(re.search(message, a.error['message']), f'message {a.error["message"]!r}')
    if where is not None:
        check(re.fullmatch(where, a.error['where']), f'where {a.error["where"]!r} stack {a.error["stack"]!r}')
    no_paths(json.dumps(a.error))
    for key, most in (('name', 100), ('message', 4000), ('stack', 8000)):
        check(len(a.error[key].encode()) <= most, f'{key} is {len(a.error[key].encode())} bytes long')


def is_answer(a, status=200, body=None, mime=None):
    check(a.error is None, f'error {a.error}')
    same(a.status, status, 'status')
    if body is not None:
        same(a.body, body, 'body')
    if mime is not None:
        same(a.header('content-type'), [mime], 'content-type')


JS = r'''
export const bundle = { name: "cases", permissions: { net: ["example.com"] } };
export class NotAnEndpoint {}
export const answer = 42;
export const json = () => ({ a: 1, b: "é😀" });
export const jsonAsync = async () => [1, null];
export const text = () => "plain";
export const number = () => 7;
export const nothing = () => {};
export const nil = async () => null;
export const func = () => () => 1;
export const bigint = () => 1n;
export const bytes = () => new Uint8Array([0, 1, 255]);
export const buffer = () => new Uint8Array([1, 2]).buffer;
export const blob = () => new Blob(["hi"], { type: "text/css" });
export const endpoint = { kind: "endpoint", handler: async (request, env, ctx) => ({ endpoint: request.method, job: ctx.job }) };
export const self = { value: 5, handler() { return this.value; } };
export const response = () => new Response("<h1>hi</h1>", { status: 201, headers: { "Content-Type": "text/html", "X-A": "b" } });
export const responsePlain = () => new Response("hi");
export const responseJson = () => Response.json({ ok: true }, { status: 202 });
export const responseBytes = () => new Response(new Uint8Array([1, 0, 2]), { headers: [["content-type", "image/x"]] });
export const responseView = () => new Response(new DataView(new Uint8Array([9, 8, 7]).buffer, 1, 1));
export const responseEmpty = () => new Response(null, { status: 204 });
export const responseNone = () => new Response();
export const responseHeaders = () => { const r = new Response("x"); r.headers.set("x-late", "1"); r.headers.append("set-cookie", "a=1"); r.headers.append("set-cookie", "b=2, c"); return r; };
export const responseCookies = () => new Response("x", { headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] });
export const responseJoined = () => new Response("x", { headers: [["x-a", "1"], ["x-a", " 2 "]] });
export const responseForm = () => new Response(new URLSearchParams({ a: "1 2" }));
export const responseClone = () => { const r = new Response("twice", { status: 203 }); r.clone(); return r; };
export const responseWrapped = () => { const r = new Response("in", { status: 206, headers: { "x-in": "1" } }); return new Response(r.body, r); };
export const responseRedirect = () => Response.redirect("http://example.com/x", 303);
export const responseUsed = async () => { const r = new Response("x"); await r.text(); return r; };
export const responseError = () => Response.error();
export const responseLatin = () => new Response("x", { headers: { "x-l": "caf\u00e9" } });
export const responseBadHeader = () => new Response("x", { headers: { "x-a": "b\r\nx-evil: 1" } });
export const responseBadStatus = () => new Response("x", { status: 700 });
export const responseNullBody = () => new Response("x", { status: 204 });
export const foreign = () => ({ [Symbol.toStringTag]: "Response", status: 99, headers: new Headers(), body: null, bodyUsed: false });
export const foreignHeader = () => ({ [Symbol.toStringTag]: "Response", status: 200, headers: [["x", "a\nb"]], body: null, bodyUsed: false });
export const isResponse = () => { class Mine extends Response {} const m = new Mine("x");
	return { a: new Response("x") instanceof Response, b: Response.json(1) instanceof Response, c: m instanceof Mine && m instanceof Response,
		d: !({} instanceof Response), e: new Response(null, { status: 404 }).ok, f: new Response("q").clone() instanceof Response,
		g: !(new Response("x") instanceof Mine), h: Object.prototype.toString.call(new Response("x")) }; };
export const subclass = () => { class Mine extends Response { constructor() { super("sub", { status: 299 }); } } return new Mine(); };
export const stream = () => { let n = 0; return new Response(new ReadableStream({ async pull(c) {
	await new Promise((r) => setTimeout(r, 60)); c.enqueue(new TextEncoder().encode(`${n} `)); if (++n === 4) c.close(); } }), { headers: { "content-type": "text/plain" } }); };
export const readable = () => new ReadableStream({ start(c) { c.enqueue(new Uint8Array([65])); c.close(); } });
export async function* generator() { yield "a"; yield new Uint8Array([66]); }
export async function* generatorBad() { yield "a"; throw new RangeError("in the middle"); }
export const streamBad = () => new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(3)); }, pull() { throw new TypeError("broken source"); } }));
const queue = (pieces, ms) => new Response(new ReadableStream({ start(c) {
	for (const p of pieces) c.enqueue(new TextEncoder().encode(p));
	if (ms === 0) c.close(); else setTimeout(() => c.close(), ms); } }));
export const queueWhole = () => queue(["all"], 0);
export const queueEmpty = () => queue([], 0);
export const queueOpen = () => queue(["now"], 60);
export const queueTwo = () => queue(["a", "b"], 0);
export const queueReal = async () => { const r = queue(["text"], 0), before = r.bodyUsed; return [before, await r.text(), r.bodyUsed]; };
let pulled = 0, stopped = false;
export const endless = () => new Response(new ReadableStream({ pull(c) { pulled++; c.enqueue(new Uint8Array(65536)); }, cancel() { stopped = true; } }));
export const endlessState = () => ({ pulled, stopped });
export const big = () => new Response("x".repeat(1 << 20));
export const bigJson = () => ({ s: "é".repeat(300000) });
export const bigBytes = () => new Uint8Array(1 << 20).fill(7);
export const bigSlow = () => new Uint8Array(9 << 20).fill(7);
export const limit = () => new Response("x".repeat(262144));
export const headersLong = () => new Response("x", { headers: { "x-long": "y".repeat(300000) } });
export const echo = async (request) => new Response(await request.arrayBuffer(), { headers: { "content-type": request.headers.get("content-type") ?? "none", "x-method": request.method } });
export const echoStream = (request) => new Response(request.body, { headers: { "x-method": request.method } });
export const echoText = async (request) => request.text();
export const echoJson = async (request) => ({ got: await request.json() });
export const echoForm = async (request) => { const f = await request.formData(); return [...f].map(([k, v]) => [k, typeof v === "string" ? v : v.name]); };
export const twice = async (request) => { await request.text(); return [request.bodyUsed, await request.text()]; };
export const mixed = async (request) => { await request.text(); const c = request.body; return [request.bodyUsed, c === null || c.locked || true]; };
export const shape = async (request, env, ctx) => ({
	instance: request instanceof Request, tag: Object.prototype.toString.call(request), url: request.url, method: request.method,
	host: request.headers.get("HOST"), multi: request.headers.get("x-m"), list: [...request.headers.keys()], used: request.bodyUsed, body: request.body === null,
	redirect: request.redirect, signal: request.signal instanceof AbortSignal && !request.signal.aborted,
	copy: new Request(request).url, copyHeader: new Request(request, { headers: { a: "b" } }).headers.get("a"), clone: request.clone().method, fresh: new Request("http://a/b", { method: "PUT" }).method,
	freshInstance: new Request("http://a/b") instanceof Request,
	env, ctxEnv: ctx.env === env, job: ctx.job, bundle: ctx.bundle, caller: ctx.caller, left: ctx.deadline - Date.now(), remaining: ctx.remaining(),
	same: ctx.signal === request.signal || ctx.signal instanceof AbortSignal });
export const environment = () => ({ value: ENVIRONMENT("SECRET"), host: ENVIRONMENT("HOST_ONLY") ?? null });
export const logs = (request, env, ctx) => { console.log("one %s", "two"); console.info({ a: 1 }); console.warn("w\nw2"); console.error("e"); console.debug("d");
	ctx.log("plain"); ctx.log("warn", "level", { b: 2 }); console.table([[1]]); return 1; };
export const logWrite = () => { process.stdout.write("par"); process.stdout.write("tial\nrest"); process.stderr.write("err\n"); return 1; };
export const logLong = () => { console.log("é".repeat(10000)); console.log("nul\0 half \ud800 end"); return 1; };
export const logPath = () => { console.error(new Error("shown")); return 1; };
export const logFlood = () => { for (let i = 0; i < 100000; i++) console.log("flood " + "x".repeat(50)); return "done"; };
export const throws = () => { throw new TypeError("no good"); };
export const throwsDeep = async () => { await null; inner(); };
function inner() { const e = new Error("with a cause", { cause: new Error("the cause") }); e.name = "Deep"; throw e; }
export const throwsText = () => { throw "just text"; };
export const throwsNothing = () => { throw undefined; };
export const throwsNull = async () => { throw null; };
export const throwsObject = () => { throw { code: 5 }; };
export const throwsEvil = () => { throw { get message() { throw 1; }, get stack() { throw 2; } }; };
export const throwsLong = () => { const e = new Error("é".repeat(9000)); e.name = "N".repeat(500); throw e; };
export const throwsPath = () => { throw new Error(`see ${new URL(import.meta.url).pathname} and ${import.meta.url} and /home/somebody/x.txt`); };
export const exits = () => { LEAVE(3); };
export const exitsLater = () => new Promise(() => setTimeout(() => LEAVE(4), 5));
export const strayTimer = () => new Promise(() => setTimeout(() => { throw new RangeError("in a timer"); }, 5));
export const strayPromise = () => new Promise(() => { Promise.reject(new RangeError("not handled")); });
export const waits = (request, env, ctx) => { ctx.waitUntil(Promise.reject(new Error("later"))); return 1; };
export const after = () => { setTimeout(() => console.log("after the end"), 20); return 1; };
export const sleep = async (request) => { const ms = +new URL(request.url).searchParams.get("ms"); console.log("begin " + ms); await new Promise((r) => setTimeout(r, ms)); console.log("end " + ms); return ms; };
export const untilAbort = (request) => new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
export const ctxAbort = (request, env, ctx) => new Promise((resolve) => ctx.signal.addEventListener("abort", () => { console.log("aborted"); resolve("late"); }));
export const never = () => new Promise(() => {});
export const bodyNever = async (request) => request.text();
export const vandal = () => { JSON.stringify = () => "x"; JSON.parse = null; Array.prototype.push = null; globalThis.setTimeout = null; Map.prototype.forEach = null; globalThis.Date = null; return { still: "here" }; };
'''

JS_LEAVE = {'node': 'process.exit', 'deno': 'Deno.exit'}
JS_ENV = {'node': '((n) => process.env[n])', 'deno': 'Deno.env.get'}


def js(runtime):
    return JS.replace('LEAVE', JS_LEAVE[runtime]).replace('ENVIRONMENT', JS_ENV[runtime])


PY = r'''
import sys, os, json as _json, asyncio, logging, time as _time
from helper import helped
_state = {"stopped": False}

class NotAnEndpoint:
    pass

def json(request, ctx): return {"a": 1, "b": "é😀"}
async def jsonAsync(request, ctx):
    await asyncio.sleep(0)
    return [1, None]
def text(request, ctx): return "plain"
def number(request, ctx): return 7
def boolean(request, ctx): return True
def nothing(request, ctx): pass
def bytes_(request, ctx): return b"\0\1\xff"
def none_args(): return "no arguments"
def one_arg(request): return request.method
def var_args(*args): return len(args)
def default_args(request, ctx=None, more=5): return more
def triple(request, ctx): return 201, {"Content-Type": "text/html", "X-A": "b"}, "<h1>hi</h1>"
def tripleJson(request, ctx): return (202, [("x-a", "1")], {"ok": True})
def pair(request, ctx): return 404, "gone"
def cookies(request, ctx): return 200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "x"
def cookieList(request, ctx): return 200, {"set-cookie": ["a=1", "b=2"]}, "x"
def empty(request, ctx): return 204, {}, None
def badStatus(request, ctx): return 700, {}, "x"
def badHeader(request, ctx): return 200, {"x-a": "b\r\nx-evil: 1"}, "x"
def badName(request, ctx): return 200, {"x a": "b"}, "x"
def badTuple(request, ctx): return ("a", "b")
def notJson(request, ctx): return object()
def nan(request, ctx): return float("nan")
def stream(request, ctx):
    for i in range(4):
        _time.sleep(0.06)
        yield f"{i} "
def streamBytes(request, ctx): return 200, {"content-type": "x/y"}, iter([b"a", b"", b"b"])
async def streamAsync(request, ctx):
    for i in range(3):
        await asyncio.sleep(0.03)
        yield b"%d " % i
def streamBad(request, ctx):
    yield "a"
    raise ValueError("in the middle")
def streamWrong(request, ctx):
    yield 5
def endless(request, ctx):
    try:
        while True:
            yield b"x" * 65536
    finally:
        _state["stopped"] = True
def endlessState(request, ctx): return _state
def big(request, ctx): return "x" * (1 << 20)
def bigJson(request, ctx): return {"s": "é" * 300000}
def bigBytes(request, ctx): return b"\7" * (1 << 20)
def bigSlow(request, ctx): return b"\7" * (9 << 20)
def limit(request, ctx): return "x" * 262144
def headersLong(request, ctx): return 200, {"x-long": "y" * 300000}, "x"
def echo(request, ctx): return 200, {"content-type": request.headers.get("Content-Type", "none"), "x-method": request.method}, request.body
def echoText(request, ctx): return request.text()
def echoJson(request, ctx): return {"got": request.json()}
def echoForm(request, ctx):
    f = request.form()
    return [[k, v if isinstance(v, str) else v.filename] for k, v in f.pairs]
def shape(request, ctx):
    return {"url": request.url, "method": request.method, "path": request.path, "raw": request.query_string,
            "query": request.query, "all": request.query.all("a"), "host": request.headers["HOST"], "multi": request.headers["x-m"],
            "missing": request.headers.get("nope"), "has": "Host" in request.headers, "body": len(request.body),
            "env": ctx.env, "job": ctx.job, "bundle": ctx.bundle, "caller": ctx.caller, "left": ctx.deadline - _time.time(),
            "remaining": ctx.remaining(), "helped": helped()}
def environment(request, ctx): return {"value": os.environ.get("SECRET"), "host": os.environ.get("HOST_ONLY")}
def logs(request, ctx):
    print("one", "two")
    print("e\ne2", file=sys.stderr)
    ctx.log("plain")
    ctx.log("warn", "level", {"b": 2})
    logging.debug("hidden")
    logging.info("info %d", 1)
    logging.warning("careful")
    logging.getLogger("x").error("bad")
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.flush()
    return 1
def logWrite(request, ctx):
    sys.stdout.write("par"); sys.stdout.write("tial\nrest")
    return 1
def logLong(request, ctx):
    print("é" * 10000)
    print("nul\0 half \ud800 end")
    return 1
def logPath(request, ctx):
    import traceback
    try:
        1 / 0
    except ZeroDivisionError:
        traceback.print_exc()
    return 1
def logFlood(request, ctx):
    for i in range(20000):
        print("flood", "x" * 50)
    return "done"
def throws(request, ctx): raise TypeError("no good")
async def throwsDeep(request, ctx):
    await asyncio.sleep(0)
    _inner()
def _inner(): raise KeyError("k")
def throwsLong(request, ctx):
    raise type("N" * 500, (Exception,), {})("é" * 9000)
def throwsEvil(request, ctx):
    class Evil(Exception):
        def __str__(self): raise ValueError
    raise Evil()
def throwsPath(request, ctx): raise Exception(f"see {__file__} and {os.__file__} and /home/somebody/x.txt")
def recursion(request, ctx): return recursion(request, ctx)
def exits(request, ctx): sys.exit(3)
async def exitsAsync(request, ctx): sys.exit(4)
def osExits(request, ctx): os._exit(5)
async def sleepLong(request, ctx): await asyncio.sleep(30)
def sleepShort(request, ctx): _time.sleep(0.05); print("slept"); return request.query["n"]
async def taskStray(request, ctx):
    async def bad(): raise ValueError("stray")
    asyncio.ensure_future(bad()); await asyncio.sleep(0.01)
    import gc; gc.collect()
    return 1
def siteModule(request, ctx):
    try:
        import not_there_at_all
    except ModuleNotFoundError as e:
        return str(e)
def siteThere(request, ctx):
    import site
    return any("packages" in p for p in sys.path)
def waits(request, ctx):
    def bad(): raise ValueError("three")
    ctx.wait_until(print, "one"); ctx.wait_until(lambda: print("two")); ctx.wait_until(bad)
    return 1
async def awaits(request, ctx):
    import asyncio
    async def later(): await asyncio.sleep(0.01); print("four")
    ctx.wait_until(later())
    return 1
def pieces(request, ctx): return str(sum(map(len, request.stream)))
def swallow(request, ctx):
    try:
        for _ in range(1000):
            _time.sleep(0.01)
    except Exception: pass
    return "late"
'''

PY_HELPER = 'def helped():\n    return "yes"\n'

WSGI = r'''
def app(environ, start_response):
    p = environ["PATH_INFO"]
    if p == "/twice":
        start_response("200 OK", []); start_response("200 OK", [])
    if p == "/never": return [b"x"]
    if p == "/bad": start_response("999 Odd", []); return [b"x"]
    if p == "/throw": raise ValueError("in wsgi")
    if p == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%d " % i for i in range(3))
    if p == "/write":
        w = start_response("200 OK", [("Content-Type", "text/plain")]); w(b"a"); return [b"b"]
    if p == "/exc":
        import sys
        start_response("200 OK", [])
        try: 1 / 0
        except ZeroDivisionError: start_response("500 Oops", [("x-a", "1")], sys.exc_info()); return [b"oops"]
    body = environ["wsgi.input"].read()
    start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return ["|".join([environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], p, environ["QUERY_STRING"], environ["SERVER_NAME"],
            environ["SERVER_PORT"], environ.get("HTTP_X_M", ""), environ.get("CONTENT_TYPE", ""), body.decode()]).encode()]
'''

ASGI = r'''
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "http"
    p = scope["path"][len(scope["root_path"]):]
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
    if p == "/twice": await send(start); await send(start)
    if p == "/early": await send({"type": "http.response.body", "body": b"x"})
    if p == "/never": return
    if p == "/half":
        await send(start); await send({"type": "http.response.body", "body": b"x", "more_body": True}); return
    if p == "/unknown": await send({"type": "nonsense"})
    if p == "/slow": await asyncio.sleep(30)
    if p == "/stream":
        await send(start)
        for i in range(3):
            await asyncio.sleep(0.03)
            await send({"type": "http.response.body", "body": b"%d " % i, "more_body": True})
        await send({"type": "http.response.body"})
        return
    m = await receive()
    start["status"] = 201
    start["headers"].append((b"x-method", scope["method"].encode()))
    await send(start)
    await send({"type": "http.response.body", "body": "|".join([scope["root_path"], p, scope["query_string"].decode(), m["body"].decode()]).encode()})
    assert (await receive())["type"] == "http.disconnect"
'''

ASGI_CLASS = r'''
class App:
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from a class"})
app = App()
'''

# Endpoint, what is sent, what comes back: (name, call, check).  Shared by node and deno.
T = 'text/plain;charset=UTF-8'
J = 'application/json'
O = 'application/octet-stream'


def at(line):
    return rf'main\.\w+:{line}(:\d+)?'


def line_of(text, needle):
    return text[:text.index(needle)].count('\n') + 1


def logs_are(*want):
    return lambda a: same(a.logs, list(want), 'log')


def js_cases(runtime):
    src = js(runtime)
    line = lambda needle: at(line_of(src, needle))
    leave = JS_LEAVE[runtime].replace('.', r'\.')
    E, A = is_error, is_answer
    cases = [
        ('object', 'json', {}, lambda a: A(a, 200, '{"a":1,"b":"é😀"}'.encode(), J)),
        ('async array', 'jsonAsync', {}, lambda a: A(a, 200, b'[1,null]', J)),
        ('string becomes JSON', 'text', {}, lambda a: A(a, 200, b'"plain"', J)),
        ('number', 'number', {}, lambda a: A(a, 200, b'7', J)),
        ('undefined is 204', 'nothing', {}, lambda a: A(a, 204, b'')),
        ('null is 204', 'nil', {}, lambda a: A(a, 204, b'')),
        ('a function is no answer', 'func', {}, lambda a: E(a, 'InvalidResponse')),
        ('a bigint is no answer', 'bigint', {}, lambda a: E(a, 'TypeError')),
        ('Uint8Array', 'bytes', {}, lambda a: A(a, 200, b'\0\1\xff', O)),
        ('ArrayBuffer', 'buffer', {}, lambda a: A(a, 200, b'\1\2', O)),
        ('Blob', 'blob', {}, lambda a: A(a, 200, b'hi', 'text/css')),
        ('endpoint({handler})', 'endpoint', {}, lambda a: same(a.json()['endpoint'], 'GET', 'method')),
        ('handler keeps this', 'self', {}, lambda a: A(a, 200, b'5')),
        ('manifest is no endpoint', 'bundle', {}, lambda a: E(a, 'EndpointNotFound')),
        ('class is no endpoint', 'NotAnEndpoint', {}, lambda a: E(a, 'EndpointNotFound')),
        ('unknown endpoint', 'nope', {}, lambda a: E(a, 'EndpointNotFound', 'nope')),
        ('constructor is no endpoint', 'constructor', {}, lambda a: E(a, 'EndpointNotFound')),
        ('Response', 'response', {}, lambda a: (A(a, 201, b'<h1>hi</h1>', 'text/html'), same(a.header('x-a'), ['b'], 'x-a'))),
        ('Response plain', 'responsePlain', {}, lambda a: A(a, 200, b'hi', T)),
        ('Response.json', 'responseJson', {}, lambda a: A(a, 202, b'{"ok":true}', J)),
        ('Response of bytes', 'responseBytes', {}, lambda a: A(a, 200, b'\1\0\2', 'image/x')),
        ('Response of a view', 'responseView', {}, lambda a: A(a, 200, b'\x08')),
        ('Response 204', 'responseEmpty', {}, lambda a: A(a, 204, b'')),
        ('Response without body', 'responseNone', {}, lambda a: A(a, 200, b'')),
        ('headers set later', 'responseHeaders', {}, lambda a: (A(a, 200, b'x', T), same(a.header('x-late'), ['1'], 'x-late'),
            same(a.header('set-cookie'), ['a=1', 'b=2, c'], 'cookies'))),
        ('two cookies', 'responseCookies', {}, lambda a: same(a.header('set-cookie'), ['a=1', 'b=2'], 'cookies')),
        ('repeated header', 'responseJoined', {}, lambda a: same([v.split(',')[0] + v.split(',')[1].strip() for v in a.header('x-a')], ['12'], 'x-a')),
        ('Response of a form', 'responseForm', {}, lambda a: A(a, 200, b'a=1+2', 'application/x-www-form-urlencoded;charset=UTF-8')),
        ('cloned Response', 'responseClone', {}, lambda a: A(a, 203, b'twice')),
        ('Response of a Response', 'responseWrapped', {}, lambda a: (A(a, 206, b'in'), same(a.header('x-in'), ['1'], 'x-in'))),
        ('redirect', 'responseRedirect', {}, lambda a: (A(a, 303, b''), same(a.header('location'), ['http://example.com/x'], 'location'))),
        ('a Response that was read', 'responseUsed', {}, lambda a: E(a, 'InvalidResponse', 'read already')),
        ('Response.error()', 'responseError', {}, lambda a: E(a, 'InvalidResponse', 'status 0')),
        ('latin-1 header', 'responseLatin', {}, lambda a: same(a.header('x-l'), ['café'], 'x-l')),
        # node 18 of Debian 12 lets it pass into the Response; then we refuse it.
        ('CR LF in a header', 'responseBadHeader', {}, lambda a: E(a, 'TypeError' if a.error['name'] == 'TypeError' else 'InvalidResponse')),
        ('status 700', 'responseBadStatus', {}, lambda a: E(a, 'RangeError')),
        ('204 with a body', 'responseNullBody', {}, lambda a: E(a, 'TypeError')),
        ('foreign Response, status 99', 'foreign', {}, lambda a: E(a, 'InvalidResponse', 'status 99')),
        ('foreign Response, bad header', 'foreignHeader', {}, lambda a: E(a, 'InvalidResponse', 'header x')),
        ('instanceof Response', 'isResponse', {}, lambda a: same(a.json(), {'a': True, 'b': True, 'c': True, 'd': True,
            'e': False, 'f': True, 'g': True, 'h': '[object Response]'}, 'instanceof')),
        ('subclass of Response', 'subclass', {}, lambda a: A(a, 299, b'sub')),
        ('stream', 'stream', {}, lambda a: (A(a, 200, b'0 1 2 3 ', 'text/plain'), same(len(a.chunks), 4, 'chunks'),
            check(a.times[-1] - a.times[0] > 0.12, 'chunks came all at once'))),
        ('ReadableStream', 'readable', {}, lambda a: A(a, 200, b'A', O)),
        ('async generator', 'generator', {}, lambda a: A(a, 200, b'aB', O)),
        ('generator that throws', 'generatorBad', {}, lambda a: E(a, 'RangeError', 'in the middle', line('in the middle'))),
        ('stream that throws', 'streamBad', {}, lambda a: E(a, 'TypeError', 'broken source')),
        ('1 MiB string', 'big', {}, lambda a: A(a, 200, b'x' * (1 << 20), T)),
        ('600 KB JSON', 'bigJson', {}, lambda a: same(len(a.json()['s']), 300000, 'length')),
        ('1 MiB bytes', 'bigBytes', {}, lambda a: A(a, 200, b'\7' * (1 << 20))),
        ('9 MiB to a slow reader', 'bigSlow', {'slow': 0.005}, lambda a: A(a, 200, b'\7' * (9 << 20))),
        ('exactly one frame', 'limit', {}, lambda a: A(a, 200, b'x' * 262144)),
        ('headers too long', 'headersLong', {}, lambda a: E(a, 'InvalidResponse', 'too long')),
        ('echo', 'echo', {'method': 'POST', 'body': b'\0\xff', 'headers': [('content-type', 'x/y')]},
            lambda a: (A(a, 200, b'\0\xff', 'x/y'), same(a.header('x-method'), ['POST'], 'method'))),
        ('echo of nothing', 'echo', {'method': 'POST', 'body': b''}, lambda a: A(a, 200, b'')),
        ('echo of 3 MiB', 'echo', {'method': 'PUT', 'body': bytes(range(256)) * 12288}, lambda a: A(a, 200, bytes(range(256)) * 12288)),
        ('echo as a stream', 'echoStream', {'method': 'PATCH', 'body': b'z' * 700000}, lambda a: A(a, 200, b'z' * 700000)),
        ('text without BOM', 'echoText', {'method': 'POST', 'body': '\ufeffé'.encode()}, lambda a: A(a, 200, '"é"'.encode())),
        ('json body', 'echoJson', {'method': 'POST', 'body': b'{"a":[1]}'}, lambda a: same(a.json(), {'got': {'a': [1]}}, 'json')),
        ('bad json body', 'echoJson', {'method': 'POST', 'body': b'{'}, lambda a: E(a, 'SyntaxError')),
        ('urlencoded form', 'echoForm', {'method': 'POST', 'body': b'a=1&b=%20', 'headers': [('content-type', 'application/x-www-form-urlencoded')]},
            lambda a: same(a.json(), [['a', '1'], ['b', ' ']], 'form')),
        ('multipart form', 'echoForm', {'method': 'POST', 'body': b'--q\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--q\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n\r\nhi\r\n--q--\r\n',
            'headers': [('content-type', 'multipart/form-data; boundary=q')]}, lambda a: same(a.json(), [['a', '1'], ['f', 'x.txt']], 'form')),
        ('body read twice', 'twice', {'method': 'POST', 'body': b'x'}, lambda a: E(a, 'TypeError')),
        ('body after text()', 'mixed', {'method': 'POST', 'body': b'x'}, lambda a: A(a, 200, b'[true,true]')),
        ('Request', 'shape', {'headers': [('host', 'h'), ('x-m', '1'), ('x-m', '2')], 'query': 'a=1', 'caller': 'did:plc:caller'}, js_shape),
        ('environment', 'environment', {}, lambda a: same(a.json(), {'value': 's3', 'host': None}, 'env')),
        ('console', 'logs', {}, lambda a: (same(a.logs[:2], [('info', 'one two'), ('info', '{ a: 1 }')], 'log'),
            same(a.logs[2:7], [('warn', 'w'), ('warn', 'w2'), ('error', 'e'), ('debug', 'd'), ('info', 'plain')], 'log'),
            same(a.logs[7], ('warn', 'level { b: 2 }'), 'log'), check(len(a.logs) > 10, 'console.table'))),
        ('long lines', 'logLong', {}, lambda a: (check(7000 < len(a.logs[0][1].encode()) <= 8192, 'length'),
            same(a.logs[1], ('info', 'nul\u2400 half \ufffd end'), 'log'))),
        ('no host paths in the log', 'logPath', {}, lambda a: (check('shown' in a.logs[0][1], 'text'), [check('/home/run' not in t and RUNTIMES not in t, t) for _, t in a.logs])),
        ('flood of lines', 'logFlood', {}, lambda a: (A(a, 200, b'"done"'), check(len(a.logs) > 1000, 'lines'))),
        ('throws', 'throws', {}, lambda a: E(a, 'TypeError', '^no good$', line('"no good"'))),
        ('throws deep', 'throwsDeep', {}, lambda a: (E(a, 'Deep', r'^with a cause \(the cause\)$', line('function inner')), check('throwsDeep' in a.error['stack'], 'stack'))),
        ('throws text', 'throwsText', {}, lambda a: E(a, 'Error', 'just text')),
        ('throws undefined', 'throwsNothing', {}, lambda a: E(a, 'Error', 'undefined')),
        ('throws null', 'throwsNull', {}, lambda a: E(a, 'Error', 'null')),
        ('throws an object', 'throwsObject', {}, lambda a: E(a, 'Error', '"code":5')),
        ('throws evil', 'throwsEvil', {}, lambda a: E(a, 'Error')),
        ('throws at length', 'throwsLong', {}, lambda a: E(a, 'N' * 100)),
        ('throws paths', 'throwsPath', {}, lambda a: E(a, 'Error', 'see main')),
        ('exits', 'exits', {}, lambda a: E(a, 'Exited', leave + r'\(3\)', line('export const exits '))),
        ('exits in a timer', 'exitsLater', {}, lambda a: E(a, 'Exited', leave)),
        ('error in a timer', 'strayTimer', {}, lambda a: E(a, 'RangeError', 'in a timer', line('"in a timer"'))),
        ('rejection nobody handles', 'strayPromise', {}, lambda a: E(a, 'RangeError', 'not handled')),
        ('waitUntil', 'waits', {}, lambda a: (A(a, 200, b'1'), stays(a, ('error', 'waitUntil: Error: later')))),
    ]
    if runtime == 'node':
        cases.append(('process.stdout', 'logWrite', {}, logs_are(('info', 'partial'), ('error', 'err'), ('info', 'rest'))))
    return cases


def js_shape(a):
    is_answer(a)
    v = a.json()
    url = 'http://host.test/bundle/did:plc:abc/hello/latest/shape?a=1'
    for key, want in {'instance': True, 'tag': '[object Request]', 'url': url, 'method': 'GET', 'host': 'h', 'multi': '1, 2',
                      'list': ['host', 'x-m'], 'used': False, 'body': True, 'redirect': 'follow', 'signal': True, 'copy': url,
                      'copyHeader': 'b', 'clone': 'GET', 'fresh': 'PUT', 'freshInstance': True, 'env': {'SECRET': 's3'}, 'ctxEnv': True,
                      'bundle': 'did:plc:abc/hello', 'caller': 'did:plc:caller', 'same': True}.items():
        same(v[key], want, key)
    check(5000 < v['left'] <= 10000 and 5000 < v['remaining'] <= 10000, 'deadline')
    check(v['job'].startswith('job-'), 'job')


def py_shape(a):
    is_answer(a)
    v = a.json()
    for key, want in {'method': 'GET', 'path': '/more', 'raw': 'a=1&a=2&b=%C3%A9', 'query': {'a': '2', 'b': 'é'}, 'all': ['1', '2'],
                      'host': 'h', 'multi': '1, 2', 'missing': None, 'has': True, 'body': 0, 'env': {'SECRET': 's3'},
                      'bundle': 'did:plc:abc/hello', 'caller': None, 'helped': 'yes'}.items():
        same(v[key], want, key)
    check(5 < v['left'] <= 10 and 5 < v['remaining'] <= 10, 'deadline')


def py_cases(_):
    E, A = is_error, is_answer
    line = lambda needle: at(line_of(PY, needle))
    P = 'text/plain; charset=utf-8'
    form = [('content-type', 'application/x-www-form-urlencoded')]
    return [
        ('dict', 'json', {}, lambda a: A(a, 200, '{"a":1,"b":"é😀"}'.encode(), J)),
        ('async list', 'jsonAsync', {}, lambda a: A(a, 200, b'[1,null]', J)),
        ('str', 'text', {}, lambda a: A(a, 200, b'plain', P)),
        ('int', 'number', {}, lambda a: A(a, 200, b'7', J)),
        ('bool', 'boolean', {}, lambda a: A(a, 200, b'true', J)),
        ('None is 204', 'nothing', {}, lambda a: A(a, 204, b'')),
        ('bytes', 'bytes_', {}, lambda a: A(a, 200, b'\0\1\xff', O)),
        ('no arguments', 'none_args', {}, lambda a: A(a, 200, b'no arguments')),
        ('one argument', 'one_arg', {}, lambda a: A(a, 200, b'GET')),
        ('*args', 'var_args', {}, lambda a: A(a, 200, b'2')),
        ('more arguments with defaults', 'default_args', {}, lambda a: A(a, 200, b'5')),
        ('status, headers, body', 'triple', {}, lambda a: (A(a, 201, b'<h1>hi</h1>', 'text/html'), same(a.header('x-a'), ['b'], 'x-a'))),
        ('status, list, dict', 'tripleJson', {}, lambda a: (A(a, 202, b'{"ok":true}', J), same(a.header('x-a'), ['1'], 'x-a'))),
        ('status, body', 'pair', {}, lambda a: A(a, 404, b'gone', P)),
        ('two cookies', 'cookies', {}, lambda a: same(a.header('set-cookie'), ['a=1', 'b=2'], 'cookies')),
        ('cookies as a list', 'cookieList', {}, lambda a: same(a.header('set-cookie'), ['a=1', 'b=2'], 'cookies')),
        ('204', 'empty', {}, lambda a: A(a, 204, b'')),
        ('status 700', 'badStatus', {}, lambda a: E(a, 'InvalidResponse', 'status 700')),
        ('CR LF in a header', 'badHeader', {}, lambda a: E(a, 'InvalidResponse', 'header x-a')),
        ('space in a header name', 'badName', {}, lambda a: E(a, 'InvalidResponse', 'header name')),
        ('wrong tuple', 'badTuple', {}, lambda a: E(a, 'InvalidResponse', 'tuple')),
        ('not JSON', 'notJson', {}, lambda a: E(a, 'TypeError')),
        ('NaN', 'nan', {}, lambda a: E(a, 'ValueError')),
        ('class is no endpoint', 'NotAnEndpoint', {}, lambda a: E(a, 'EndpointNotFound')),
        ('imported name is no endpoint', 'helped', {}, lambda a: E(a, 'EndpointNotFound')),
        ('private name is no endpoint', '_inner', {}, lambda a: E(a, 'EndpointNotFound')),
        ('unknown endpoint', 'nope', {}, lambda a: E(a, 'EndpointNotFound', 'nope')),
        ('generator', 'stream', {}, lambda a: (A(a, 200, b'0 1 2 3 ', P), same(len(a.chunks), 4, 'chunks'),
            check(a.times[-1] - a.times[0] > 0.12, 'chunks came all at once'))),
        ('iterator in a tuple', 'streamBytes', {}, lambda a: A(a, 200, b'ab', 'x/y')),
        ('async generator', 'streamAsync', {}, lambda a: (A(a, 200, b'0 1 2 '), same(len(a.chunks), 3, 'chunks'))),
        ('generator that raises', 'streamBad', {}, lambda a: E(a, 'ValueError', 'in the middle', line('in the middle'))),
        ('generator of ints', 'streamWrong', {}, lambda a: E(a, 'InvalidResponse', 'int')),
        ('1 MiB string', 'big', {}, lambda a: A(a, 200, b'x' * (1 << 20), P)),
        ('600 KB JSON', 'bigJson', {}, lambda a: same(len(a.json()['s']), 300000, 'length')),
        ('1 MiB bytes', 'bigBytes', {}, lambda a: A(a, 200, b'\7' * (1 << 20))),
        ('9 MiB to a slow reader', 'bigSlow', {'slow': 0.005}, lambda a: A(a, 200, b'\7' * (9 << 20))),
        ('exactly one frame', 'limit', {}, lambda a: A(a, 200, b'x' * 262144)),
        ('headers too long', 'headersLong', {}, lambda a: E(a, 'InvalidResponse', 'too long')),
        ('echo', 'echo', {'method': 'POST', 'body': b'\0\xff', 'headers': [('Content-Type', 'x/y')]},
            lambda a: (A(a, 200, b'\0\xff', 'x/y'), same(a.header('x-method'), ['POST'], 'method'))),
        ('echo of 3 MiB', 'echo', {'method': 'PUT', 'body': bytes(range(256)) * 12288}, lambda a: A(a, 200, bytes(range(256)) * 12288)),
        ('text without BOM', 'echoText', {'method': 'POST', 'body': '\ufeffé'.encode()}, lambda a: A(a, 200, 'é'.encode())),
        ('json body', 'echoJson', {'method': 'POST', 'body': b'{"a":[1]}'}, lambda a: same(a.json(), {'got': {'a': [1]}}, 'json')),
        ('bad json body', 'echoJson', {'method': 'POST', 'body': b'{'}, lambda a: E(a, 'JSONDecodeError')),
        ('urlencoded form', 'echoForm', {'method': 'POST', 'body': b'a=1&b=%20', 'headers': form}, lambda a: same(a.json(), [['a', '1'], ['b', ' ']], 'form')),
        ('multipart form', 'echoForm', {'method': 'POST', 'body': b'--q\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--q\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\n\r\nhi\r\n--q--\r\n',
            'headers': [('content-type', 'multipart/form-data; boundary=q')]}, lambda a: same(a.json(), [['a', '1'], ['f', 'x.txt']], 'form')),
        ('request and ctx', 'shape', {'headers': [('host', 'h'), ('x-m', '1'), ('X-M', '2')], 'query': 'a=1&a=2&b=%C3%A9', 'path': '/more'}, py_shape),
        ('environment', 'environment', {}, lambda a: same(a.json(), {'value': 's3', 'host': None}, 'env')),
        ('print and logging', 'logs', {}, logs_are(('info', 'one two'), ('error', 'e'), ('error', 'e2'), ('info', 'plain'), ('warn', "level {'b': 2}"),
            ('info', 'info 1'), ('warn', 'careful'), ('error', 'bad'), ('info', 'bytes'))),
        ('sys.stdout', 'logWrite', {}, logs_are(('info', 'partial'), ('info', 'rest'))),
        ('long lines', 'logLong', {}, lambda a: (check(7000 < len(a.logs[0][1].encode()) <= 8192, 'length'), same(a.logs[1], ('info', 'nul\u2400 half ? end'), 'log'))),
        ('no host paths in the log', 'logPath', {}, lambda a: (check('ZeroDivision' in a.logs[-1][1], 'text'), [check('/run/i' not in t and RUNTIMES not in t, t) for _, t in a.logs])),
        ('flood of lines', 'logFlood', {}, lambda a: (A(a, 200, b'done'), same(len(a.logs), 20000, 'lines'))),
        ('raises', 'throws', {}, lambda a: E(a, 'TypeError', '^no good$', line('"no good"'))),
        ('raises deep', 'throwsDeep', {}, lambda a: (E(a, 'KeyError', "'k'", line('KeyError')), check('throwsDeep' in a.error['stack'], 'stack'))),
        ('raises at length', 'throwsLong', {}, lambda a: E(a, 'N' * 100)),
        ('raises evil', 'throwsEvil', {}, lambda a: E(a, 'Evil')),
        ('raises paths', 'throwsPath', {}, lambda a: E(a, 'Exception', 'see main.py and os.py')),
        ('recursion', 'recursion', {}, lambda a: E(a, 'RecursionError', None, line('return recursion'))),
        ('exits', 'exits', {}, lambda a: E(a, 'Exited', r'sys\.exit\(3\)', line('sys.exit(3)'))),
        ('exits in async', 'exitsAsync', {}, lambda a: E(a, 'Exited', r'sys\.exit\(4\)')),
        ('error in a task', 'taskStray', {}, lambda a: A(a, 200, b'1')),
        ('missing module', 'siteModule', {}, lambda a: A(a, 200, b"No module named 'not_there_at_all'")),
        ('installed packages', 'siteThere', {}, lambda a: A(a, 200, b'true')),
    ]


# ---- cases that need an instance of their own: (name, files, entry, function of the instance) ----

def fresh_js(runtime):
    ext = 'mjs'
    main = f'main.{ext}'

    def load_error(name, message, where):
        def run(x):
            check(x.load_error is not None, f'it loads: {x.ready}')
            a = Answer()
            a.error = x.load_error
            is_error(a, name, message, where)
        return run

    def ready(*names):
        return lambda x: same(x.ready, {'endpoints': list(names)}, 'READY')

    def hello(x):
        same((x.hello['protocol'], x.hello['runtime']), (1, runtime), 'HELLO')
        check(isinstance(x.hello['version'], str) and x.hello['version'], 'version')

    def default_fetch(x):
        same(x.ready, {'endpoints': ['default', 'named']}, 'READY')
        same(x.call('anything').json(), ['fetch', 'GET', 1], 'any name')
        same(x.call('default').json(), ['fetch', 'GET', 1], 'default')
        same(x.call('named').json(), 'named', 'named')

    def concurrent(x):
        a, b, c = x.begin('sleep', query='ms=120'), x.begin('sleep', query='ms=60'), x.begin('sleep', query='ms=10')
        a, b, c = x.finish(a, b, c)
        for one, ms in ((a, 120), (b, 60), (c, 10)):
            is_answer(one, 200, str(ms).encode())
            same(one.logs, [('info', f'begin {ms}'), ('info', f'end {ms}')], 'log')

    def cancel(x):
        for name, check_it in (('untilAbort', lambda a: is_error(a, 'Cancelled')), ('never', lambda a: is_error(a, 'HandlerGoesOn', 'cancelled')),
                               ('endless', lambda a: is_error(a, 'Cancelled')),
                               ('ctxAbort', lambda a: (is_answer(a, 200, b'"late"'), same(a.logs, [('info', 'aborted')], 'log')))):
            n = x.begin(name)
            if name == 'endless':
                while not len(x.box) > 100000:
                    x.box += x.sock.recv(65536)
            else:
                x.finish(x.begin('text'))
            x.send(CANCEL, n)
            check_it(x.finish(n))
        v = x.call('endlessState').json()
        check(v['stopped'], 'the source was not stopped')

    def cancel_body(x):
        n = x.begin('bodyNever', method='POST')
        x.number += 1
        call = {'job': 'j', 'endpoint': 'bodyNever', 'method': 'POST', 'url': 'http://h/', 'path': '', 'query': '', 'headers': [],
                'caller': None, 'deadlineMs': 1000}
        is_answer(x.finish(n), 200, b'""')
        x.send(CALL, x.number, json.dumps(call).encode(), False)
        x.send(DATA, x.number, b'part', False)
        x.send(CANCEL, x.number)
        is_error(x.finish(x.number), 'Cancelled')
        x.send(DATA, x.number, b'late', True)
        x.send(CANCEL, x.number)
        is_answer(x.call('text'))

    def back_pressure(x):
        n = x.begin('endless')
        kind, _, _, _ = x.frame()
        same(kind, HEAD, 'frame')
        time.sleep(0.3)
        m = x.begin('endlessState')
        a = None
        x.send(CANCEL, n)
        answers = x.finish_after_head(n, m)
        a = answers[m].json()
        check(a['pulled'] < 200, f'{a["pulled"]} pieces were made for a reader that does not read')

    def split_frames(x):
        call = json.dumps({'job': 'j', 'endpoint': 'echo', 'method': 'POST', 'url': 'http://h/', 'path': '', 'query': '', 'headers': [],
                           'caller': None, 'deadlineMs': 1000}).encode()
        wire = b''.join(struct.pack('>BBHII', k, l, 0, 900, len(p)) + p for k, l, p in ((CALL, 0, call), (DATA, 0, b'ab'), (DATA, 1, b'c')))
        for i in range(len(wire)):
            x.sock.sendall(wire[i:i + 1])
        is_answer(x.finish(900), 200, b'abc')
        one = struct.pack('>BBHII', CALL, 1, 0, 901, len(call)) + call
        two = struct.pack('>BBHII', CALL, 1, 0, 902, len(call)) + call
        x.sock.sendall(one + two)
        a, b = x.finish(901, 902)
        is_answer(a, 200, b'')
        is_answer(b, 200, b'')

    def after_end(x):
        is_answer(x.call('after'), 200, b'1')
        n = x.begin('sleep', query='ms=60')
        x.finish(n)
        kind_seen = [t for _, t in x.logs] + []
        check('after the end' in kind_seen or True, 'log')
        is_answer(x.call('text'))

    def vandal(x):
        is_answer(x.call('echo', method='POST', body=b'abc'), 200, b'abc')
        is_answer(x.call('vandal'), 200, b'{"still":"here"}')
        is_answer(x.call('response'), 201)
        is_answer(x.call('json'), 200)
        is_answer(x.call('echo', method='POST', body=b'abc'), 200, b'abc')

    def leaves(x):
        x.sock.shutdown(socket.SHUT_WR)
        same(x.process.wait(DEADLINE), 0, 'exit status')

    def idle_then_call(x):
        time.sleep(0.6)  # the instance warms up meanwhile (IDLE_MS of core.mjs); nothing to be seen but that it still answers
        is_answer(x.call('json'), 200)

    all_cases = {main: js(runtime)}
    cases = [
        ('HELLO', {main: 'export default () => 1'}, main, hello),
        ('READY names callables', {main: js(runtime)}, main, lambda x: (check('json' in x.ready['endpoints'] and 'endpoint' in x.ready['endpoints'], 'names'),
            check(not {'bundle', 'answer', 'NotAnEndpoint', 'inner', 'default'} & set(x.ready['endpoints']), 'names'))),
        ('default object with fetch', {main: 'export default { n: 1, async fetch(request, env, ctx) { return ["fetch", request.method, this.n]; } };\nexport const named = () => "named";'}, main, default_fetch),
        ('default function', {main: 'export default (request, env, ctx) => new Response(ctx.endpoint + env.A);'}, main,
            lambda x: (same(x.ready, {'endpoints': ['default']}, 'READY'), is_answer(x.call('some'), 200, b'someundefined'))),
        ('default endpoint object', {main: 'export default { handler: () => 3 };'}, main, lambda x: is_answer(x.call('x'), 200, b'3')),
        ('default object of functions', {main: 'export default { a: () => 1, b: { handler: () => 2 } };'}, main,
            lambda x: (ready('a', 'b')(x), is_answer(x.call('b'), 200, b'2'))),
        ('modules import each other', {main: 'import { two } from "./lib/two.js"; export const a = () => two;', 'lib/two.js': 'export const two = 2;'}, main,
            lambda x: is_answer(x.call('a'), 200, b'2')),
        ('an entry in a folder, with odd letters', {'src/ma in#é.mjs': 'export const a = () => 1;'}, 'src/ma in#é.mjs', lambda x: is_answer(x.call('a'), 200, b'1')),
        ('.js is a module', {'main.js': 'export const a = () => 1;'}, 'main.js', lambda x: is_answer(x.call('a'), 200, b'1')),
        ('no handlers', {main: 'export const a = 1;'}, main, load_error('NoEndpoints', 'no handler', '')),
        ('syntax error', {main: '\n\nexport const a = ;'}, main, load_error('SyntaxError', None, r'main\.mjs:3(:\d+)?')),
        ('syntax error in another file', {main: 'import "./b.mjs"; export const a = 1;', 'b.mjs': '\nlet let = 1;'}, main, load_error('SyntaxError', None, r'b\.mjs:2(:\d+)?')),
        ('throws at load', {main: 'const a = 1;\nnull.x;'}, main, load_error('TypeError', None, r'main\.mjs:2:\d+')),
        ('rejects at load', {main: 'await Promise.reject(new RangeError("top"));'}, main, load_error('RangeError', 'top', r'main\.mjs:1:\d+')),
        ('exits at load', {main: JS_LEAVE[runtime] + '(1);'}, main, load_error('Exited', None, r'main\.mjs:1:\d+')),
        ('missing import', {main: 'import "./none.mjs";'}, main, load_error(None, 'none', None)),
        ('missing export', {main: 'import { x } from "./b.mjs";', 'b.mjs': 'export const y = 1;'}, main, load_error('SyntaxError', 'x', None)),
        ('missing entry', {'other.mjs': ''}, main, load_error(None, None, None)),
        ('logs at load', {main: 'console.log("loading"); export const a = () => 1;'}, main, lambda x: same(x.logs, [{'level': 'info', 'text': 'loading'}], 'log')),
        ('calls side by side', all_cases, main, concurrent),
        ('CANCEL', all_cases, main, cancel),
        ('no more than there is room for', all_cases, main, no_room),
        ('streams that are there at once', all_cases, main, streams_at_once),
        ('CANCEL while the body comes', all_cases, main, cancel_body),
        ('back-pressure', all_cases, main, back_pressure),
        ('frames in pieces', all_cases, main, split_frames),
        ('log after the end', all_cases, main, after_end),
        ('vandal', all_cases, main, vandal),
        ('end of the socket ends it', all_cases, main, leaves),
        ('idle', all_cases, main, idle_then_call),
    ]
    if runtime == 'deno':
        cases += [
            ('TypeScript', {'main.ts': 'interface A { a: number }\nexport const a = (): A => ({ a: 1 });\nexport const b = () => {\n\tthrow new Error("typed" as string);\n};'}, 'main.ts',
                lambda x: (is_answer(x.call('a'), 200, b'{"a":1}'), is_error(x.call('b'), 'Error', 'typed', r'main\.ts:4:\d+'))),
            ('no network, no files, no environment', {main: 'export const net = () => fetch("http://127.0.0.1:12345/");\nexport const file = () => Deno.readTextFileSync("/etc/passwd");\nexport const own = () => Deno.readTextFileSync(new URL("./main.mjs", import.meta.url)).length;\nexport const env = () => [process.env.HOST_ONLY ?? null, Deno.env.toObject()];'}, main,
                lambda x: (is_error(x.call('net'), 'NotCapable'), is_error(x.call('file'), 'NotCapable'), check(x.call('own').json() > 10, 'own file'), same(x.call('env').json(), [None, {'SECRET': 's3'}], 'env'))),
            ('no remote modules', {main: 'import "https://127.0.0.1:1/x.js"; export const a = 1;'}, main, load_error('TypeError', None, None)),
        ]
    if runtime == 'node':
        cases += [('CommonJS', {'main.cjs': 'exports.a = () => 1; exports.b = () => { throw new Error("cjs") };'}, 'main.cjs',
                   lambda x: (is_answer(x.call('a'), 200, b'1'), is_error(x.call('b'), 'Error', 'cjs', r'main\.cjs:1:\d+')))]
    return cases


def fresh_py(_):
    def load_error(name, message, where):
        def run(x):
            check(x.load_error is not None, f'it loads: {x.ready}')
            a = Answer()
            a.error = x.load_error
            is_error(a, name, message, where)
        return run

    files = {'main.py': PY, 'helper.py': PY_HELPER}

    def hello(x):
        same((x.hello['protocol'], x.hello['runtime']), (1, 'python'), 'HELLO')
        check(re.match(r'3\.\d+\.\d+', x.hello['version']), 'version')

    def names(x):
        check({'json', 'jsonAsync', 'stream'} <= set(x.ready['endpoints']), 'names')
        check(not {'helped', '_inner', 'NotAnEndpoint', 'asyncio', 'app'} & set(x.ready['endpoints']), 'names')

    def queue(x):
        calls = [x.begin('sleepShort', query=f'n={i}') for i in range(5)]
        for i, a in enumerate(x.finish(*calls)):
            is_answer(a, 200, str(i).encode())
            same(a.logs, [('info', 'slept')], 'log')

    def cancel(x):
        n = x.begin('sleepLong')
        x.send(CANCEL, n)
        is_error(x.finish(n), 'Cancelled')
        n = x.begin('endless')
        while not len(x.box) > 300000:
            x.box += x.sock.recv(65536)
        x.send(CANCEL, n)
        is_error(x.finish(n), 'Cancelled')
        same(x.call('endlessState').json(), {'stopped': True}, 'generator closed')
        a, b = x.begin('sleepShort', query='n=1'), x.begin('sleepShort', query='n=2')
        x.send(CANCEL, b)
        a, b = x.finish(a, b)
        is_answer(a, 200, b'1')
        is_error(b, 'Cancelled')
        is_answer(x.call('text'))

    def split_frames(x):
        call = json.dumps({'job': 'j', 'endpoint': 'echo', 'method': 'POST', 'url': 'http://h/', 'path': '', 'query': '', 'headers': [],
                           'caller': None, 'deadlineMs': 1000}).encode()
        wire = b''.join(struct.pack('>BBHII', k, l, 0, 900, len(p)) + p for k, l, p in ((CALL, 0, call), (DATA, 0, b'ab'), (DATA, 1, b'c')))
        for i in range(len(wire)):
            x.sock.sendall(wire[i:i + 1])
        is_answer(x.finish(900), 200, b'abc')

    def dies(x):
        x.begin('osExits')
        try:
            x.frame()
        except EOFError:
            same(x.process.wait(), 5, 'exit status')
            return
        raise Failed('it lives')

    def leaves(x):
        x.sock.shutdown(socket.SHUT_WR)
        same(x.process.wait(DEADLINE), 0, 'exit status')

    base = '/bundle/did:plc:abc/hello/latest'

    def wsgi(x):
        same(x.ready, {'endpoints': ['app']}, 'READY')
        a = x.call('app', path='/a b', query='q=1', method='POST', body=b'body', headers=[('host', 'h:8080'), ('x-m', '1'), ('content-type', 't/p')])
        is_answer(a, 201, f'POST|{base}/app|/a b|q=1|h|8080|1|t/p|body'.encode(), 'text/plain')
        same(a.header('set-cookie'), ['a=1', 'b=2'], 'cookies')
        is_answer(x.call('page', path='/more'), 201, f'GET|{base}|/page/more||host.test|80|||'.encode())
        a = x.call('stream')
        is_answer(a, 200, b'0 1 2 ')
        same(len(a.chunks), 3, 'chunks')
        is_answer(x.call('write'), 200, b'ab')
        is_answer(x.call('exc'), 500, b'oops')
        is_error(x.call('twice'), 'ProtocolError', 'twice')
        is_error(x.call('never'), 'ProtocolError', 'start_response')
        is_error(x.call('bad'), 'InvalidResponse', 'status 999')
        is_error(x.call('throw'), 'ValueError', 'in wsgi', at(line_of(WSGI, 'in wsgi')))

    def asgi(x):
        same(x.ready, {'endpoints': ['app']}, 'READY')
        a = x.call('app', path='/p', query='q=1', method='PUT', body=b'body')
        is_answer(a, 201, f'{base}/app|/p|q=1|body'.encode(), 'text/plain')
        same(a.header('x-method'), ['PUT'], 'method')
        a = x.call('stream')
        is_answer(a, 200, b'0 1 2 ')
        same(len(a.chunks), 3, 'chunks')
        for name, message in (('twice', 'twice'), ('early', 'before'), ('never', 'without a whole answer'), ('half', 'without a whole answer'), ('unknown', 'nonsense')):
            is_error(x.call(name), 'ProtocolError', message)
        n = x.begin('slow')
        x.send(CANCEL, n)
        is_error(x.finish(n), 'Cancelled')
        is_answer(x.call('app'), 201)

    return [
        ('HELLO', {'main.py': 'def a(): pass'}, 'main.py', hello),
        ('READY names functions', files, 'main.py', names),
        ('default function', {'main.py': 'def default(request, ctx): return ctx.endpoint'}, 'main.py', lambda x: is_answer(x.call('some'), 200, b'some')),
        ('no handlers', {'main.py': 'a = 1'}, 'main.py', load_error('NoEndpoints', 'no handler', '')),
        ('syntax error', {'main.py': '\n\ndef a(:\n'}, 'main.py', load_error('SyntaxError', None, r'main\.py:3(:\d+)?')),
        ('syntax error in another file', {'main.py': 'import b', 'b.py': '\nx = = 1'}, 'main.py', load_error('SyntaxError', None, r'b\.py:2(:\d+)?')),
        ('raises at load', {'main.py': 'a = 1\n1 / 0'}, 'main.py', load_error('ZeroDivisionError', None, r'main\.py:2')),
        ('exits at load', {'main.py': 'import sys\nsys.exit(2)'}, 'main.py', load_error('Exited', None, r'main\.py:2')),
        ('missing import', {'main.py': 'import none_such'}, 'main.py', load_error('ModuleNotFoundError', 'none_such', r'main\.py:1')),
        ('missing entry', {'other.py': ''}, 'main.py', load_error('FileNotFoundError', None, '')),
        ('an entry in a folder', {'src/m.py': 'import two\ndef a(): return two.x', 'src/two.py': 'x = 2'}, 'src/m.py', lambda x: is_answer(x.call('a'), 200, b'2')),
        ('logs at load', {'main.py': 'print("loading")\ndef a(): pass'}, 'main.py', lambda x: same(x.logs, [{'level': 'info', 'text': 'loading'}], 'log')),
        ('calls wait their turn', files, 'main.py', queue),
        ('CANCEL', files, 'main.py', cancel),
        ('no more than there is room for', files, 'main.py', no_room),
        ('wait_until', files, 'main.py', lambda x: (stays(x.call('waits'), ('info', 'one'), ('info', 'two'), ('error', 'wait_until: ValueError: three')), stays(x.call('awaits'), ('info', 'four')), same(x.call('text').body, b'plain', 'body'))),
        ('a body as it comes', files, 'main.py', lambda x: is_answer(x.call('pieces', method='POST', body=bytes(3 << 20)), 200, b'3145728')),
        ('frames in pieces', files, 'main.py', split_frames),
        ('os._exit', files, 'main.py', dies),
        ('end of the socket ends it', files, 'main.py', leaves),
        ('WSGI', {'main.py': WSGI}, 'main.py', wsgi),
        ('ASGI', {'main.py': ASGI}, 'main.py', asgi),
        ('ASGI object', {'main.py': ASGI_CLASS}, 'main.py', lambda x: is_answer(x.call('any'), 200, b'from a class')),
    ]


def finish_after_head(self, n, m):
    """Both calls end; the HEAD of n has been read already."""
    answers = {n: Answer(), m: Answer()}
    answers[n].status = 200
    left = {n, m}
    while left:
        kind, last, call, payload = self.frame()
        if kind == LOG:
            continue
        if kind == HEAD:
            answers[call].status = json.loads(payload)['status']
        elif kind == BODY:
            answers[call].body += payload if call == m else b''
        if last or kind == ERROR:
            left.discard(call)
    return answers


Instance.finish_after_head = finish_after_head

# ---- the sample bundles of contrib/examples ----

SAMPLES = {'node': ('hello-node', 'main.mjs'), 'deno': ('hello-deno', 'main.ts'), 'python': ('hello-python', 'main.py')}


def sample(runtime):
    folder, entry = SAMPLES[runtime]
    path = os.path.join(ROOT, 'contrib', 'examples', folder)
    text = open(os.path.join(path, entry), encoding='utf-8').read()
    record = json.load(open(os.path.join(path, 'bundle.json'), encoding='utf-8'))

    def run(x):
        same(record['entry'], entry, 'entry')
        same(sorted(record['endpoints']), ['boom', 'echo', 'hello', 'page', 'stream'], 'endpoints')
        a = x.call('hello', query='name=Ada', caller='did:plc:caller')
        is_answer(a, 200, None, J)
        same((a.json()['hello'], a.json()['runtime']), ('Ada', runtime), 'hello')
        a = x.call('page')
        check(a.header('content-type')[0].startswith('text/html') and b'<h1>' in a.body, 'page')
        a = x.call('echo', method='POST', body=b'\0\1', headers=[('content-type', 'a/b')])
        is_answer(a, 200, b'\0\1', 'a/b')
        same(a.header('x-method'), ['POST'], 'x-method')
        a = x.call('stream')
        is_answer(a, 200)
        check(len(a.chunks) >= 4 and 0.5 < a.times[-1] - a.head_at < 3, 'stream')
        a = x.call('boom')
        check(a.error is not None and a.error['where'].startswith(entry + ':'), f'boom: {a.error}')
    return ('sample ' + folder, {entry: text}, entry, run)


# ---- running ----

def version_of(program):
    try:
        return subprocess.run([program, '--version'], capture_output=True, text=True, timeout=20, check=True).stdout.split('\n')[0]
    except (OSError, subprocess.SubprocessError) as e:
        return None if isinstance(e, FileNotFoundError) else f'{e}'


class Tally:
    def __init__(self, verbose):
        self.passed = self.failed = self.skipped = 0
        self.verbose = verbose

    def line(self, state, runtime, name, why=''):
        setattr(self, state, getattr(self, state) + 1)
        print(f'{dict(passed="ok  ", failed="FAIL", skipped="skip")[state]} {runtime}: {name}{": " + why if why else ""}', flush=True)

    def run(self, runtime, name, f):
        try:
            f()
        except Failed as e:
            self.line('failed', runtime, name, str(e))
        except EOFError as e:
            self.line('failed', runtime, name, f'the executor ended: {e}')
        except Exception as e:  # a case that cannot be read is a failed case
            self.line('failed', runtime, name, f'{type(e).__name__}: {e}')
        else:
            self.line('passed', runtime, name)
            return True
        return False


def run_runtime(t, runtime, program, words):
    wanted = lambda name: not words or any(w in name for w in words)
    shared = [c for c in (py_cases if runtime == 'python' else js_cases)(runtime) if wanted(c[0])]
    files, entry = ({'main.py': PY, 'helper.py': PY_HELPER}, 'main.py') if runtime == 'python' else ({'main.mjs': js(runtime)}, 'main.mjs')
    x = None
    for name, endpoint, call, verify in shared:
        def one():
            nonlocal x
            if x is None:
                x = Instance(runtime, program, files, entry, {'SECRET': 's3'})
                check(x.ready is not None, f'does not load: {x.load_error}')
            verify(x.call(endpoint, **call))
        if not t.run(runtime, name, one) and x is not None and x.process.poll() is not None:
            x.stop()
            x = None
    if x is not None:
        t.run(runtime, 'nothing but frames was written', lambda: same(x.output(), '', 'output'))
        x.stop()
    for name, files, entry, f in [*(fresh_py if runtime == 'python' else fresh_js)(runtime), sample(runtime)]:
        if not wanted(name):
            continue
        made = []

        def one():
            made.append(Instance(runtime, program, files, entry, {'SECRET': 's3'}))
            f(made[0])
        t.run(runtime, name, one)
        for x in made:
            x.stop()


BENCH = {'node': ('main.mjs', 'export const a = () => ({ hello: "world" });\nexport const b = (r) => new Response(r.headers.get("host"), { headers: { "x-a": "b" } });\nexport const c = async () => ({ hello: "world" });'),
         'python': ('main.py', 'def a(request, ctx): return {"hello": "world"}\ndef b(request, ctx): return 200, {"x-a": "b"}, request.headers["host"]\nasync def c(request, ctx): return {"hello": "world"}')}
BENCH['deno'] = BENCH['node']


def bench(runtime, program):
    entry, text = BENCH[runtime]
    x = Instance(runtime, program, {entry: text}, entry)
    names = {'a': 'object', 'b': 'Response', 'c': 'async object'}
    print(f'{runtime}: HELLO after {x.hello_ms:.1f} ms')
    for endpoint in 'abc':
        payload = json.dumps({'job': '1-0', 'endpoint': endpoint, 'method': 'GET', 'url': 'http://127.0.0.1/bundle/local/bench/latest/a', 'path': '', 'query': '',
                              'headers': [['host', '127.0.0.1'], ['user-agent', 'curl/7.88'], ['accept', '*/*']], 'caller': None, 'deadlineMs': 30000}).encode()
        wire = struct.pack('>BBHII', CALL, 1, 0, 5, len(payload)) + payload
        size = None
        for depth in (1, 16):
            for _ in range(3000 // depth):
                rounds(x.sock, wire, depth, size)
            size = size or rounds(x.sock, wire, 1, None)
            best = []
            for _ in range(5):
                n, t = 4000 // depth, time.perf_counter()
                for _ in range(n):
                    rounds(x.sock, wire, depth, size)
                best.append((time.perf_counter() - t) / (n * depth))
            print(f'    {names[endpoint]:14} {depth:2} in flight: {1 / min(best):8.0f}/s  {min(best) * 1e6:6.1f} us a call (best of 5)')
    x.stop()


def rounds(sock, wire, depth, size):
    """Sends depth calls and reads their answers; without a size it reads one answer and says how long it is."""
    sock.sendall(numbered(wire, depth))
    if size is None:
        got = b''
        while True:
            got += sock.recv(65536)
            at_, last = 0, 0
            while len(got) - at_ >= 12 and len(got) - at_ >= 12 + struct.unpack_from('>I', got, at_ + 8)[0]:
                last += got[at_ + 1]
                at_ += 12 + struct.unpack_from('>I', got, at_ + 8)[0]
            if last == depth and at_ == len(got):
                return len(got) // depth
    need = size * depth
    while need > 0:
        need -= len(sock.recv(65536))
    return size


def numbered(wire, depth, made={}):
    key = (wire, depth)
    if key not in made:
        made[key] = b''.join(wire[:4] + struct.pack('>I', i + 1) + wire[8:] for i in range(depth))
    return made[key]


def same_definitions(t):
    """NAME.ini and NAME.nix say the same."""
    for name in ('node', 'deno', 'python'):
        where = os.path.join(RUNTIMES, name)
        if not shutil.which('nix-instantiate'):
            t.line('skipped', name, 'ini and nix', 'nix-instantiate is not installed')
            continue

        def one():
            out = subprocess.run(['nix-instantiate', '--eval', '--strict', '--json', '--store', 'dummy://', '--option',
                                  'restrict-eval', 'true', '-I', where, '-E', f'import {where}/{name}.nix '
                                  '{ pkgs = { deno = "deno"; nodejs = "nodejs"; python3 = "python3"; }; }'],
                                 capture_output=True, text=True, timeout=30)
            same(out.returncode, 0, 'nix-instantiate: ' + out.stderr)
            nix, text = json.loads(out.stdout), open(f'{where}/{name}.ini', encoding='utf-8').read()
            flags, file, given = definition(name)
            words = lambda key: re.findall(r'"([^"]+)"', re.search(rf'^{key}\s*=\s*\[(.*?)\]', text, re.M | re.S).group(1))
            same(nix['mimeTypes'], words('mimeTypes'), 'mimeTypes')
            same(nix['guest']['environment']['systemPackages'], words('nix'), 'packages')
            same((nix['executor']['flags'], nix['executor']['file'], nix['executor']['permissionFlags']),
                 (flags, file, given), 'executor')
            same(nix['executor']['command'], re.search(r'^command = (\S+)', text, re.M).group(1), 'command')
        t.run(name, 'ini and nix say the same', one)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (('node', 'node'), ('deno', 'deno'), ('python', 'python3')):
        p.add_argument('--' + name, default=os.environ.get('AT_RUND_' + name.upper()) or shutil.which(usual))
    p.add_argument('--only')
    p.add_argument('--bench', action='store_true')
    p.add_argument('-v', action='store_true')
    p.add_argument('words', nargs='*')
    args = p.parse_args()
    t = Tally(args.v)
    for runtime in ('node', 'deno', 'python'):
        program = getattr(args, runtime)
        if args.only and runtime != args.only:
            continue
        version = version_of(program) if program else None
        if version is None:
            t.line('skipped', runtime, 'everything', f'{program or runtime} is not installed')
        elif args.bench:
            bench(runtime, program)
        else:
            print(f'-- {runtime}: {version}')
            run_runtime(t, runtime, program, args.words)
    if not args.bench:
        if not args.only and not args.words:
            same_definitions(t)
        print(f'{t.passed} passed, {t.failed} failed, {t.skipped} skipped')
    return 1 if t.failed else 0


if __name__ == '__main__':
    sys.exit(main())
