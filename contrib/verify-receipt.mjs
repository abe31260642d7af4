#!/usr/bin/env node
// Verifies a receipt of an at-rund runner with nothing but node: a JSON Web Signature (Ed25519) over what was asked and what
// was answered.
//
//     curl -sD head -o answer -H 'At-Run-Receipt: 1' https://runner.example.com/bundle/…
//     sed -n 's/^at-run-receipt: //Ip' head | node verify-receipt.mjs --answer answer [--body FILE] [--key z6Mk…]
//
// Whose key it is comes from the runner's DID document (did:web), from its card with --url URL, or from --key.
// Prints the claims and exits with 0, or says what is wrong and exits with 1.
import crypto from 'node:crypto';
import fs from 'node:fs';

const die = (why) => {
  console.error(`verify-receipt.mjs: ${why}`);
  process.exit(1);
};

const options = {};
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i].replace(/^--/, '');
  if (!['answer', 'body', 'key', 'url'].includes(name) || process.argv[i + 1] === undefined) die(`what is ${process.argv[i]}?`);
  options[name] = process.argv[i + 1];
}

const DIGITS58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz', DIGITS32 = 'abcdefghijklmnopqrstuvwxyz234567';

// A Multikey: z, then base58btc of the codec (0xed 0x01: Ed25519) and the key.
const keyBytes = (text) => {
  let n = 0n;
  for (const c of text.slice(1)) {
    if (!DIGITS58.includes(c)) die(`${text} is no key`);
    n = n * 58n + BigInt(DIGITS58.indexOf(c));
  }
  const raw = Buffer.from(n.toString(16).padStart(68, '0'), 'hex');
  if (text[0] !== 'z' || raw.length !== 34 || raw[0] !== 0xed || raw[1] !== 1) die(`${text} is no key for receipts (z6Mk…)`);
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
    return die('this is no receipt');
  }
};

const keysOf = async (did) => {
  if (options.key) return [options.key];
  if (options.url) {
    const card = await (await fetch(new URL('/xrpc/dev.at-run.describeRunner', options.url))).json();
    return card.did === did ? card.keys?.receipts ?? [] : die(`${options.url} is the runner ${card.did}, not ${did}`);
  }
  if (!did.startsWith('did:web:')) die(`--url or --key must say which keys ${did} has`);
  const host = decodeURIComponent(did.slice('did:web:'.length));
  const document = await (await fetch(`${/^localhost(:|$)/.test(host) ? 'http' : 'https'}://${host}/.well-known/did.json`)).json();
  if (document.id !== did) die(`the document at ${host} is about ${document.id}`);
  return document.verificationMethod.map((m) => m.publicKeyMultibase);
};

const receipt = fs.readFileSync(0, 'utf8').trim();
const [head, claims, signature, more] = receipt.split('.');
if (signature === undefined || more !== undefined) die('this is no receipt');
const { alg, typ, kid } = part(head), said = part(claims);
if (alg !== 'EdDSA' || typ !== 'at-rund-receipt' || typeof kid !== 'string') die('this is no receipt');
const key = crypto.createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: keyBytes(kid).toString('base64url') } });
if (!crypto.verify(null, Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url'))) die('the signature is not good');
if (!(await keysOf(said.runner)).includes(kid)) die(`${kid} is no key of ${said.runner}`);
if (options.body && cid(fs.readFileSync(options.body)) !== said.request) die('it is for another request body');
if (options.answer && cid(fs.readFileSync(options.answer)) !== said.response) die('it is for another answer');
console.log(JSON.stringify(said, null, 2));
