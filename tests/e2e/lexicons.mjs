// Reads the lexicons of schema/lexicons with @atproto/lexicon and asks them about the records on standard input:
// [{"record": {...}, "valid": true}, ...].  AT_RUND_PDS_MODULES names the node_modules it is in.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const load = createRequire(path.join(path.resolve(process.env.AT_RUND_PDS_MODULES ?? 'node_modules'), 'from.cjs'));
const { Lexicons, parseLexiconDoc, jsonToLex } = load('@atproto/lexicon');
const top = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'schema', 'lexicons');
const docs = fs.readdirSync(top, { recursive: true }).filter((f) => f.endsWith('.json')).sort().map((f) => {
  const doc = parseLexiconDoc(JSON.parse(fs.readFileSync(path.join(top, f), 'utf8')));
  if (doc.id !== f.slice(0, -'.json'.length).split(path.sep).join('.')) throw new Error(`${f} is ${doc.id}`);
  return doc;
});
const lexicons = new Lexicons(docs);

const answers = JSON.parse(fs.readFileSync(0, 'utf8')).map(({ record, valid, output, nsid }) => {
  try {
    const value = jsonToLex(record);
    if (output) lexicons.assertValidXrpcOutput(nsid, value);
    else lexicons.assertValidRecord(record.$type, value);
    return valid ? null : 'was taken';
  } catch (e) {
    return valid ? String(e.message) : null;
  }
});
console.log(JSON.stringify({ lexicons: docs.map((d) => d.id), answers }));
