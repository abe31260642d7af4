/*
 * What the node and the deno executor share: frames (lib/frame.h), loading a bundle, calling a handler,
 * turning what it gives back into HEAD and BODY, and the log.
 *
 * A warm call is one read, one dispatch, one write.  Everything a handler may never look at (Request, Headers,
 * AbortSignal) is made when it is looked at; see web.mjs.  `at` is the platform: how to write, encode, wait and leave.
 */
import { headerList, makeWeb } from "./web.mjs";
import { makeReport } from "./report.mjs";

const HELLO = 1, READY = 2, HEAD = 3, BODY = 4, ERROR = 5, LOG = 6, MORE = 7, DONE = 8;
const LOAD = 16, CALL = 17, DATA = 18, CANCEL = 19, SECRETS = 20, CREDIT = 21;
const HEAD_BYTES = 12, FRAME_MAX = 256 * 1024, WINDOW = 1024 * 1024;
/* Flags of a frame: nothing follows for this call; and yet work after the answer goes on. */
const LAST = 1, STAYS = 2;
/* Small answers are encoded straight into the frame; a string may take three bytes a unit. */
const SMALL = 16 * 1024;
/* Turns of the microtask queue in which a stream that has something gives it. */
const AT_ONCE = 16;
/* Log lines that the host has not taken yet; more are counted, not kept, so a flood cannot fill the memory. */
const LOG_BACKLOG = 1024 * 1024, LINE_MAX = 8 * 1024;
/* A cancelled handler that has not ended by then is answered for, and the runner is told that it goes on. */
const CANCEL_GRACE_MS = 500;
/*
 * An instance that has been blank or idle this long warms up what a later call may need.  That keeps a core busy for longer
 * than deno's start takes, so it must not begin where calls come one after the other and others are being started.
 */
const IDLE_MS = 250;

const { parse, stringify } = JSON;
const { keys, create } = Object;
const { isView } = ArrayBuffer, { isArray } = Array;
const asString = String, now = Date.now;
const tagOf = Symbol.toStringTag, asyncIterator = Symbol.asyncIterator;
const LEVELS = { __proto__: null, debug: 1, info: 1, warn: 1, error: 1 };
/* cJSON on the far side takes neither NUL nor half a surrogate pair. */
const UNCLEAN = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const clean = (s) => s.replace(UNCLEAN, (c) => (c === "\0" ? "\u2400" : "\ufffd"));

/* The code asked to leave; thrown so that only the call ends. */
class Exited extends Error {
	constructor(what, code) {
		super(`the code called ${what}(${code ?? ""})`);
		this.name = "Exited";
	}
}

const CANCELLED = { name: "Cancelled", message: "the call was cancelled" };
const GOES_ON = { name: "HandlerGoesOn", message: "the call was cancelled; its handler goes on" };

const invalid = (message) => {
	const e = new Error(message);
	e.name = "InvalidResponse";
	return e;
};

export function serve(at) {
	const calls = new Map();
	let endpoints = null, fallback = null;
	let env = {}, secrets = {}, bundle = null;
	let dropped = 0, level = "info";
	let storage = null, storageComes = null; /* AsyncLocalStorage, from the first time two calls overlap */
	let stopIdle = null, warmed = false;

	/* ---- frames out ---- */

	const head = (b, o, kind, last, call, n) => {
		b[o] = kind;
		b[o + 1] = +last;
		b[o + 2] = b[o + 3] = 0;
		b[o + 4] = call >>> 24;
		b[o + 5] = call >>> 16;
		b[o + 6] = call >>> 8;
		b[o + 7] = call;
		b[o + 8] = n >>> 24;
		b[o + 9] = n >>> 16;
		b[o + 10] = n >>> 8;
		b[o + 11] = n;
	};

	const sendText = (kind, last, call, text) => {
		const b = at.alloc(HEAD_BYTES + text.length * 3);
		const n = at.put(b, text, HEAD_BYTES);
		head(b, 0, kind, last, call, n);
		return at.write(b.subarray(0, HEAD_BYTES + n));
	};

	/* bytes [from, to) as BODY frames in one buffer. */
	const sendBytes = (call, bytes, from, to, last) => {
		const frames = Math.max(1, Math.ceil((to - from) / FRAME_MAX));
		const b = at.alloc(to - from + frames * HEAD_BYTES);
		let o = 0, f = from;
		for (let i = 0; i < frames; i++) {
			const n = Math.min(FRAME_MAX, to - f);
			head(b, o, BODY, i === frames - 1 ? last : 0, call, n);
			b.set(bytes.subarray(f, f + n), o + HEAD_BYTES);
			o += HEAD_BYTES + n;
			f += n;
		}
		return at.write(b);
	};

	/* ---- the log ---- */

	const current = () => {
		const mine = storage?.getStore();
		if (mine !== undefined)
			return mine.over ? null : mine;
		return calls.size === 1 ? calls.values().next().value : null;
	};

	const cut = (s, bytes) => (s.length * 3 <= bytes ? s : at.cut(s, bytes));

	const logLine = (call, lv, line) => {
		if (at.backlog() > LOG_BACKLOG) {
			dropped++;
			return;
		}
		if (dropped > 0) {
			const n = dropped;
			dropped = 0;
			logLine(call, "warn", `${n} log lines were written faster than they could be sent, and are lost`);
		}
		if (line.length * 3 > LINE_MAX)
			line = at.cut(line, LINE_MAX - 3) + "\u2026";
		sendText(LOG, false, call === null ? 0 : call.id, `{"level":"${lv}","text":${stringify(clean(line))}}`);
	};

	const log = (lv, text, call = current()) => {
		if (text.endsWith("\n"))
			text = text.slice(0, -1);
		if (text.includes("/"))
			text = report.scrub(text);
		let from = 0;
		for (;;) {
			const to = text.indexOf("\n", from);
			logLine(call, lv, to < 0 ? (from === 0 ? text : text.slice(from)) : text.slice(from, to));
			if (to < 0)
				return;
			from = to + 1;
		}
	};

	/* ---- the end of a call ---- */

	const forget = (call) => {
		call.over = true;
		calls.delete(call.id);
		if (calls.size === 0 && !warmed)
			restUntilIdle();
	};

	const flushPartial = (call) => {
		if (call.partial !== null)
			call.partial();
	};

	/* The answer is whole, or never will be.  The flags of its last frame. */
	const end = (call) => {
		flushPartial(call);
		call.ended = true;
		if (call.timer !== null)
			call.timer();
		if (call.pending > 0 && !call.cancelled)
			return LAST | STAYS;
		forget(call);
		return LAST;
	};

	/* What waitUntil was given has come to its end. */
	const settled = (call) => {
		if (--call.pending > 0 || !call.ended || call.over)
			return;
		flushPartial(call);
		forget(call);
		const b = at.alloc(HEAD_BYTES + 8), view = new DataView(b.buffer, b.byteOffset);
		head(b, 0, DONE, LAST, call.id, 8);
		view.setUint32(HEAD_BYTES, call.works);
		view.setUint32(HEAD_BYTES + 4, call.failed);
		at.write(b);
	};

	const report = makeReport({ cut, clean });

	const fail = (call, error) => {
		if (call.ended)
			return;
		const r = report.describe(error);
		if (call.cancelled && r.name !== "Exited" && error !== GOES_ON)
			r.name = "Cancelled";
		sendText(ERROR, end(call), call.id, stringify(r));
	};

	/* ---- answers ---- */

	const JSON_HEAD = at.utf8('{"status":200,"headers":[["content-type","application/json"]]}');
	const BYTES_HEAD = [["content-type", "application/octet-stream"]];

	const headText = (status, headers) => {
		if (!(status >= 200 && status <= 599) || status % 1 !== 0)
			throw invalid(`status ${asString(status)} is not one of 200 to 599`);
		for (let i = 0; i < headers.length; i++) {
			const h = headers[i];
			if (!HEADER_NAME.test(h[0]))
				throw invalid(`header name ${stringify(asString(h[0]).slice(0, 60))} is not allowed`);
			if (!HEADER_VALUE.test(h[1]))
				throw invalid(`header ${h[0]} has a value with characters that are not allowed`);
		}
		return stringify({ status, headers });
	};

	/* HEAD and a BODY that is there already: one buffer, one write.  h is text or bytes, so is body. */
	const answerWhole = (call, h, body) => {
		if (body === null) {
			sendText(HEAD, end(call), call.id, h);
			return;
		}
		if (body.length > SMALL || h.length > SMALL)
			return answerLarge(call, typeof h === "string" ? h : at.text(h, 0, h.length),
				typeof body === "string" ? at.utf8(body) : body);
		const flags = end(call);
		const isText = typeof h === "string", bodyText = typeof body === "string";
		const b = at.alloc(2 * HEAD_BYTES + (isText ? h.length * 3 : h.length) +
			(bodyText ? body.length * 3 : body.length));
		let o = HEAD_BYTES, n;
		if (isText) {
			o += at.put(b, h, o);
		} else {
			b.set(h, o);
			o += h.length;
		}
		head(b, 0, HEAD, false, call.id, o - HEAD_BYTES);
		if (bodyText) {
			n = at.put(b, body, o + HEAD_BYTES);
		} else {
			n = body.length;
			b.set(body, o + HEAD_BYTES);
		}
		head(b, o, BODY, flags, call.id, n);
		at.write(b.subarray(0, o + HEAD_BYTES + n));
	};

	const headTooLong = (h) => {
		if (h.length * 3 > FRAME_MAX && at.utf8(h).length > FRAME_MAX)
			throw invalid("the headers are too long");
		return h;
	};

	const room = (call) => new Promise((resolve) => { call.room = resolve; });

	/* Not more than the host has room for; when last, the answer ends with them. */
	const sendAll = async (call, bytes, last) => {
		for (let from = 0; ; ) {
			while (call.credit === 0 && from < bytes.length && !call.cancelled)
				await room(call);
			if (call.ended)
				return;
			if (call.cancelled)
				throw CANCELLED;
			const to = Math.min(bytes.length, from + call.credit), whole = to === bytes.length;
			call.credit -= to - from;
			const flows = sendBytes(call.id, bytes, from, to, whole && last ? end(call) : 0);
			if (whole && (last || flows))
				return;
			if (!flows)
				await at.drained();
			if (whole)
				return;
			from = to;
		}
	};

	const answerLarge = (call, h, bytes) => {
		sendText(HEAD, false, call.id, headTooLong(h));
		return sendAll(call, bytes, true);
	};

	const asBytes = (chunk) => {
		if (typeof chunk === "string")
			return at.utf8(chunk);
		if (isView(chunk))
			return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
		if (chunk instanceof ArrayBuffer)
			return new Uint8Array(chunk);
		throw invalid(`a stream gave ${chunk === null ? "null" : typeof chunk}, not bytes or a string`);
	};

	/* The piece is copied: its owner may write over it. */
	const packHeadWith = (call, h, bytes) => {
		const b = at.alloc(2 * HEAD_BYTES + h.length * 3 + bytes.length);
		const o = HEAD_BYTES + at.put(b, h, HEAD_BYTES);
		head(b, 0, HEAD, 0, call.id, o - HEAD_BYTES);
		head(b, o, BODY, 0, call.id, bytes.length);
		b.set(bytes, o + HEAD_BYTES);
		call.credit -= bytes.length;
		return { frames: b.subarray(0, o + HEAD_BYTES + bytes.length), body: o };
	};

	/*
	 * next() gives {done, value}; stop() frees the source when nobody wants more.  A piece that is there already goes out
	 * with the head, in one write: the host has one thing to do then, not two.  If none comes at once, the head goes alone.
	 * Of a queue (what it has it has made) both are held a little longer: if its end is there, too, it is a whole answer.
	 */
	const answerStream = async (call, h, next, stop, queue) => {
		let open = true, held = true, first = null;
		const release = () => {
			if (held && !call.ended && first !== null)
				at.write(first.frames);
			else if (held && !call.ended)
				sendText(HEAD, false, call.id, h);
			held = false;
		};
		const endStream = () => {
			if (!held) {
				sendBytes(call.id, new Uint8Array(0), 0, 0, end(call));
			} else if (first === null) {
				answerWhole(call, h, null);
			} else {
				first.frames[first.body + 1] = end(call);
				at.write(first.frames);
			}
			held = false;
		};
		headTooLong(h);
		call.stop = stop;
		(async () => {
			for (let i = 0; i < AT_ONCE && held; i++)
				await null;
			release();
		})();
		try {
			for (;;) {
				const { done, value } = await next();
				if (call.ended)
					break;
				if (call.cancelled) /* a source that was stopped says that it is done */
					throw CANCELLED;
				if (done) {
					open = false;
					endStream();
					return;
				}
				const bytes = asBytes(value);
				if (held && first === null && bytes.length > 0 && bytes.length <= SMALL && h.length <= SMALL) {
					first = packHeadWith(call, h, bytes);
					if (!queue)
						release();
				} else if (bytes.length > 0) {
					release();
					await sendAll(call, bytes, false);
				}
				if (call.ended)
					break;
			}
		} finally {
			if (open)
				stop();
		}
	};

	const stopQuietly = (f) => () => {
		try {
			f()?.then?.(undefined, () => {});
		} catch {
			/* the source has failed already */
		}
	};

	const answerReadable = (call, h, stream) => {
		const reader = stream.getReader();
		return answerStream(call, h, () => reader.read(), stopQuietly(() => reader.cancel()), true);
	};

	const answerIterable = (call, h, it) =>
		answerStream(call, h, () => it.next(), stopQuietly(() => it.return?.()), false);

	const answerResponse = (call, r) => {
		const plain = web.plainResponse(r);
		if (plain !== null) {
			const h = headText(plain.status, isArray(plain.headers) ? plain.headers : headerList(plain.headers));
			return plain.stream ? answerReadable(call, h, plain.body) : answerWhole(call, h, plain.body);
		}
		r = web.unlazy(r);
		if (r.bodyUsed)
			throw invalid("the body of the Response has been read already");
		const h = headText(r.status, headerList(r.headers));
		return r.body === null ? answerWhole(call, h, null) : answerReadable(call, h, r.body);
	};
	const answerObject = (call, v) => {
		if (web.isLazyResponse(v) || v[tagOf] === "Response")
			return answerResponse(call, v);
		if (isView(v) || v instanceof ArrayBuffer)
			return answerWhole(call, headText(200, BYTES_HEAD), asBytes(v));
		if (v[tagOf] === "ReadableStream")
			return answerReadable(call, headText(200, BYTES_HEAD), v);
		if (v[tagOf] === "Blob" || v[tagOf] === "File")
			return answerReadable(call, headText(200, v.type === "" ? BYTES_HEAD : [["content-type", v.type]]),
				v.stream());
		if (typeof v[asyncIterator] === "function")
			return answerIterable(call, headText(200, BYTES_HEAD), v[asyncIterator]());
		return answerJson(call, v);
	};

	const answerJson = (call, v) => {
		const text = stringify(v);
		if (text === undefined)
			throw invalid(`the handler gave back a ${typeof v}`);
		return answerWhole(call, JSON_HEAD, text);
	};

	const answer = (call, v) => {
		if (call.ended)
			return;
		try {
			let wait;
			if (v === undefined || v === null)
				answerWhole(call, '{"status":204,"headers":[]}', null);
			else if (typeof v === "object")
				wait = answerObject(call, v);
			else
				wait = answerJson(call, v);
			if (wait !== undefined)
				wait.catch((e) => fail(call, e));
		} catch (e) {
			fail(call, e);
		}
	};

	/* ---- calls ---- */

	/* The host may send as much of a body again as was taken of it. */
	const took = (call, n) => {
		call.taken += n;
		if (call.whole || call.taken < WINDOW / 2)
			return;
		const b = at.alloc(HEAD_BYTES + 4);
		head(b, 0, MORE, 0, call.id, 4);
		new DataView(b.buffer, b.byteOffset).setUint32(HEAD_BYTES, call.taken);
		call.taken = 0;
		at.write(b);
	};

	const web = makeWeb(at, took);

	class Call {
		constructor(id, m, whole) {
			this.id = id;
			this.m = m;
			this.ended = this.over = this.cancelled = false;
			this.pending = 0; /* promises of waitUntil */
			this.works = this.failed = 0; /* how many there were, and those that were rejected */
			this.credit = WINDOW; /* what may be sent of the answer */
			this.taken = 0; /* bytes of the request's body that the host was not told of */
			this.room = null; /* who waits for credit */
			this.until = now() + m.deadlineMs;
			this.chunks = null; /* of the request's body */
			this.whole = whole;
			this.wake = null; /* who waits for more of it */
			this.controller = this.timer = this.stop = this.partial = null;
		}
		get signal() {
			if (this.controller === null) {
				this.controller = new AbortController();
				if (this.cancelled)
					this.controller.abort();
			}
			return this.controller.signal;
		}
	}

	class Context {
		#call;
		constructor(call) {
			this.#call = call;
		}
		get env() { return env; }
		get job() { return this.#call.m.job; }
		get bundle() { return bundle; }
		get endpoint() { return this.#call.m.endpoint; }
		get path() { return this.#call.m.path; }
		get caller() { return this.#call.m.caller ?? null; }
		/* For calls that the handler makes: the trace it runs in (W3C Trace Context), null when there is none. */
		get traceparent() {
			const list = this.#call.m.headers;
			for (let i = 0; i < list.length; i++)
				if (list[i][0] === "traceparent")
					return list[i][1];
			return null;
		}
		/* Milliseconds since 1970; remaining() is what is left of them. */
		get deadline() { return this.#call.until; }
		remaining() { return Math.max(0, this.#call.until - now()); }
		get signal() { return this.#call.signal; }
		log(...args) {
			const lv = args.length > 1 && typeof args[0] === "string" && args[0] in LEVELS ? args.shift() : "info";
			log(lv, at.format(args), this.#call.over ? null : this.#call);
		}
		/* Work after the answer, which is not held up by it: until the deadline, when its process ends. */
		waitUntil(promise) {
			const call = this.#call;
			if (call.over)
				throw new TypeError("waitUntil: the call has ended");
			call.pending++;
			call.works++;
			Promise.resolve(promise)
				.catch((e) => {
					call.failed++;
					log("error", `waitUntil: ${report.line(e)}`, call.over ? null : call);
				})
				.then(() => settled(call));
		}
		passThroughOnException() {}
	}

	const invoke = (call, h) => {
		let r;
		try {
			r = h.fn.call(h.self, web.makeRequest(call), env, new Context(call));
			if (r !== null && typeof r === "object" && typeof r.then === "function") {
				r.then((v) => answer(call, v), (e) => fail(call, e));
				return;
			}
		} catch (e) {
			fail(call, e);
			return;
		}
		answer(call, r);
	};

	const begin = (id, payload, whole) => {
		const call = new Call(id, parse(payload), whole);
		const h = endpoints === null ? null : endpoints.get(call.m.endpoint) ?? fallback;
		calls.set(id, call);
		beBusy();
		if (h === null) {
			fail(call, { name: "EndpointNotFound", message: `the bundle has no endpoint '${call.m.endpoint}'` });
			return;
		}
		/* Telling calls apart costs something, so it begins with the second one in flight. */
		if (storage !== null)
			storage.run(call, invoke, call, h);
		else if (calls.size === 1)
			invoke(call, h);
		else
			(storageComes ??= at.storage().then((s) => { storage = s; }))
				.then(() => call.ended || storage.run(call, invoke, call, h));
	};

	const wake = (call) => {
		const f = call.wake;
		call.wake = null;
		if (f !== null)
			f();
	};

	const data = (call, bytes, last) => {
		if (bytes.length > 0)
			(call.chunks ??= [])[call.chunks.length] = new Uint8Array(bytes);
		if (last)
			call.whole = true;
		wake(call);
	};

	const cancel = (call) => {
		if (call.cancelled)
			return;
		call.cancelled = true;
		wake(call);
		call.room?.();
		call.controller?.abort();
		if (call.stop !== null)
			call.stop();
		if (!call.ended) /* the host waits for what is left of waitUntil, but not for long */
			call.timer = at.later(() => fail(call, GOES_ON), CANCEL_GRACE_MS);
	};

	/* ---- loading ---- */

	const isClass = (f) => /^class\b/.test(Function.prototype.toString.call(f));

	const callable = (v) => {
		if (typeof v === "function")
			return isClass(v) ? null : { fn: v, self: undefined };
		if (v === null || typeof v !== "object")
			return null;
		for (const name of ["fetch", "handler"])
			if (typeof v[name] === "function")
				return { fn: v[name], self: v };
		return null;
	};

	const collect = (ns) => {
		const found = new Map(), main = ns.default;
		fallback = callable(main);
		if (fallback !== null)
			found.set("default", fallback);
		/* module.exports = { a() {} } and export default { a() {} } */
		const inner = fallback === null && main !== null && typeof main === "object" ? main : create(null);
		for (const from of [ns, inner])
			for (const name of keys(from)) {
				const h = name === "default" || found.has(name) ? null : callable(from[name]);
				if (h !== null)
					found.set(name, h);
			}
		return found;
	};

	const load = async (m) => {
		bundle = m.bundle ?? null;
		/* Secrets are the handler's alone: not in the environment of the process, which its children inherit. */
		env = { ...m.env, ...secrets };
		report.strip(m.dir, at.realpath(m.dir), at.ownDirs);
		try {
			at.setEnv({ ...m.env });
			const ns = await at.load(report.base(), m.entry);
			endpoints = collect(ns);
			const names = [...endpoints.keys()].filter((n) => n.length <= 128).slice(0, 500).map(clean);
			if (names.length === 0)
				throw Object.assign(new Error("the bundle exports no handler"), { name: "NoEndpoints" });
			sendText(READY, false, 0, stringify({ endpoints: names }));
		} catch (e) {
			sendText(ERROR, true, 0, stringify(report.describe(await at.explain(e, report.base(), m.entry))));
		}
		restUntilIdle();
	};

	/* ---- frames in ---- */

	const take = (kind, last, id, bytes, from, to) => {
		if (kind === CALL) {
			begin(id, at.text(bytes, from, to), last);
		} else if (kind === LOAD) {
			beBusy();
			load(parse(at.text(bytes, from, to)));
		} else if (kind === SECRETS) {
			secrets = parse(at.text(bytes, from, to));
		} else {
			const call = calls.get(id);
			if (call === undefined)
				return; /* it ended while this was on its way */
			if (kind === DATA)
				data(call, bytes.subarray(from, to), last);
			else if (kind === CANCEL)
				cancel(call);
			else if (kind === CREDIT && to - from === 4)
				credit(call, number(bytes, from));
		}
	};

	const number = (b, o) => b[o] * 0x1000000 + (b[o + 1] << 16 | b[o + 2] << 8 | b[o + 3]);

	const credit = (call, n) => {
		const f = call.room;
		call.credit += n;
		call.room = null;
		f?.();
	};

	let rest = null, restLen = 0; /* a frame that is not all there yet */

	const keep = (bytes, from, to) => {
		const n = to - from;
		if (rest === null || rest.length < restLen + n) {
			const bigger = new Uint8Array(Math.max(restLen + n, FRAME_MAX + HEAD_BYTES));
			if (rest !== null)
				bigger.set(rest.subarray(0, restLen));
			rest = bigger;
		}
		rest.set(bytes.subarray(from, to), restLen);
		restLen += n;
	};

	/* Serves every whole frame of bytes [0, n); returns where the first incomplete one begins. */
	const takeAll = (bytes, n) => {
		let o = 0;
		while (n - o >= HEAD_BYTES) {
			const length = number(bytes, o + 8);
			if (n - o - HEAD_BYTES < length)
				break;
			const id = number(bytes, o + 4);
			const from = o + HEAD_BYTES;
			o = from + length;
			take(bytes[from - HEAD_BYTES], bytes[from - HEAD_BYTES + 1] === 1, id, bytes, from, o);
		}
		return o;
	};

	const feed = (bytes, n) => {
		if (restLen === 0) {
			const o = takeAll(bytes, n);
			if (o < n)
				keep(bytes, o, n);
			return;
		}
		keep(bytes, 0, n);
		const o = takeAll(rest, restLen);
		if (o > 0) {
			rest.copyWithin(0, o, restLen);
			restLen -= o;
		}
	};

	/* ---- life ---- */

	const restUntilIdle = () => {
		if (warmed || stopIdle !== null)
			return;
		stopIdle = at.idle(() => {
			stopIdle = null;
			warmed = true;
			web.warm();
			at.warm();
		}, IDLE_MS);
	};

	const beBusy = () => {
		if (stopIdle !== null) {
			stopIdle();
			stopIdle = null;
		}
	};

	/* Errors that no handler caught: they belong to the call if there is only one it can be. */
	const stray = (error, what) => {
		const call = current();
		if (call !== null && !call.ended)
			fail(call, error);
		else
			log("error", `${what}: ${report.line(error)}`, call);
	};

	at.start({
		feed,
		stray,
		log,
		exit: (what) => (code) => { throw new Exited(what, code); },
		getLevel: () => level,
		withLevel(lv, f, self, args) {
			const was = level;
			level = lv;
			try {
				return f.apply(self, args);
			} finally {
				level = was;
			}
		},
		/* Text without an end of line is held back until its line, or the call, ends. */
		hold(flush) {
			const call = current();
			if (call !== null)
				call.partial = flush;
		},
		hello() {
			sendText(HELLO, false, 0,
				`{"protocol":1,"runtime":${stringify(at.runtime)},"version":${stringify(at.version)}}`);
			restUntilIdle();
		},
	});
}
