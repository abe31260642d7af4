// A real PLC directory and a real PDS on loopback, for tests.  contrib/setup.sh installs what it needs; then
//
//     AT_RUND_PDS_MODULES=DIR/node_modules PLC_PORT=2582 PDS_PORT=2583 node --require ./loopback.cjs start.mjs
//
// Prints one JSON line when both answer.  SIGTERM, or the end of standard input, stops them and removes their data,
// so that nothing is left behind when the test that started us is killed.
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';

// The packages lie outside of the checkout, where import does not look.
const load = createRequire(path.join(path.resolve(process.env.AT_RUND_PDS_MODULES ?? 'node_modules'), 'from.cjs'));
const plc = load('@did-plc/server');
const { PDS, envToCfg, envToSecrets } = load('@atproto/pds');
const plcPort = Number(process.env.PLC_PORT ?? 2582);
const pdsPort = Number(process.env.PDS_PORT ?? 2583);
const data = fs.mkdtempSync(path.join(os.tmpdir(), 'at-rund-pds-'));

const directory = plc.PlcServer.create({ db: plc.Database.mock(), port: plcPort });
await directory.start();

const env = {
  devMode: true,
  port: pdsPort,
  hostname: 'localhost',
  dataDirectory: data,
  blobstoreDiskLocation: path.join(data, 'blobs'),
  blobUploadLimit: 20 * 1024 * 1024,
  didPlcUrl: `http://localhost:${plcPort}`,
  jwtSecret: crypto.randomBytes(16).toString('hex'),
  adminPassword: crypto.randomBytes(16).toString('hex'),
  plcRotationKeyK256PrivateKeyHex: process.env.PDS_ROTATION_KEY ?? crypto.randomBytes(32).toString('hex'),
  inviteRequired: false,
  serviceHandleDomains: ['.test'],
  disableSsrfProtection: true,
};
const pds = await PDS.create(envToCfg(env), envToSecrets(env));
await pds.start();
console.log(JSON.stringify({ plc: `http://localhost:${plcPort}`, pds: `http://localhost:${pdsPort}`, pid: process.pid }));

let stopping = false;
const stop = async () => {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), 5000).unref();
  await pds.destroy();
  await directory.destroy();
  fs.rmSync(data, { recursive: true, force: true });
  process.exit(0);
};
process.on('SIGTERM', stop);
process.stdin.on('end', stop).on('error', stop).resume();
