import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { untilEnded } from '../../bench/smallRun.ts';
import { deliveryWorkflowId } from '../../domain/webhooks/webhookDelivery.ts';
import { startDevStack } from '../support/devStack.ts';
import { startReceiver } from '../support/webhookReceiver.ts';

/*
 * `node test/workflows/recordHistories.ts`: runs the workflow as it is now in each of its ways and keeps the histories.
 * Only for new ways: histories that are there stay, for they stand for runs that are under way somewhere.
 */
const receiver = await startReceiver((response, { path }) => {
  response.writeHead(path === '/away' ? 503 : 204).end();
});
const stack = await startDevStack({
  project: fileURLToPath(new URL('../support/project', import.meta.url)),
  env: { WAYBILL_CALLBACK_ALLOW: receiver.host },
});
try {
  const call = await stack.as('alice');
  const readings = (count: number, name: string) =>
    Array.from({ length: count }, (_, i) => `{"sensor":"${name}-${i}","value":${i}}`).join('\n');

  async function begin(body: string): Promise<string> {
    const response = await call('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
    });
    return ((await response.json()) as { id: string }).id;
  }

  /** More than 256 KiB, so that its steps are not local. */
  const large = readings(200, 'x'.repeat(900));
  /** Its steps after ingest are taken in one local activity; the history `quick` is from before that. */
  const quick = await begin(readings(25, 'quick'));
  const batched = await begin(large);
  await untilEnded(call, quick);
  await untilEnded(call, batched);
  const cancelled = await begin(readings(400, 'y'.repeat(900)));
  await call(`/v1/runs/${cancelled}/cancel`, { method: 'POST' });
  await untilEnded(call, cancelled);
  const missing = await call('/v1/pipelines/stations/runs', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ source: { path: 'empty.csv' } }),
  });
  const refused = ((await missing.json()) as { id?: string }).id;

  const bob = await stack.as('bob');
  /** Payouts of that many accounts, about which bob says that once he is asked. */
  async function asked(name: string, count: number, decision: 'approve' | 'reject'): Promise<string> {
    const body = Array.from({ length: count }, (_, i) => `{"account":"${name}-${i}","cents":1}`).join('\n');
    const headers = { 'content-type': 'application/x-ndjson' };
    const response = await call('/v1/pipelines/payouts/runs', { method: 'POST', headers, body });
    const { id } = (await response.json()) as { id: string };
    await decideOn(id, decision);
    await untilEnded(call, id);
    return id;
  }
  async function decideOn(run: string, decision: 'approve' | 'reject'): Promise<void> {
    for (;;) {
      const response = await bob(`/v1/approvals?state=pending&run=${run}`);
      const { items } = (await response.json()) as { items: { id: string; digest: string }[] };
      if (!items[0]) continue;
      await bob(`/v1/approvals/${items[0].id}/decisions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ decision, digest: items[0].digest }),
      });
      return;
    }
  }
  const approved = await asked('approved', 3, 'approve');
  const approvedBatched = await asked('x'.repeat(2_000), 200, 'approve');
  const rejected = await asked('rejected', 3, 'reject');
  const hasty = await call('/v1/pipelines/hasty/runs', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ records: [{ id: 'expired' }] }),
  });
  const expired = ((await hasty.json()) as { id: string }).id;
  await untilEnded(call, expired);

  const connection = await Connection.connect({ address: stack.info().temporalAddress });
  const client = new Client({ connection });
  /** The workflow of the event that tells of a run’s end, once the receiver has heard of it. */
  async function callBack(path: string): Promise<string> {
    const run = await call('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        records: [{ sensor: path, value: 1 }],
        callback: { url: `${receiver.url}${path}` },
      }),
    });
    const { id } = (await run.json()) as { id: string };
    const { headers } = await receiver.until(({ body }) => body.includes(id));
    return deliveryWorkflowId({ id: String(headers['webhook-id']), round: 1 });
  }
  const eventDelivered = await callBack('/here');
  const eventGivenUp = await callBack('/away');
  await client.workflow.getHandle(eventGivenUp).cancel();
  for (const id of [eventDelivered, eventGivenUp]) await client.workflow.getHandle(id).result();
  for (const [name, id] of Object.entries({
    quick,
    ahead: quick,
    batched,
    cancelled,
    refused,
    approved,
    approvedBatched,
    rejected,
    expired,
    eventDelivered,
    eventGivenUp,
  })) {
    if (!id) continue;
    const history = await client.workflow.getHandle(id).fetchHistory();
    const file = new URL(`histories/${name}.json`, import.meta.url);
    await writeFile(file, historyToJSON(history), { flag: 'wx' }).catch(() =>
      console.log(`${name} is there already`),
    );
  }
  await connection.close();
} finally {
  await stack.stop();
  await receiver.stop();
}
