#!/usr/bin/env node
// Verifies a callback of an at-rund runner (At-Run-Callback) with nothing but node: the header At-Run-Signature is a JSON Web
// Signature (Ed25519) over the hash of the body, the URL it was sent to, and the time.
//
//     node verify-callback.mjs --signature "$AT_RUN_SIGNATURE" --url https://me.example.com/hook [--key z6Mk…] < body
//
// or in your own receiver:
//
//     import { verifyCallback } from './verify-callback.mjs';
//     const said = await verifyCallback(request.headers['at-run-signature'], rawBody, { url: 'https://me.example.com/hook' });
//
// Whose key it is comes from the runner's DID document (did:web), from its card with --runner URL, or from --key.  A runner
// tells each end at least once: what came before is known by the job's id (Idempotency-Key), which is the same each time.
// Prints the claims and exits with 0, or says what is wrong and exits with 1.
import crypto from 'node:crypto';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

const DIGITS58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz', DIGITS32 = 'abcdefghijklmnopqrstuvwxyz234567';

const no = (why) => { throw new Error(why); };

// A Multikey: z, then base58btc of the codec (0xed 0x01: Ed25519) and the key.
const keyBytes = (text) => {
  let n = 0n;
  for (const c of text.slice(1)) {
    if (!DIGITS58.includes(c)) no(`${text} is no key`);
    n = n * 58n + BigInt(DIGITS58.indexOf(c));
  }
  const raw = Buffer.from(n.toString(16).padStart(68, '0'), 'hex');
  if (text[0] !== 'z' || raw.length !== 34 || raw[0] !== 0xed || raw[1] !== 1) no(`${text} is no key of a runner that signs (z6Mk…)`);
  return raw.subarray(2);
};

// What the AT Protocol calls a blob: CIDv1, raw, sha2-256, in base32.
const cid = (bytes) => {
  const raw = Buffer.concat([Buffer.from([1, 0x55, 0x12, 0x20]), crypto.createHash('sha256').update(bytes).digest()]);
  let bits = 0n;
  for (const b of raw) bits = (bits << 8n) | BigInt(b);
  bits <<= 2n; // 288 bits and two of nothing make 58 digits
  let text = '';
  for (let i = 0; i < 58; i++, bits >>= 5n) text = DIGITS32[Number(bits & 31n)] + text;
  return 'b' + text;
};

const part = (text) => {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return no('this is no signature of a callback');
  }
};

const keysOf = async (did, { key, runner }) => {
  if (key) return [key];
  if (runner) {
    const card = await (await fetch(new URL('/xrpc/dev.at-run.describeRunner', runner))).json();
    return card.did === did ? card.keys?.receipts ?? [] : no(`${runner} is the runner ${card.did}, not ${did}`);
  }
  if (!did?.startsWith('did:web:')) no(`a key or the runner's URL must say which keys ${did} has`);
  const host = decodeURIComponent(did.slice('did:web:'.length));
  const document = await (await fetch(`${/^localhost(:|$)/.test(host) ? 'http' : 'https'}://${host}/.well-known/did.json`)).json();
  if (document.id !== did) no(`the document at ${host} is about ${document.id}`);
  return document.verificationMethod.map((m) => m.publicKeyMultibase);
};

/**
 * The claims of a callback whose signature is good: runner, job, url, body, attempt, signedAt.  Throws when it is not.
 * url: what the runner was told to call; key or runner: where the key is known from; did: which runner it must be;
 * minutes: how old it may be, 5 when not given, 0: any age.
 */
export const verifyCallback = async (signature, body, { url, key, runner, did, minutes = 5 } = {}) => {
  const [head, claims, sig, more] = String(signature).split('.');
  if (sig === undefined || more !== undefined) no('this is no signature of a callback');
  const { alg, typ, kid } = part(head), said = part(claims);
  if (alg !== 'EdDSA' || typ !== 'at-rund-callback' || typeof kid !== 'string') no('this is no signature of a callback');
  const publicKey = crypto.createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: keyBytes(kid).toString('base64url') } });
  if (!crypto.verify(null, Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(sig, 'base64url'))) no('the signature is not good');
  if (did && said.runner !== did) no(`it is of the runner ${said.runner}, not ${did}`);
  if (!(await keysOf(said.runner, { key, runner })).includes(kid)) no(`${kid} is no key of ${said.runner}`);
  if (cid(body) !== said.body) no('it is for another body');
  if (url && url !== said.url) no(`it is for ${said.url}, not ${url}`);
  if (minutes && Math.abs(Date.now() - Date.parse(said.signedAt)) > minutes * 60000) no(`it was signed at ${said.signedAt}`);
  return said;
};

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const options = {};
  try {
    for (let i = 2; i < process.argv.length; i += 2) {
      const name = process.argv[i].replace(/^--/, '');
      if (!['signature', 'url', 'key', 'runner', 'did', 'minutes'].includes(name) || process.argv[i + 1] === undefined)
        no(`what is ${process.argv[i]}?`);
      options[name] = name === 'minutes' ? Number(process.argv[i + 1]) : process.argv[i + 1];
    }
    console.log(JSON.stringify(await verifyCallback(options.signature, fs.readFileSync(0), options), null, 2));
  } catch (e) {
    console.error(`verify-callback.mjs: ${e.message}`);
    process.exit(1);
  }
}
