// The atproto packages' own hands for test_callers.py and test_access.py: keys, tokens, a rotation on the directory, and a
// second opinion.  One JSON request a line, one JSON answer a line.
//
//     {"op":"key","curve":"K-256"|"P-256"}                    {"key":"name","did":"did:key:…","multibase":"z…"}
//     {"op":"token","key":name,"iss","aud","lxm","exp"?,…}    {"token"}       made by @atproto/xrpc-server
//     {"op":"sign","key":name,"head":{},"claims":{},"raw"?}   {"token"}       made by hand; raw: another signature, base64url
//     {"op":"judge","token","aud","lxm","did"}                {"says":"ok" | error name}   by @atproto/xrpc-server verifyJwt
//     {"op":"rotate","plc","did","rotation":hex,"key":name}   {}              the account's key is another now
//     {"op":"write_key","key":name,"path"}                    {}              the secret, as a PDS keeps it
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { createRequire } from 'node:module';

const load = createRequire(path.join(path.resolve(process.env.AT_RUND_PDS_MODULES ?? 'node_modules'), 'from.cjs'));
const { P256Keypair, Secp256k1Keypair, randomStr } = load('@atproto/crypto');
const { createServiceJwt, verifyJwt } = load('@atproto/xrpc-server');
const plc = load('@did-plc/lib');

const keys = new Map();
const b64 = (v) => (Buffer.isBuffer(v) ? v : Buffer.from(typeof v === 'string' ? v : JSON.stringify(v))).toString('base64url');

const ops = {
  async key({ curve }) {
    const pair = await (curve === 'P-256' ? P256Keypair : Secp256k1Keypair).create({ exportable: true });
    const name = String(keys.size);
    keys.set(name, pair);
    return { key: name, did: pair.did(), multibase: pair.did().slice('did:key:'.length) };
  },
  async token({ key, iss, aud, lxm, exp, iat }) {
    return { token: await createServiceJwt({ keypair: keys.get(key), iss, aud, lxm, exp, iat }) };
  },
  async sign({ key, head, claims, raw }) {
    const pair = keys.get(key);
    const now = Math.floor(Date.now() / 1000);
    const text = b64({ typ: 'JWT', alg: pair.jwtAlg, ...head }) + '.' +
      b64({ iat: now, exp: now + 60, jti: await randomStr(16, 'hex'), ...claims });
    return { token: text + '.' + (raw ?? b64(Buffer.from(await pair.sign(Buffer.from(text))))) };
  },
  async judge({ token, aud, lxm, did }) {
    try {
      await verifyJwt(token, aud, lxm, async () => did);
      return { says: 'ok' };
    } catch (e) {
      return { says: e.customErrorName ?? e.error ?? e.name };
    }
  },
  async rotate({ plc: url, did, rotation, key }) {
    const signer = await Secp256k1Keypair.import(rotation);
    await new plc.Client(url).updateAtprotoKey(did, signer, keys.get(key).did());
    return {};
  },
  async write_key({ key, path: where }) {
    fs.writeFileSync(where, await keys.get(key).export());
    return {};
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await ops[request.op](request);
  } catch (e) {
    answer = { failed: String(e?.stack ?? e) };
  }
  console.log(JSON.stringify(answer));
}
