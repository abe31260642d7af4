// deno: the shapes that the end-to-end tests ask for, in web standard terms.
export function json(request: Request): Record<string, unknown> {
  const name: string = new URL(request.url).searchParams.get("name") ?? "world";
  return { hello: name, runtime: "deno" };
}

export const html = () =>
  new Response("<h1>Grüße</h1>", { headers: { "content-type": "text/html; charset=utf-8", "x-own": "yes" } });

export function bytes(): Response {
  const out = new Uint8Array(1 << 20);
  for (let i = 0; i < out.length; i++) out[i] = (i * 7 + (i >> 8)) & 255;
  return new Response(out, { headers: { "content-type": "application/octet-stream" } });
}

export async function echo(request: Request): Promise<Response> {
  const body = new Uint8Array(await request.arrayBuffer());
  return new Response(body, { headers: { "content-type": request.headers.get("content-type") ?? "none/none" } });
}

export async function inspect(request: Request) {
  const url = new URL(request.url);
  return {
    method: request.method,
    path: url.pathname,
    query: url.search,
    header: request.headers.get("x-test"),
    type: request.headers.get("content-type"),
    size: (await request.arrayBuffer()).byteLength,
  };
}

export async function form(request: Request) {
  const f = await request.formData();
  return { name: f.get("name"), more: f.getAll("more") };
}

export function stream(): Response {
  const text = new TextEncoder();
  return new Response(
    new ReadableStream({
      async start(c) {
        c.enqueue(text.encode(`first ${Date.now()}\n`));
        await new Promise((done) => setTimeout(done, 1500));
        c.enqueue(text.encode(`last ${Date.now()}\n`));
        c.close();
      },
    }),
    { headers: { "content-type": "text/plain" } },
  );
}

export function fail(): never {
  throw new TypeError("this is meant to fail");
}

export function teapot(): Response {
  return new Response("short and stout", { status: 418, headers: { "retry-after": "7" } });
}

export function log(): string {
  console.log("a line from console.log");
  console.error("a line from console.error");
  return "logged";
}

export function nothing(): null {
  return null;
}

export async function sleep(request: Request): Promise<string> {
  const ms = Number(new URL(request.url).searchParams.get("ms") ?? "1000");
  await new Promise((done) => setTimeout(done, ms));
  return "slept";
}
