// Five endpoints in JavaScript for node: JSON, HTML, bytes, a stream, an error.

export function hello(request, env, ctx) {
	const name = new URL(request.url).searchParams.get("name") ?? "world";
	console.log(`said hello to ${name}`);
	return { hello: name, runtime: "node", version: process.version, caller: ctx.caller, job: ctx.job };
}

export const page = () =>
	new Response("<!doctype html><title>at-rund</title><h1>Hello from node</h1>", {
		headers: { "content-type": "text/html; charset=utf-8" },
	});

export const echo = async (request) =>
	new Response(await request.arrayBuffer(), {
		headers: {
			"content-type": request.headers.get("content-type") ?? "application/octet-stream",
			"x-method": request.method,
		},
	});

export function stream() {
	const encoder = new TextEncoder();
	let n = 0;
	return new Response(new ReadableStream({
		async pull(controller) {
			controller.enqueue(encoder.encode(`line ${++n}\n`));
			if (n === 5)
				controller.close();
			else
				await new Promise((resolve) => setTimeout(resolve, 250));
		},
	}), { headers: { "content-type": "text/plain; charset=utf-8" } });
}

export function boom() {
	throw new Error("this endpoint always fails");
}
