/*
 * The deno executor: deno run [permissions] executor.mjs SOCKET.  See ../js/core.mjs.
 *
 * Deno's own socket is used, not node:net: loading that one takes longer than all of deno's start.
 * For the same reason the shared modules come as a script (../js/join.awk), which deno itself does not look at.
 */
const CORE = `${import.meta.dirname}/core.js`;
const { serve } = (0, eval)(`${Deno.readTextFileSync(CORE)}//# sourceURL=file://${encodeURI(CORE)}`);

const READ_BYTES = 64 * 1024, HIGH_WATER = 64 * 1024;

function main() {
	const leave = Deno.exit.bind(Deno);
	const path = Deno.args[0];
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true }), encoder = new TextEncoder();
	let socket, queue = [], writing = false, waiting = 0, drains = [];

	/* A write begins at once when none is under way, so it is on the wire before a handler goes on. */
	const pump = async (b) => {
		writing = true;
		try {
			for (;;) {
				for (let o = 0; o < b.length;) {
					const n = await socket.write(o === 0 ? b : b.subarray(o));
					o += n;
					waiting -= n;
				}
				if (waiting <= HIGH_WATER && drains.length > 0) {
					const list = drains;
					drains = [];
					for (const f of list)
						f();
				}
				if (queue.length === 0)
					break;
				b = queue.length === 1 ? queue[0] : join(queue);
				queue = [];
			}
		} catch {
			leave(0);
		}
		writing = false;
	};

	const join = (list) => {
		let n = 0, o = 0;
		for (const b of list)
			n += b.length;
		const all = new Uint8Array(n);
		for (const b of list) {
			all.set(b, o);
			o += b.length;
		}
		return all;
	};

	const timers = { setTimeout: Object.getOwnPropertyDescriptor(globalThis, "setTimeout"),
		clearTimeout: Object.getOwnPropertyDescriptor(globalThis, "clearTimeout") };
	const timer = (name) => (timers[name].get ? timers[name].get.call(globalThis) : timers[name].value);

	const write = (b) => {
		waiting += b.length;
		if (writing)
			queue[queue.length] = b;
		else
			pump(b);
		return waiting <= HIGH_WATER;
	};

	const { Console, inspectArgs } = Deno[Deno.internal] ?? {};

	const watchConsole = (hooks) => {
		const levels = ["debug", "info", "warn", "error"];
		const format = (args) => (inspectArgs ? inspectArgs(args, { colors: false })
			: args.map((a) => (typeof a === "string" ? a : Deno.inspect(a))).join(" "));
		at.format = format;
		if (Console) {
			const own = new Console((text, level) => hooks.log(levels[level] ?? "info", text));
			for (const name of Object.keys(own))
				if (typeof own[name] === "function")
					console[name] = own[name];
			return;
		}
		for (const [name, level] of [["log", "info"], ["info", "info"], ["debug", "debug"], ["warn", "warn"],
			["error", "error"], ["trace", "debug"], ["dir", "info"], ["table", "info"]])
			console[name] = (...args) => hooks.log(level, format(args));
	};

	/* The names the bundle was given are its whole environment; what the process has is the host's. */
	const setEnv = (env) => {
		const map = new Map(Object.entries(env));
		const shown = {
			get: (k) => map.get(String(k)),
			set: (k, v) => void map.set(String(k), String(v)),
			has: (k) => map.has(String(k)),
			delete: (k) => void map.delete(String(k)),
			toObject: () => Object.fromEntries(map),
		};
		Object.defineProperty(Deno, "env", { value: shown, configurable: true, enumerable: true, writable: true });
		/* node's process is costly to load, so it is dressed when somebody asks for it. */
		const d = Object.getOwnPropertyDescriptor(globalThis, "process");
		if (d === undefined)
			return;
		let dressed = null;
		Object.defineProperty(globalThis, "process", { configurable: true, enumerable: d.enumerable,
			get() {
				if (dressed === null) {
					dressed = d.get ? d.get.call(globalThis) : d.value;
					Object.defineProperty(dressed, "env", { value: { ...env }, configurable: true, writable: true });
					dressed.exit = exit("process.exit");
				}
				return dressed;
			},
			set(v) {
				dressed = v;
			} });
	};

	let exit = null;

	const start = async (hooks) => {
		exit = hooks.exit;
		Deno.exit = exit("Deno.exit");
		addEventListener("error", (ev) => {
			ev.preventDefault();
			hooks.stray(ev.error ?? ev.message, "uncaught");
		});
		addEventListener("unhandledrejection", (ev) => {
			ev.preventDefault();
			hooks.stray(ev.reason, "unhandled rejection");
		});
		watchConsole(hooks);
		try {
			socket = await Deno.connect({ transport: "unix", path });
		} catch {
			leave(1);
		}
		hooks.hello();
		const buffer = new Uint8Array(READ_BYTES);
		try {
			for (;;) {
				const n = await socket.read(buffer);
				if (n === null)
					break;
				hooks.feed(buffer, n);
			}
		} catch (e) {
			leave(1);
		}
		leave(0);
	};

	const at = {
		runtime: "deno",
		version: Deno.version.deno,
		ownDirs: [new URL("..", import.meta.url).pathname.slice(0, -1)],
		alloc: (n) => new Uint8Array(n),
		put: (b, text, o) => encoder.encodeInto(text, o === 0 ? b : b.subarray(o)).written,
		utf8: (text) => encoder.encode(text),
		text: (b, from, to) => decoder.decode(b.subarray(from, to)),
		cut(text, bytes) {
			const b = new Uint8Array(bytes);
			const { read } = encoder.encodeInto(text.slice(0, bytes), b);
			return text.slice(0, read);
		},
		write,
		backlog: () => waiting,
		drained: () => (waiting <= HIGH_WATER ? Promise.resolve() : new Promise((resolve) => { drains[drains.length] = resolve; })),
		format: null,
		later(f, ms) {
			const t = timer("setTimeout")(f, ms);
			return () => timer("clearTimeout")(t);
		},
		/* Timers take half as long to load as all of deno; V8 can wait by itself. */
		idle(f, ms) {
			let open = true;
			Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms).value.then(() => open && f());
			return () => { open = false; };
		},
		warm: () => void timer("setTimeout"),
		storage: async () => new (await import("node:async_hooks")).AsyncLocalStorage(),
		realpath(dir) {
			try {
				return Deno.realPathSync(dir);
			} catch {
				return dir;
			}
		},
		setEnv,
		load: (base, entry) => import(base + entry.split("/").map(encodeURIComponent).join("/")),
		/* Deno tells of a text that it cannot parse as a TypeError, with a picture of it. */
		explain(e) {
			const parse = /^(?:The module's source code could not be parsed|SyntaxError): ([^\n]*)/.exec(e?.message ?? "");
			return e instanceof TypeError && parse ? { name: "SyntaxError", message: parse[1], stack: "", where: e.message } : e;
		},
		start,
	};

	serve(at);
}

main();
