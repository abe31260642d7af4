#!/usr/bin/env node
// Seals secrets for a runner without anything of at-rund's: node and libsodium-wrappers from npm are enough.
//
//     npm install libsodium-wrappers
//     node seal.mjs --author did:plc:… --bundle hello --url https://runner.example.com < .env
//     node seal.mjs --author did:plc:… --bundle hello --runner did:web:runner.example.com --key z6LS… < .env
//
// Standard input holds NAME=value lines, or one JSON object of strings.  What comes out is the body of
// com.atproto.repo.putRecord: the record dev.at-run.secret that only this runner can open, and its record key.  The bundle's
// record lists the names it needs in "secrets".  With --url the runner's card says who it is and what its key is; believe
// it as far as you believe that URL, or compare with the record dev.at-run.runner of its operator.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const die = (why) => {
  console.error(`seal.mjs: ${why}`);
  process.exit(64);
};

const options = { days: '365' };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, '');
  if (!['author', 'bundle', 'runner', 'key', 'url', 'days'].includes(name) || process.argv[i + 1] === undefined)
    die(`expected --author DID --bundle NAME and --url URL or --runner DID --key KEY, not ${process.argv[i]}`);
  options[name] = process.argv[i + 1];
}

// libsodium-wrappers lies where the author is, or where NODE_PATH says.
const load = (name) => {
  for (const dir of [process.cwd(), import.meta.dirname ?? '.', ...(process.env.NODE_PATH ?? '').split(':').filter(Boolean)]) {
    try {
      return createRequire(path.join(path.resolve(dir), 'from.cjs'))(name);
    } catch (e) {
      if (e.code !== 'MODULE_NOT_FOUND') throw e;
    }
  }
  return die(`npm install ${name}`);
};

const DIGITS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

// A Multikey: z, then base58btc of the codec (0xec 0x01: X25519) and the key.
const keyBytes = (text) => {
  let n = 0n;
  for (const c of text.slice(1)) {
    if (!DIGITS.includes(c)) die(`${text} is no key`);
    n = n * 58n + BigInt(DIGITS.indexOf(c));
  }
  const raw = Buffer.from(n.toString(16).padStart(68, '0'), 'hex');
  if (text[0] !== 'z' || raw.length !== 34 || raw[0] !== 0xec || raw[1] !== 1) die(`${text} is no key for secrets (z6LS…)`);
  return raw.subarray(2);
};

const readSecrets = (text) => {
  if (text.trimStart().startsWith('{')) return JSON.parse(text);
  const env = {};
  for (const line of text.split('\n').map((l) => l.trimEnd())) {
    if (line === '' || line.startsWith('#')) continue;
    const at = line.indexOf('=');
    if (at < 0) die('a line is not NAME=value');
    const value = line.slice(at + 1);
    const quoted = value.length > 1 && (value[0] === '"' || value[0] === "'") && value.endsWith(value[0]);
    env[line.slice(0, at)] = quoted ? value.slice(1, -1) : value;
  }
  return env;
};

const askCard = async () => {
  const answer = await fetch(new URL('/xrpc/dev.at-run.describeRunner', options.url));
  if (!answer.ok) die(`${options.url} answered ${answer.status}`);
  const card = await answer.json();
  options.runner ??= card.did;
  options.key ??= card.keys?.secrets?.[0];
};

if (!options.author || !options.bundle) die('--author DID and --bundle NAME are needed');
if (options.url) await askCard();
if (!options.runner || !options.key) die('--url URL, or --runner DID and --key KEY, are needed');
const env = readSecrets(fs.readFileSync(0, 'utf8'));
for (const [name, value] of Object.entries(env))
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name) || typeof value !== 'string') die(`${name}: a name has letters, digits and _, a value is text`);
if (Object.keys(env).length === 0) die('no secrets on standard input');

const sodium = load('libsodium-wrappers');
await sodium.ready;
const second = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
const expires = second(Date.now() + Number(options.days) * 86400000);
const { author, bundle, runner, key } = options;
let plain = Buffer.from(JSON.stringify({ author, bundle, runner, key, expires, env }));
plain = Buffer.concat([plain, Buffer.alloc((256 - (plain.length % 256)) % 256, ' ')]); // so that its length says little
if (plain.length > 32768) die('too many secrets: 32 KiB is the most');
const box = Buffer.from(sodium.crypto_box_seal(plain, keyBytes(key)));
console.log(JSON.stringify({
  repo: author,
  collection: 'dev.at-run.secret',
  rkey: `${bundle}:${runner}`.replace(/[^A-Za-z0-9._:~-]/g, '~'),
  record: {
    $type: 'dev.at-run.secret', bundle, runner, key,
    box: { $bytes: box.toString('base64').replace(/=+$/, '') },
    expiresAt: expires, createdAt: second(Date.now()),
  },
}));
