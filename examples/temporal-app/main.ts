import { generateKeyPairSync } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { createGrantMinter, identityPlugin } from 'waybill/temporal';
import { openApi, taskQueue } from './api.ts';
import { createWorker } from './worker.ts';

/*
 * Both sides in one process: the API, which verifies callers and holds the private key, and a worker, which
 * knows the public one. README.md says how to start it.
 */

const {
  TEMPORAL_ADDRESS: address = '127.0.0.1:7233',
  ISSUER_URL,
  REQUESTER_TOKEN,
  APPROVER_TOKEN,
} = process.env;
if (!ISSUER_URL || !REQUESTER_TOKEN || !APPROVER_TOKEN)
  throw new Error('Set ISSUER_URL, REQUESTER_TOKEN and APPROVER_TOKEN.');

const issuer = 'urn:example:expenses';
const key = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const minter = await createGrantMinter({ issuer, key });
const connection = await Connection.connect({ address });
const client = new Client({ connection, plugins: [identityPlugin()] });
const native = await NativeConnection.connect({ address });
const worker = await createWorker({
  connection: native,
  issuer,
  keys: minter.publicKeys,
  audit: async ({ runId, detail }) => console.log(`${runId}: rejected, ${detail.code}`),
});

await worker.runUntil(async () => {
  const api = openApi({ client, minter, issuerUrl: ISSUER_URL });
  const expense = { id: String(Date.now()), purpose: 'train to the conference', amount: 120 };
  const workflowId = await api.request(REQUESTER_TOKEN, expense);
  const refused = (error: Error) => console.log(`${workflowId}: ${error.cause}`);
  await api.approve(REQUESTER_TOKEN, workflowId).catch(refused);
  // What every client that reaches Temporal can do without the API.
  await client.workflow.getHandle(workflowId).executeUpdate('approve').catch(refused);
  const byHand = { workflowId: `${workflowId}-by-hand`, taskQueue, args: [expense] };
  await client.workflow.execute('reimburse', byHand).catch(refused);
  await api.approve(APPROVER_TOKEN, workflowId);
  console.log(await client.workflow.getHandle(workflowId).result());
});
await connection.close();
await native.close();
