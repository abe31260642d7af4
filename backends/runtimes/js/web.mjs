/*
 * Request and Response that become real ones only when they must.
 *
 * Loading the fetch implementation takes node some 40 ms and deno 16, and a Request or a Response some 10 to 50 us in
 * node: more than all the rest of a warm call.  So the globals are replaced by classes that keep what they were given,
 * answer the common questions themselves, and pass everything else on to a real object made on the spot.
 * `instanceof`, subclasses, fetch(request) and new Request(request) work as before.
 */
import { makeCookies } from "./cookies.mjs";

const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, setPrototypeOf, entries } = Object;
const { isArray } = Array, { construct, get: reflectGet } = Reflect;
const { parse, stringify } = JSON;
const { isView } = ArrayBuffer;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/* Values the real Headers would take without changing them. */
const PLAIN_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const INSPECT = [Symbol.for("nodejs.util.inspect.custom"), Symbol.for("Deno.privateCustomInspect")];
const BODY_METHODS = ["arrayBuffer", "blob", "bytes", "formData", "json", "text", "clone", ...INSPECT];
const NO_BODY = new Set([204, 205, 304]);

/* A pair of name and value that needs no normalising, or null. */
const plainPair = (name, value) => {
	if (typeof value === "number")
		value = `${value}`;
	return typeof name === "string" && typeof value === "string" && TOKEN.test(name) && PLAIN_VALUE.test(value)
		? [name.toLowerCase(), value] : null;
};

/* The pairs of a Headers object, each cookie by itself. */
export const headerList = (headers) => {
	const list = [];
	let cookies = false;
	for (const [name, value] of headers) {
		cookies ||= name === "set-cookie";
		list[list.length] = [name, value];
	}
	if (!cookies || typeof headers.getSetCookie !== "function")
		return list;
	return [...list.filter((h) => h[0] !== "set-cookie"), ...headers.getSetCookie().map((v) => ["set-cookie", v])];
};

const plainHeaders = (h) => {
	if (h === undefined)
		return [];
	if (h === null || typeof h !== "object")
		return null;
	if (h[Symbol.toStringTag] === "Headers")
		return headerList(h);
	const list = [], pairs = isArray(h) ? h : getPrototypeOf(h) === Object.prototype ? entries(h) : null;
	if (pairs === null)
		return null;
	for (const p of pairs) {
		const pair = isArray(p) && p.length === 2 ? plainPair(p[0], p[1]) : null;
		if (pair === null)
			return null;
		/* The real one joins repeated names with a comma, all but this one. */
		if (pair[0] !== "set-cookie" && list.some((q) => q[0] === pair[0]))
			return null;
		list[list.length] = pair;
	}
	return list;
};

/* took(call, n): n bytes of the call's body were taken. */
export function makeWeb(at, took) {
	const real = {};
	const original = {};
	const cookies = makeCookies();
	for (const name of ["Request", "Response"])
		original[name] = getOwnPropertyDescriptor(globalThis, name);
	const realOf = (name) => real[name] ??= load(name);

	/* The getters of node put what they have loaded in their own place, which is ours by then. */
	const load = (name) => {
		const d = original[name], ours = getOwnPropertyDescriptor(globalThis, name);
		const value = d.get ? d.get.call(globalThis) : d.value;
		defineProperty(globalThis, name, ours);
		void globalThis.Headers; /* its objects have Headers: those learn about cookies now */
		/* Objects of subclasses are real ones, and say so by their chain. */
		setPrototypeOf((name === "Request" ? LazyRequest : LazyResponse).prototype, value.prototype);
		return value;
	};

	/* Passes the listed members on to the real object behind `this`. */
	const passOn = (Lazy, name, getters, methods) => {
		for (const g of getters)
			if (!getOwnPropertyDescriptor(Lazy.prototype, g))
				defineProperty(Lazy.prototype, g, { configurable: true, enumerable: true,
					get() { return reflectGet(realOf(name).prototype, g, unlazy(this)); } });
		for (const m of methods)
			if (!getOwnPropertyDescriptor(Lazy.prototype, m))
				defineProperty(Lazy.prototype, m, { configurable: true, writable: true,
					value(...args) {
						const target = unlazy(this), f = realOf(name).prototype[m];
						return typeof f === "function" ? f.apply(target, args) : target;
					} });
		defineProperty(Lazy.prototype, Symbol.toStringTag, { configurable: true, value: name });
		defineProperty(Lazy, "name", { configurable: true, value: name });
	};

	const isInstance = (Lazy, self, v, name, lazy) => {
		if (self !== Lazy)
			return Function.prototype[Symbol.hasInstance].call(self, v);
		if (v === null || typeof v !== "object")
			return false;
		return lazy(v) || (v[Symbol.toStringTag] === name && v instanceof realOf(name));
	};

	/* ---- the body of a request ---- */

	const bytesOf = (chunks) => {
		if (chunks === null)
			return new Uint8Array(0);
		if (chunks.length === 1)
			return chunks[0];
		let n = 0, o = 0;
		for (const c of chunks)
			n += c.length;
		const all = new Uint8Array(n);
		for (const c of chunks) {
			all.set(c, o);
			o += c.length;
		}
		return all;
	};

	const more = (call) => new Promise((resolve, reject) => {
		if (call.cancelled)
			reject(call.signal.reason);
		call.wake = () => (call.cancelled ? reject(call.signal.reason) : resolve());
	});

	/* The chunks that came, or null; the host is told that there is room for others. */
	const takeChunks = (call) => {
		const chunks = call.chunks;
		let n = 0;
		call.chunks = null;
		if (chunks === null || call.whole)
			return chunks;
		for (const c of chunks)
			n += c.length;
		took(call, n);
		return chunks;
	};

	const wholeBody = async (call) => {
		if (call.whole) {
			const all = bytesOf(call.chunks);
			call.chunks = null;
			return all;
		}
		const got = [];
		for (;;) {
			for (const c of takeChunks(call) ?? [])
				got[got.length] = c;
			if (call.whole && call.chunks === null)
				return bytesOf(got);
			if (call.chunks === null)
				await more(call);
		}
	};

	const bodyStream = (call) => new ReadableStream({
		type: "bytes",
		async pull(c) {
			while (call.chunks === null && !call.whole)
				await more(call);
			for (const chunk of takeChunks(call) ?? [])
				c.enqueue(chunk);
			if (call.whole) {
				c.close();
				c.byobRequest?.respond(0);
			}
		},
	});

	/* ---- Request ---- */

	let isLazyRequest, requestReal, makeRequest;

	class LazyRequest {
		#call = null;
		#real = null;
		#headers = null;
		#used = false;

		constructor(input, init, call) {
			if (call instanceof Token) {
				this.#call = call.call;
				return;
			}
			const R = realOf("Request");
			return construct(R, arguments.length < 2 ? [unlazy(input)] : [unlazy(input), init],
				new.target === LazyRequest ? R : new.target);
		}

		static {
			isLazyRequest = (v) => #call in v;
			requestReal = (v) => v.#real ??= v.#make();
			makeRequest = (call) => {
				token.call = call;
				return new LazyRequest(undefined, undefined, token);
			};
		}

		static [Symbol.hasInstance](v) {
			return isInstance(LazyRequest, this, v, "Request", isLazyRequest);
		}

		#make() {
			const call = this.#call, m = call.m, R = realOf("Request");
			const init = { method: m.method, headers: this.#headers ?? m.headers, signal: call.signal };
			if (this.#hasBody()) {
				init.body = this.#used ? "used" : call.whole ? bytesOf(call.chunks) : bodyStream(call);
				init.duplex = "half";
			}
			const r = new R(m.url, init);
			if (this.#used)
				r.arrayBuffer().catch(() => {});
			return r;
		}

		#hasBody() {
			const call = this.#call;
			return call.m.method !== "GET" && call.m.method !== "HEAD" &&
				(this.#used || !call.whole || call.chunks !== null);
		}

		get method() {
			return #call in this ? this.#call.m.method : reflectGet(realOf("Request").prototype, "method", this);
		}
		get url() {
			return #call in this ? this.#call.m.url : reflectGet(realOf("Request").prototype, "url", this);
		}
		get headers() {
			if (!(#call in this) || this.#real !== null)
				return reflectGet(realOf("Request").prototype, "headers", unlazy(this));
			return this.#headers ??= new Headers(this.#call.m.headers);
		}
		get signal() {
			return #call in this ? this.#call.signal : reflectGet(realOf("Request").prototype, "signal", this);
		}
		get bodyUsed() {
			if (!(#call in this) || this.#real !== null)
				return reflectGet(realOf("Request").prototype, "bodyUsed", unlazy(this));
			return this.#used;
		}

		/* Bytes of the body when no real object exists yet, or null: ask the real one. */
		#quick() {
			if (!(#call in this) || this.#real !== null)
				return null;
			if (!this.#hasBody())
				return Promise.resolve(new Uint8Array(0));
			if (this.#used)
				return Promise.reject(new TypeError("Body is unusable: it has been read already"));
			this.#used = true;
			return wholeBody(this.#call);
		}
		async text() {
			const bytes = this.#quick();
			return bytes === null ? realOf("Request").prototype.text.call(unlazy(this)) : utf8(await bytes);
		}
		async json() {
			const bytes = this.#quick();
			return bytes === null ? realOf("Request").prototype.json.call(unlazy(this)) : parse(utf8(await bytes));
		}
		async bytes() {
			return new Uint8Array(await this.arrayBuffer());
		}
		async arrayBuffer() {
			const quick = this.#quick();
			if (quick === null)
				return realOf("Request").prototype.arrayBuffer.call(unlazy(this));
			const b = await quick;
			return b.byteLength === b.buffer.byteLength ? b.buffer : b.slice().buffer;
		}
	}

	class Token { call = null; }
	const token = new Token();

	const utf8 = (b) => at.text(b, b[0] === 0xef && b[1] === 0xbb && b[2] === 0xbf ? 3 : 0, b.length);

	passOn(LazyRequest, "Request", ["destination", "referrer", "referrerPolicy", "mode", "credentials", "cache",
		"redirect", "integrity", "keepalive", "isReloadNavigation", "isHistoryNavigation", "duplex", "body"],
		BODY_METHODS);

	/* ---- Response ---- */

	let isLazyResponse, plainResponse, responseReal;

	class LazyResponse {
		#body;
		#stream; /* the body is one */
		#status;
		#headers; /* a list of pairs until somebody asks for Headers */
		#text;
		#real = null;

		constructor(body, init) {
			const plain = new.target === LazyResponse ? plainInit(body, init) : null;
			if (plain === null) {
				const R = realOf("Response");
				return construct(R, arguments.length < 2 ? (arguments.length < 1 ? [] : [body]) : [body, init],
					new.target === LazyResponse ? R : new.target);
			}
			this.#body = body ?? null;
			this.#stream = plain.stream;
			this.#status = plain.status;
			this.#headers = plain.headers;
			this.#text = plain.statusText;
		}

		static {
			isLazyResponse = (v) => #body in v;
			responseReal = (v) => v.#real ??= v.#make();
			/* What is to be sent when nobody has needed the real object, or null. */
			plainResponse = (v) => (!(#body in v) || v.#real !== null ? null
				: { status: v.#status, headers: v.#headers, body: v.#body, stream: v.#stream });
		}

		#make() {
			const r = new (realOf("Response"))(this.#body,
				{ status: this.#status, headers: this.#headers, statusText: this.#text });
			cookies.take(r.headers, this.#headers);
			return r;
		}

		static [Symbol.hasInstance](v) {
			return isInstance(LazyResponse, this, v, "Response", isLazyResponse);
		}
		static json(data, init) {
			const text = stringify(data);
			if (text === undefined || this !== LazyResponse || NO_BODY.has(init?.status))
				return realOf("Response").json(data, init);
			const plain = plainInit(text, init);
			if (plain === null)
				return realOf("Response").json(data, init);
			/* plainInit has added text/plain at the end when there was no type. */
			const last = plain.headers[plain.headers.length - 1];
			if (plain.typed)
				last[1] = "application/json";
			return new LazyResponse(text, plain);
		}
		static error() {
			return realOf("Response").error();
		}
		static redirect(url, status) {
			return arguments.length < 2 ? realOf("Response").redirect(url) : realOf("Response").redirect(url, status);
		}

		get status() {
			return #body in this ? this.#status : reflectGet(realOf("Response").prototype, "status", this);
		}
		get ok() {
			return this.status >= 200 && this.status <= 299;
		}
		get statusText() {
			return #body in this ? this.#text : reflectGet(realOf("Response").prototype, "statusText", this);
		}
		get headers() {
			if (!(#body in this) || this.#real !== null)
				return reflectGet(realOf("Response").prototype, "headers", unlazy(this));
			if (isArray(this.#headers))
				this.#headers = new Headers(this.#headers);
			return this.#headers;
		}
		get bodyUsed() {
			if (!(#body in this) || this.#real !== null || this.#stream)
				return reflectGet(realOf("Response").prototype, "bodyUsed", unlazy(this));
			return false;
		}
	}

	const simpleBody = (b) => b === null || b === undefined || typeof b === "string";
	const isBytes = (b) => isView(b) || b instanceof ArrayBuffer;
	/* The real one refuses a stream that somebody reads. */
	const isOpenStream = (b) => typeof b === "object" && b instanceof ReadableStream && !b.locked;

	/* Status and headers of a Response that needs no real one to be checked or sent; null: leave it to the real one. */
	const plainInit = (body, init) => {
		const stream = !simpleBody(body) && !isBytes(body);
		if (stream && !isOpenStream(body))
			return null;
		if (init === undefined || init === null)
			return { status: 200, statusText: "", stream, typed: typeof body === "string",
				headers: typeof body === "string" ? [["content-type", "text/plain;charset=UTF-8"]] : [] };
		if (typeof init !== "object")
			return null;
		const { status = 200, statusText = "" } = init;
		if (typeof status !== "number" || status % 1 !== 0 || status < 200 || status > 599 || statusText !== "")
			return null;
		if (NO_BODY.has(status) && body !== null && body !== undefined)
			return null;
		const headers = plainHeaders(init.headers);
		if (headers === null)
			return null;
		let typed = false;
		if (typeof body === "string" && !headers.some((h) => h[0] === "content-type")) {
			headers[headers.length] = ["content-type", "text/plain;charset=UTF-8"];
			typed = true;
		}
		return { status, statusText, headers, stream, typed };
	};

	passOn(LazyResponse, "Response", ["type", "url", "redirected", "body"], BODY_METHODS);

	/* ---- the globals ---- */

	const unlazy = (v) => {
		if (v === null || typeof v !== "object")
			return v;
		return isLazyRequest(v) ? requestReal(v) : isLazyResponse(v) ? responseReal(v) : v;
	};

	defineProperty(globalThis, "Request", { value: LazyRequest, writable: true, configurable: true });
	defineProperty(globalThis, "Response", { value: LazyResponse, writable: true, configurable: true });
	const realFetch = getOwnPropertyDescriptor(globalThis, "fetch");
	const callFetch = (...args) => (realFetch.get ? realFetch.get.call(globalThis) : realFetch.value)(...args);
	defineProperty(globalThis, "fetch", { writable: true, configurable: true, enumerable: true,
		value: function fetch(input, init) {
			return arguments.length < 2 ? callFetch(unlazy(input)) : callFetch(unlazy(input), unlazy(init));
		} });

	return {
		makeRequest,
		isLazyResponse: (v) => isLazyResponse(v),
		/* The body is text, bytes, a stream or null. */
		plainResponse(v) {
			const p = plainResponse(v);
			if (p !== null && p.body !== null && typeof p.body !== "string" && !p.stream)
				p.body = isView(p.body) ? new Uint8Array(p.body.buffer, p.body.byteOffset, p.body.byteLength)
					: new Uint8Array(p.body);
			return p;
		},
		unlazy,
		/* What a later call may need, loaded while nobody waits. */
		warm() {
			new Headers([["a", "b"]]).get("a");
			realOf("Request");
			realOf("Response");
			void globalThis.ReadableStream;
			new AbortController();
		},
	};
}
