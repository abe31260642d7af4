// The yard for node and deno: where the inmate is let loose, and the doors that JavaScript itself can try.
import { connect as dial } from "node:net";
import {
	chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync,
	writeFileSync, writeSync,
} from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";

const TMP = process.env.TMPDIR ?? "/tmp";
const HERE = decodeURIComponent(new URL(".", import.meta.url).pathname).replace(/\/$/, "");
const query = (request) => Object.fromEntries(new URL(request.url).searchParams);
const number = (request) => Number(query(request).n);
const path = (request) => query(request).path.replace("{bundle}", HERE).replace("{entry}", "main.mjs");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const attempt = async (fn) => {
	try {
		return { status: 1, text: "OPEN: " + (await fn()) };
	} catch (e) {
		return { status: 0, text: "refused: " + (e.cause?.code ?? e.code ?? e.message) };
	}
};

const tool = () => {
	const to = TMP + "/inmate";
	if (!existsSync(to)) {
		copyFileSync(HERE + "/inmate", to);
		chmodSync(to, 0o755);
	}
	return to;
};

export const hello = () => "hello";

// One door of the C program.
export const inmate = async (request) => {
	const argv = (await request.json()).map((a) => a.replace("{bundle}", HERE));
	return attempt2(() => spawnSync(tool(), argv, { encoding: "utf8" }));
};
const attempt2 = async (fn) => {
	try {
		const p = fn();
		if (p.error || typeof p.status !== "number")
			throw p.error ?? new Error("no status");
		return { status: p.status, text: (p.stdout ?? "") + (p.stderr ?? "") };
	} catch (e) {
		return { status: 0, text: "refused to start it: " + (e.code ?? e.message) };
	}
};

export const read = (request) => attempt(() => {
	const p = path(request);
	return statSync(p).isDirectory() ? readdirSync(p).length : readFileSync(p).length;
});
export const write = (request) => attempt(() => writeFileSync(path(request), "", { flag: "a" }));

// Reached is who answers.
const talk = (where, say) => new Promise((resolve, reject) => {
	let data = "";
	const s = dial(where, () => s.write(say));
	s.setTimeout(5000, () => s.destroy(new Error("timeout")));
	s.on("data", (d) => (data = (data + d).slice(-400)));
	s.on("error", reject);
	s.on("close", () => data ? resolve(data.slice(-200)) : reject(new Error("nobody answers")));
});
export const exchange = (request) => attempt(() => {
	const { host, port, path: p = "/" } = query(request);
	return talk({ host, port: Number(port) }, `GET ${p} HTTP/1.0\r\nHost: x\r\n\r\n`);
});
export const connect = exchange;
export const abstract = (request) => attempt(() => new Promise((resolve, reject) => {
	const s = dial({ path: "\0" + query(request).socket }, () => resolve("connected"));
	s.on("error", reject);
}));

export const plant = (request) => {
	for (const fn of [() => symlinkSync(query(request).target, TMP + "/link"), () => spawnSync("mkfifo", [TMP + "/fifo"]),
		() => mkdirSync(TMP + "/dir", 0), () => symlinkSync(query(request).target, TMP + "/dir2")])
		try {
			fn();
		} catch { /* the next */ }
	return { status: 0, text: "planted" };
};

// Bombs, each small enough to hit the limit of the job and not of the machine.
export const flood = () => {
	const block = new TextEncoder().encode("flood ".repeat(10922) + "\n");
	for (let i = 0; i < 1 << 14; i++)
		for (let at = 0; at < block.length;)
			try {
				at += writeSync(1, block.subarray(at));
			} catch (e) {
				if (e.code !== "EAGAIN")
					throw e;
			}
	return "flooded";
};
export const huge = () => {
	let n = 0;
	return new Response(new ReadableStream({
		pull(c) {
			c.enqueue(new Uint8Array(1 << 20).fill(120));
			if (++n === 1 << 10)
				c.close();
		},
	}));
};
export const forks = async (request) => {
	const kids = [];
	try {
		return await attempt(async () => {
			for (let i = 0; i < number(request); i++) {
				const kid = spawn("sleep", ["30"], { stdio: "ignore" });
				kids.push(kid);
				await new Promise((resolve, reject) => kid.on("spawn", resolve).on("error", reject));
			}
			await pause(3000); // who counts from outside has this long
			return kids.length;
		});
	} finally {
		for (const kid of kids)
			kid.kill("SIGKILL");
	}
};
export const memory = async (request) => {
	const hold = [];
	for (let i = 0; i < number(request); i++) {
		hold.push(new Uint8Array(1 << 20).fill(i + 1));
		if (i % 32 === 0)
			await pause(0);
	}
	await pause(3000);
	return { status: 1, text: "OPEN: " + hold.length + " MiB" };
};
export const descriptors = async (request) => {
	const held = [];
	const r = await attempt(() => {
		for (let i = 0; i < number(request); i++)
			held.push(openSync("/dev/null"));
		return held.length;
	});
	held.forEach((fd) => closeSync(fd));
	return r;
};
export const disk = async (request) => {
	const names = Array.from({ length: number(request) / 8 }, (_, i) => `${TMP}/js-bomb.${i}`);
	const r = await attempt(() => {
		for (const n of names)
			writeFileSync(n, new Uint8Array(8 << 20));
		return names.length;
	});
	names.forEach((n) => rmSync(n, { force: true }));
	return r;
};
export const files = async (request) => {
	mkdirSync(TMP + "/js-many", { recursive: true });
	const r = await attempt(async () => {
		for (let i = 0; i < number(request); i++)
			closeSync(openSync(`${TMP}/js-many/${i}`, "w"));
		await pause(3000);
		return number(request);
	});
	rmSync(TMP + "/js-many", { recursive: true, force: true });
	return r;
};
export const cpu = (request) => {
	const used = () => { const u = process.cpuUsage(); return (u.user + u.system) / 1e6; };
	const end = used() + number(request);
	while (used() < end)
		;
	return { status: 1, text: "OPEN: " + used() + " s" };
};
export const late = async (request) => {
	process.on("SIGTERM", () => {});
	await pause(number(request) * 1000);
	return { status: 1, text: "OPEN: outlived its deadline" };
};
export const daemon = async (request) => {
	const r = await attempt2(() => spawnSync(tool(), ["daemon", query(request).mark], { stdio: "ignore", encoding: "utf8" }));
	return r.text.startsWith("refused") ? r : { status: 1, text: "left" };
};
