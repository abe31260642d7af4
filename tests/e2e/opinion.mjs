// The atproto packages' verdicts for test_opinion.py, in the words of proof_judge.c: @atproto/repo on proofs, @atproto/crypto on
// signatures, @atproto/xrpc-server on tokens, and the packages' own DAG-CBOR.  One JSON request a line, one answer a line.
import path from 'node:path';
import readline from 'node:readline';
import { createRequire } from 'node:module';

const modules = path.resolve(process.env.AT_RUND_PDS_MODULES ?? 'node_modules');
const load = createRequire(path.join(modules, 'from.cjs'));
const repo = load('@atproto/repo');
const crypto = load('@atproto/crypto');
const { verifyJwt } = load('@atproto/xrpc-server');
// What @atproto/repo itself reads blocks with.
const inner = createRequire(load.resolve('@atproto/repo'));
const cbor = inner('@atproto/lex-cbor');
const { parseCid } = inner('@atproto/lex-data');
const { jsonToLex } = createRequire(load.resolve('@atproto/xrpc-server'))('@atproto/lex-json');
const { getDidKeyFromMultibase } = load('@atproto/identity');

const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));

const ops = {
  async car({ car, did, collection, rkey, key, record }) {
    const here = await repo.verifyProofs(bytes(car), [{ collection, rkey, cid: parseCid(record) }], did, key);
    if (here.verified.length === 1) {
      // A proof without the record's block proves nothing about its bytes, which only this looks at.
      const records = await repo.verifyRecords(bytes(car), did, key);
      return records.some((r) => r.collection === collection && r.rkey === rkey) ? 'ok' : 'no block of the record';
    }
    const gone = await repo.verifyProofs(bytes(car), [{ collection, rkey, cid: null }], did, key);
    return gone.verified.length === 1 ? 'RecordNotInRepository' : 'another record';
  },
  async signed({ key, message, signature }) {
    return (await crypto.verifySignature(key, bytes(message), bytes(signature))) ? 'ok' : 'BadSignature';
  },
  async token({ token, aud, lxm, key }) {
    await verifyJwt(token, aud, lxm, async () => key);
    return 'ok';
  },
  async cbor({ bytes: b }) {
    cbor.decode(bytes(b));
    return 'ok';
  },
  async key({ type, multibase }) {
    return getDidKeyFromMultibase({ type, publicKeyMultibase: multibase });
  },
  async cid({ json }) {
    return String(await cbor.cidForLex(jsonToLex(JSON.parse(json))));
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let says;
  try {
    says = await ops[request.op](request);
  } catch (e) {
    says = `${e.customErrorName ?? e.error ?? e.name ?? 'Error'}: ${e.message}`;
  }
  console.log(JSON.stringify({ says }));
}
