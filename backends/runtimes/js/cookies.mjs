/*
 * Set-Cookie in the Headers of node 18 as Debian 12 has it: they join cookies with a comma, which no client can take
 * apart, and have no getSetCookie.  Here each Headers object remembers its cookies one by one.  Newer runtimes know how
 * themselves, and nothing is done.
 *
 * The globals of node load the fetch implementation when they are first looked at, which takes long: so are we.
 */
const { defineProperty, getOwnPropertyDescriptor } = Object;
const { isArray } = Array;
const NAME = "set-cookie";
const isCookie = (name) => `${name}`.toLowerCase() === NAME;

export function makeCookies() {
	const lists = new WeakMap();
	const cookiesOf = (h) => lists.get(h) ?? (h.has(NAME) ? [h.get(NAME)] : []);

	const teach = (Real) => {
		const p = Real.prototype, { append, set, delete: remove } = p;
		const note = (h, list) => (list.length > 0 ? lists.set(h, list) : lists.delete(h));

		defineProperty(p, "append", { configurable: true, writable: true, enumerable: true,
			value: function (name, value) {
				append.call(this, name, value);
				if (isCookie(name))
					note(this, [...(lists.get(this) ?? []), `${value}`]);
			} });
		defineProperty(p, "set", { configurable: true, writable: true, enumerable: true,
			value: function (name, value) {
				set.call(this, name, value);
				if (isCookie(name))
					note(this, [`${value}`]);
			} });
		defineProperty(p, "delete", { configurable: true, writable: true, enumerable: true,
			value: function (name) {
				remove.call(this, name);
				if (isCookie(name))
					note(this, []);
			} });
		defineProperty(p, "getSetCookie", { configurable: true, writable: true, enumerable: true,
			value: function () { return [...cookiesOf(this)]; } });
		return new Proxy(Real, {
			construct(target, args, asked) {
				const h = Reflect.construct(target, args, asked);
				take(h, args[0]);
				return h;
			},
		});
	};

	/* What was made of `from` (Headers or pairs) has its cookies. */
	const take = (h, from) => {
		const list = lists.get(from) ??
			(isArray(from) ? from.filter((p) => isArray(p) && isCookie(p[0])).map((p) => `${p[1]}`) : []);
		if (list.length > 0)
			lists.set(h, [...list]);
	};

	const d = getOwnPropertyDescriptor(globalThis, "Headers");
	const learn = () => {
		const Real = d.get ? d.get.call(globalThis) : d.value;
		const known = typeof Real.prototype.getSetCookie === "function";
		defineProperty(globalThis, "Headers", { configurable: true, writable: true, value: known ? Real : teach(Real) });
		return globalThis.Headers;
	};
	if (d.get)
		defineProperty(globalThis, "Headers", { configurable: true, get: learn,
			set: (value) => defineProperty(globalThis, "Headers", { configurable: true, writable: true, value }) });
	else
		learn();
	return { take };
}
