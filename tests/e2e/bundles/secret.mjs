/* What a handler does with a secret, well and badly. */
import { createHash } from 'node:crypto';

const sum = (v) => (v === undefined ? null : createHash('sha256').update(v).digest('hex'));

export const see = (_request, env, ctx) => ({
	names: Object.keys(env).filter((n) => n.endsWith('_KEY') || n === 'PEM').sort(),
	api: sum(env.API_KEY), ctx: sum(ctx.env.API_KEY), pem: sum(env.PEM), process: process.env.API_KEY === undefined,
});
export const say = (_request, env, ctx) => {
	console.log(`the key is ${env.API_KEY}, twice ${env.API_KEY}`);
	ctx.log('warn', env.API_KEY);
	process.stderr.write(`raw ${env.API_KEY}\n`);
	return 'said';
};
export const fail = (_request, env) => { throw new Error(`cannot use ${env.API_KEY}`); };
export const wait = () => new Promise((done) => setTimeout(done, 1500, 'waited'));
