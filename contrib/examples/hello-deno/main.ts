// Five endpoints in TypeScript for deno: JSON, HTML, bytes, a stream, an error.

interface Context {
	job: string;
	caller: string | null;
}

export function hello(request: Request, _env: Record<string, string>, ctx: Context) {
	const name = new URL(request.url).searchParams.get("name") ?? "world";
	console.log(`said hello to ${name}`);
	return { hello: name, runtime: "deno", version: Deno.version.deno, caller: ctx.caller, job: ctx.job };
}

export const page = (): Response =>
	new Response("<!doctype html><title>at-rund</title><h1>Hello from deno</h1>", {
		headers: { "content-type": "text/html; charset=utf-8" },
	});

export const echo = async (request: Request): Promise<Response> =>
	new Response(await request.arrayBuffer(), {
		headers: {
			"content-type": request.headers.get("content-type") ?? "application/octet-stream",
			"x-method": request.method,
		},
	});

export function stream(): Response {
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

export function boom(): never {
	throw new Error("this endpoint always fails");
}
