/*
 * Errors of a bundle, told to its author: name, message, place and stack in the bundle's own files.  Paths of the
 * host never leave: only frames of the bundle are kept, and known directories are cut out of messages.
 */
const NAME_MAX = 100, MESSAGE_MAX = 4000, STACK_MAX = 8000;
const FRAME = /^\s+at /;
const HOMES = /(?<![\w./-])(?:file:\/\/)?\/(?:home|root|Users)(?:\/[^\s'"`()<>:,]*)?/g;

const fileUrl = (path) => {
	const u = new URL("file:///");
	u.pathname = path.replaceAll("%", "%25").replaceAll("\\", "%5C");
	return u.href;
};

const basename = (p) => p.slice(p.lastIndexOf("/", p.length - 2) + 1);

const escape = (s) => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

export function makeReport({ cut, clean }) {
	let base = "", own = [], known = null, ours = null, place = null, foreign = null;

	/* A directory in the ways it may be written, each with the slash that follows it. */
	const spellings = (dir) => [...new Set([fileUrl(dir) + "/", "file://" + dir + "/", dir + "/"])];

	const strip = (dir, realDir, ownDirs) => {
		dir = dir.replace(/\/+$/, "");
		realDir = realDir.replace(/\/+$/, "");
		base = fileUrl(dir) + "/";
		own = [...new Set([...spellings(dir), ...spellings(realDir)])].sort((a, b) => b.length - a.length);
		const around = [dir, realDir].map((d) => d.slice(0, d.lastIndexOf("/"))).filter((d) => d.split("/").length > 3);
		const others = around.flatMap(spellings);
		const alone = [dir, realDir, fileUrl(dir), fileUrl(realDir)].map(escape).join("|");
		ours = new RegExp(`(?:${ownDirs.flatMap(spellings).map(escape).join("|")})[^\\s'"():]*`, "g");
		known = new RegExp(own.map(escape).join("|"), "g");
		foreign = new RegExp(`(?:${alone})(?![\\w-])` + (others.length > 0 ? "|" + others.map(escape).join("|") : ""), "g");
		place = new RegExp(`(?:${own.map(escape).join("|")})([^\\s:()'"?]+)(?:\\?[^\\s:()]*)?(:\\d+(?::\\d+)?)`);
	};

	const scrub = (s) => {
		if (known !== null)
			s = s.replace(known, "").replace(ours, "at-rund").replace(foreign, (m) => (m.endsWith("/") ? "" : "."));
		return s.replace(HOMES, basename);
	};

	const frames = (stack) => stack.split("\n")
		.filter((l) => FRAME.test(l) && own.some((o) => l.includes(o)))
		.map((l) => scrub(l).trim());

	const text = (v, otherwise) => {
		try {
			return typeof v === "string" ? v : v === undefined || v === null ? otherwise : String(v);
		} catch {
			return otherwise;
		}
	};

	const thrown = (v) => {
		try {
			return typeof v === "object" ? JSON.stringify(v) ?? String(v) : String(v);
		} catch {
			return "something that cannot be shown";
		}
	};

	const causes = (e) => {
		const c = e.cause;
		const m = c !== null && typeof c === "object" ? text(c.message, "") || text(c.code, "") : "";
		return m === "" ? "" : ` (${m})`;
	};

	/* Never throws, whatever a bundle throws. */
	const describe = (e) => {
		let r = { name: "Error", message: "", where: "", stack: "" };
		try {
			if (e === null || typeof e !== "object" || (typeof e.message !== "string" && typeof e.stack !== "string")) {
				r.message = `thrown: ${thrown(e)}`;
			} else {
				const stack = text(e.stack, "");
				r.name = text(e.name, "Error") || "Error";
				r.message = text(e.message, "") + causes(e);
				r.stack = frames(stack).join("\n");
				const at = place === null ? null : place.exec(e.where ?? stack) ?? place.exec(r.message);
				if (at !== null)
					r.where = decode(at[1]) + at[2];
			}
		} catch {
			r = { name: "Error", message: "an error that cannot be shown", where: "", stack: "" };
		}
		return { name: cut(clean(scrub(r.name)), NAME_MAX), message: cut(clean(scrub(r.message)), MESSAGE_MAX),
			where: cut(clean(r.where), NAME_MAX * 4), stack: cut(clean(r.stack), STACK_MAX) };
	};

	const decode = (s) => {
		try {
			return decodeURIComponent(s);
		} catch {
			return s;
		}
	};

	/* One error as lines of a log. */
	const line = (e) => {
		const r = describe(e);
		return `${r.name}: ${r.message}${r.stack === "" ? "" : "\n    " + r.stack.replaceAll("\n", "\n    ")}`;
	};

	return { strip, scrub, describe, line, base: () => base };
}
