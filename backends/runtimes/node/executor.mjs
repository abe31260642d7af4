/*
 * The node executor: node executor.mjs SOCKET.  Works from node 18 on.  See ../js/core.mjs.
 */
import net from "node:net";
import { Writable } from "node:stream";
import { realpathSync } from "node:fs";
import { format } from "node:util";
import { serve } from "../js/core.mjs";

const READ_BYTES = 64 * 1024, PARTIAL_MAX = 8 * 1024;

/* What every program may expect; the rest of the environment is the host's. */
const KEPT_ENV = ["PATH", "HOME", "TMPDIR", "LANG"];

const urlOf = (base, entry) => base + entry.split("/").map(encodeURIComponent).join("/");

function main() {
	const leave = process.exit.bind(process);
	const { allocUnsafe } = Buffer, { setTimeout, clearTimeout } = globalThis;
	const after = (f, ms) => {
		const t = setTimeout(f, ms);
		return () => clearTimeout(t);
	};
	const path = process.argv.pop();
	let socket;

	/* process.stdout and stderr are made when first looked at; console.* writes to them. */
	const stream = (name, level, hooks) => {
		let made = null, partial = "";
		const flush = () => {
			const text = partial;
			partial = "";
			if (text !== "")
				hooks.log(level(), text);
		};
		const write = (text) => {
			const end = text.lastIndexOf("\n");
			if (end >= 0) {
				hooks.log(level(), partial + text.slice(0, end + 1));
				partial = text.slice(end + 1);
			} else {
				partial += text;
			}
			partial = partial.slice(0, PARTIAL_MAX + 1);
			if (partial !== "")
				hooks.hold(flush);
		};
		const make = () => {
			const w = new Writable({ decodeStrings: false,
				write(chunk, encoding, done) {
					write(typeof chunk === "string" ? chunk : chunk.toString("utf8"));
					done();
				} });
			/* What programs ask of a standard stream. */
			return Object.assign(w, { fd: name === "stdout" ? 1 : 2, isTTY: false, _type: "pipe",
				destroySoon() {}, _destroy(e, done) { done(); } });
		};
		Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => (made ??= make()) });
	};

	const watchConsole = (hooks) => {
		for (const [method, level] of [["debug", "debug"], ["warn", "warn"], ["trace", "debug"], ["error", "error"]]) {
			const f = console[method];
			console[method] = (...args) => hooks.withLevel(level, f, console, args);
		}
		stream("stdout", () => (hooks.getLevel() === "debug" ? "debug" : "info"), hooks);
		stream("stderr", () => (hooks.getLevel() === "info" ? "error" : hooks.getLevel()), hooks);
	};

	const start = (hooks) => {
		process.exit = hooks.exit("process.exit");
		process.on("uncaughtException", (e) => hooks.stray(e, "uncaught"));
		process.on("unhandledRejection", (e) => hooks.stray(e, "unhandled rejection"));
		watchConsole(hooks);
		socket = net.connect({ path, onread: { buffer: Buffer.allocUnsafe(READ_BYTES), callback(n, b) {
			hooks.feed(b, n);
			return true;
		} } }, hooks.hello);
		socket.on("error", () => leave(1));
		socket.on("close", () => leave(0));
	};

	serve({
		runtime: "node",
		version: process.version,
		ownDirs: [new URL("..", import.meta.url).pathname.slice(0, -1)],
		alloc: (n) => allocUnsafe(n),
		put: (b, text, o) => b.utf8Write(text, o),
		utf8: (text) => Buffer.from(text, "utf8"),
		text: (b, from, to) => (b instanceof Buffer ? b : Buffer.from(b.buffer, b.byteOffset, b.byteLength))
			.utf8Slice(from, to),
		/* The longest start of the text that fits, whole characters only. */
		cut(text, bytes) {
			const b = Buffer.from(text.slice(0, bytes), "utf8");
			let n = Math.min(bytes, b.length);
			while (n < b.length && (b[n] & 0xc0) === 0x80)
				n--;
			return b.utf8Slice(0, n);
		},
		write: (b) => socket.write(b),
		backlog: () => socket.writableLength,
		drained: () => new Promise((resolve) => socket.once("drain", resolve)),
		later: after,
		idle: after,
		warm() {},
		format: (args) => format(...args),
		storage: async () => new (await import("node:async_hooks")).AsyncLocalStorage(),
		realpath(dir) {
			try {
				return realpathSync(dir);
			} catch {
				return dir;
			}
		},
		setEnv(env) {
			for (const name of Object.keys(process.env))
				if (!KEPT_ENV.includes(name))
					delete process.env[name];
			Object.assign(process.env, env);
		},
		load: (base, entry) => import(urlOf(base, entry)),
		explain,
		start,
	});
}

/*
 * A syntax error of a module does not say where it stands; only node's own last words do.  So they are asked for:
 * a second node links the same modules, which fails before any of their code runs.
 */
async function explain(e, base, entry) {
	if (!(e instanceof SyntaxError) || String(e.stack).includes("file://"))
		return e;
	const { execFile } = await import("node:child_process");
	const code = `import ${JSON.stringify(urlOf(base, entry))}`;
	const args = ["--no-warnings", "--input-type=module", "-e", code];
	const words = await new Promise((resolve) =>
		execFile(process.execPath, args, { timeout: 5000, env: {} }, (_, out, err) => resolve(err)));
	e.where = words.split("\n").find((l) => /:\d+$/.test(l));
	return e;
}

main();
