import { generateKeyPairSync } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { createGrantMinter, identityPlugin } from 'waybill/temporal';
import { openDoor, taskQueue } from './door.ts';
import { createWorker } from './worker.ts';

/*
 * Both sides in one process, to be seen at once: what verifies callers and holds the private key, and a worker, which
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
  audit: async ({ runId, detail }) => console.log(`${runId}: refused, ${detail.code}`),
});

await worker.runUntil(async () => {
  const door = openDoor({ client, minter, issuerUrl: ISSUER_URL });
  const expense = { id: String(Date.now()), purpose: 'train to the conference', amount: 120 };
  const workflowId = await door.request(REQUESTER_TOKEN, expense);
  const refused = (error: Error) => console.log(`${workflowId}: ${error.cause}`);
  await door.approve(REQUESTER_TOKEN, workflowId).catch(refused);
  // What anybody can do who reaches Temporal, and not the door.
  await client.workflow.getHandle(workflowId).executeUpdate('approve').catch(refused);
  const byHand = { workflowId: `${workflowId}-by-hand`, taskQueue, args: [expense] };
  await client.workflow.execute('reimburse', byHand).catch(refused);
  await door.approve(APPROVER_TOKEN, workflowId);
  console.log(await client.workflow.getHandle(workflowId).result());
});
await connection.close();
await native.close();
