/* What a handler does with a secret, well and badly. */
const sum = async (v?: string) => v === undefined ? null :
	[...new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(v)))].map((b) => b.toString(16).padStart(2, '0')).join('');

// deno-lint-ignore no-explicit-any
export const see = async (_request: Request, env: any, ctx: any) => ({
	names: Object.keys(env).filter((n) => n.endsWith('_KEY') || n === 'PEM').sort(),
	api: await sum(env.API_KEY), ctx: await sum(ctx.env.API_KEY), pem: await sum(env.PEM), process: Deno.env.get('API_KEY') === undefined,
});
// deno-lint-ignore no-explicit-any
export const say = (_request: Request, env: any) => {
	console.log(`the key is ${env.API_KEY}, twice ${env.API_KEY}`);
	return 'said';
};
// deno-lint-ignore no-explicit-any
export const fail = (_request: Request, env: any) => { throw new Error(`cannot use ${env.API_KEY}`); };
