// The doors that JavaScript itself can try, for node and for deno.
import { createConnection } from "node:net";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";

const attempt = async (fn) => {
	try {
		return { status: 1, text: "OPEN: " + (await fn()) };
	} catch (e) {
		return { status: 0, text: "refused: " + (e.code ?? e.message) };
	}
};
const query = (request) => Object.fromEntries(new URL(request.url).searchParams);

export const hello = () => "hello";
export const read = (request) => attempt(() => {
	const { path } = query(request);
	return statSync(path).isDirectory() ? readdirSync(path).length : readFileSync(path).length;
});
export const write = (request) => attempt(() => {
	const here = decodeURIComponent(new URL(".", import.meta.url).pathname).replace(/\/$/, "");
	return writeFileSync(query(request).path.replace("{bundle}", here), "x", { flag: "a" });
});
export const connect = (request) => attempt(() => new Promise((resolve, reject) => {
	const { host, port } = query(request);
	const s = createConnection({ host, port: Number(port) }, () => {
		s.destroy();
		resolve("connected");
	});
	s.setTimeout(2000, () => s.destroy(new Error("timeout")));
	s.on("error", reject);
}));
export const fetched = (request) => attempt(async () => (await fetch(query(request).url)).status);
// Allowed inside a wall, and then inside of it too: what it starts sees no more than it does.
export const child = (request) => attempt(() => {
	const r = spawnSync("/usr/bin/cat", [query(request).path]);
	if (r.status !== 0)
		throw new Error(String(r.stderr ?? r.error).trim());
	return r.stdout.length;
});
export function grow() {
	const hold = [];
	for (let i = 0; i < 700; i++)
		hold.push(new Uint8Array(1 << 20).fill(i + 1));
	return "OPEN: " + hold.length;
}
export function spin() {
	for (;;)
		;
}
