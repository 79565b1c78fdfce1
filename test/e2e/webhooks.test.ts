import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { startReceiver, verifies } from '../support/webhookReceiver.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;
type Receiver = Awaited<ReturnType<typeof startReceiver>>;

interface Shown {
  id: string;
  state: string;
  attempts: number;
  lastAttempt: { status: number | null; code: string | null } | null;
}

describe('callbacks of the embedded stack', () => {
  let stack: DevStack;
  let database: pg.Client;
  let temporal: Connection;
  let client: Client;
  let alice: Call;
  let receiver: Receiver;
  let away: Receiver;
  /** Refuses an event twice. */
  let refusing: Receiver;
  /** What is sent again later begins first, so that the other tests run while it waits. */
  let refusedRun: string;

  before(async () => {
    receiver = await startReceiver();
    away = await startReceiver();
    let refusals = 2;
    refusing = await startReceiver((response) => void response.writeHead(refusals-- > 0 ? 500 : 200).end());
    stack = await startDevStack({
      workers: 1,
      project: fileURLToPath(new URL('../support/project', import.meta.url)),
      env: { WAYBILL_CALLBACK_ALLOW: `${receiver.host},${away.host},${refusing.host}` },
    });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    temporal = await Connection.connect({ address: stack.info().temporalAddress });
    client = new Client({ connection: temporal });
    alice = await stack.as('alice');
    refusedRun = await trigger(refusing.url, [{ sensor: 'refused', value: 1 }]);
  });
  after(async () => {
    await temporal?.close();
    await database?.end();
    await stack?.stop();
    await receiver?.stop();
    await away?.stop();
    await refusing?.stop();
  });
  beforeEach(() => receiver.answerBy((response) => void response.writeHead(204).end()));

  async function trigger(
    url: string,
    records: unknown[] = [{ sensor: 'a', value: 1 }],
    call = alice,
  ): Promise<string> {
    const response = await call('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records, callback: { url } }),
    });
    const { id } = (await response.json()) as { id: string };
    assert.equal(response.status, 202);
    return id;
  }

  const about = (runId: string) => (got: { body: string }) => got.body.includes(`"${runId}"`);

  /** The one delivery of a run, once it is as wanted. */
  async function delivery(runId: string, wanted: (shown: Shown) => boolean): Promise<Shown> {
    for (;;) {
      const { items } = (await (await alice(`/v1/deliveries?run=${runId}`)).json()) as { items: Shown[] };
      assert.ok(items.length <= 1);
      if (items[0] && wanted(items[0])) return items[0];
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  /** As soon as Temporal has it. */
  async function terminated(workflowId: string): Promise<void> {
    const handle = client.workflow.getHandle(workflowId);
    while (!(await handle.terminate('by hand').catch(() => undefined)))
      await new Promise((resolve) => setTimeout(resolve, 25));
  }

  const inState = (state: string) => (shown: Shown) => shown.state === state;

  it('tell of the end of a run, by a signature that the published key verifies', async () => {
    const runId = await trigger(`${receiver.url}/hook`, [{ sensor: 'a', value: 1 }, { sensor: 'b' }]);
    const got = await receiver.until(about(runId));
    const { type, timestamp, data } = JSON.parse(got.body);
    assert.equal(type, 'run.completed');
    assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000);
    const { counts, links, ...rest } = data;
    assert.deepEqual(rest, { run: runId, tenant: 'acme', pipeline: 'readings', state: 'completed' });
    assert.deepEqual([counts.read, counts.stored, counts.rejected], [2, 1, 1]);
    assert.equal(links.self, `${stack.info().apiUrl}/v1/runs/${runId}`);

    const keys = await fetch(`${stack.info().apiUrl}/.well-known/webhook-keys/acme`);
    const whpks = ((await keys.json()) as { keys: { whpk: string }[] }).keys.map(({ whpk }) => whpk);
    assert.equal(verifies(got, whpks), true);
    const shown = await delivery(runId, inState('delivered'));
    assert.deepEqual(
      [shown.id, shown.attempts, shown.lastAttempt!.status],
      [got.headers['webhook-id'], 1, 204],
    );

    const [{ grant_jws: grant }] = (
      await database.query('SELECT grant_jws FROM waybill.run WHERE id = $1', [runId])
    ).rows;
    for (const secret of [grant, grant.split('.')[2], 'eyJ', 'sensor'])
      assert.equal(
        JSON.stringify([got.headers, got.body]).includes(secret),
        false,
        'no token, no grant, no record',
      );
  });

  it('reach a receiver that was away', { timeout: 300_000 }, async () => {
    const { port } = new URL(away.url);
    await away.stop();
    const runId = await trigger(away.url);
    const refused = await delivery(runId, ({ lastAttempt }) => lastAttempt?.code != null);
    assert.deepEqual([refused.state, refused.lastAttempt!.status], ['pending', null]);
    away = await startReceiver(undefined, Number(port));
    await away.until(about(runId));
    await delivery(runId, inState('delivered'));
  });

  it('are dead-lettered where the receiver is gone for good, and go out once more on request', async () => {
    receiver.answerBy((response) => void response.writeHead(410).end());
    const runId = await trigger(receiver.url);
    const dead = await delivery(runId, inState('dead-lettered'));
    assert.deepEqual([dead.attempts, dead.lastAttempt!.status], [1, 410]);
    receiver.answerBy((response) => void response.writeHead(200).end());
    const again = await alice(`/v1/deliveries/${dead.id}/redeliver`, { method: 'POST' });
    assert.equal(again.status, 202);
    await delivery(runId, inState('delivered'));
    const ids = receiver.received.filter(about(runId)).map(({ headers }) => headers['webhook-id']);
    assert.deepEqual(ids, [dead.id, dead.id]);
    const { items } = (await (await alice(`/v1/runs/${runId}/audit`)).json()) as {
      items: { action: string; txn: string; actor: { id: string } | null }[];
    };
    const events = items.filter(({ action }) => action.startsWith('delivery.'));
    assert.deepEqual(
      events.map(({ action, actor }) => [action, actor !== null]),
      [
        ['delivery.dead-lettered', false],
        ['delivery.redelivery-requested', true],
        ['delivery.delivered', false],
      ],
    );
  });

  it('do not go to a URL that the grant of the run does not name, although the database does', async () => {
    const runId = await trigger(receiver.url);
    const { id } = await delivery(runId, inState('delivered'));
    await database.query('UPDATE waybill.delivery SET url = $2 WHERE id = $1', [
      id,
      `${receiver.url}/theirs`,
    ]);
    await alice(`/v1/deliveries/${id}/redeliver`, { method: 'POST' });
    const dead = await delivery(runId, inState('dead-lettered'));
    assert.deepEqual([dead.attempts, dead.lastAttempt!.code], [1, 'CallbackNotGranted']);
    assert.equal(receiver.received.filter(about(runId)).length, 1);
  });

  it('tell of a run that was cancelled, and of one that failed', async () => {
    const records = Array.from({ length: 3_000 }, (_, i) => ({ sensor: `c${i}`, value: i }));
    const runId = await trigger(receiver.url, records);
    await alice(`/v1/runs/${runId}/cancel`, { method: 'POST' });
    const { type, data } = JSON.parse((await receiver.until(about(runId))).body);
    assert.deepEqual([type, data.state, data.reason.code], ['run.cancelled', 'cancelled', 'RunCancelled']);
    const open = await trigger(receiver.url, records);
    await terminated(open);
    await database.query(`UPDATE waybill.run SET created_at = now() - interval '2 minutes' WHERE id = $1`, [
      open,
    ]);
    const failed = JSON.parse((await receiver.until(about(open))).body);
    assert.deepEqual([failed.type, failed.data.reason.code], ['run.failed', 'RunTerminated']);
  });

  describe('started from Temporal’s own command line', () => {
    const begin = (type: string, workflowId: string, taskQueue = 'waybill', args: unknown[] = []) =>
      client.workflow.execute(type, { workflowId, taskQueue, args, workflowExecutionTimeout: '90s' });

    it('send nothing for an id that was not recorded, whatever they are given', async () => {
      const id = 'dlv_0197f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b';
      const made = { url: receiver.url, payload: '{}', tenant: 'acme' };
      await begin('deliverWebhook', `deliver-${id}-1`, 'waybill', [made]);
      await begin('deliverWebhook', 'deliver-anything', 'waybill', [made]).catch(() => {});
      assert.deepEqual(
        receiver.received.filter(
          ({ headers, body }) => headers['webhook-id'] === id || body === made.payload,
        ),
        [],
      );
      const { rows } = await database.query(
        `SELECT DISTINCT detail->>'code' AS code FROM waybill.audit_event
         WHERE action = 'attempt.denied' AND detail->>'workflowId' LIKE 'deliver-%' ORDER BY 1`,
      );
      assert.deepEqual(
        rows.map(({ code }) => code),
        ['DeliveryNotFound', 'GrantMissing'],
      );
    });

    it('send nothing for a delivery that has ended', async () => {
      const runId = await trigger(receiver.url);
      const { id } = await delivery(runId, inState('delivered'));
      for (const round of [2, 7])
        assert.equal(await begin('deliverWebhook', `deliver-${id}-${round}`), 'over');
      assert.equal(receiver.received.filter(about(runId)).length, 1);
    });
  });

  it('of one that was ended in Temporal from outside says so', { timeout: 300_000 }, async () => {
    receiver.answerBy((response) => void response.writeHead(500).end());
    const runId = await trigger(receiver.url);
    const { id } = await delivery(runId, ({ lastAttempt }) => lastAttempt?.status === 500);
    await client.workflow.getHandle(`deliver-${id}-1`).terminate('by hand');
    await database.query(
      `UPDATE waybill.delivery SET created_at = now() - interval '2 minutes' WHERE id = $1`,
      [id],
    );
    await delivery(runId, inState('dead-lettered'));
  });

  it('are sent again after a refusal, under the same id with a time of its own', {
    timeout: 300_000,
  }, async () => {
    const shown = await delivery(refusedRun, inState('delivered'));
    const got = refusing.received;
    assert.deepEqual([shown.attempts, got.length], [3, 3]);
    assert.equal(new Set(got.map(({ headers }) => headers['webhook-id'])).size, 1);
    assert.equal(new Set(got.map(({ body }) => body)).size, 1);
    assert.equal(new Set(got.map(({ headers }) => headers['webhook-timestamp'])).size, 3);
    const between = got.slice(1).map(({ atMs }, i) => atMs - got[i]!.atMs);
    assert.ok(between[0]! > 3_500 && between[1]! > 11_000, `${between}`);
  });

  // Last, because its 30 events keep the places of their receiver for a while.
  it('a slow receiver does not delay others', { timeout: 300_000 }, async () => {
    receiver.answerBy((response, { path }) => {
      if (path !== '/slow') response.writeHead(204).end();
    });
    const slow = await Promise.all(Array.from({ length: 30 }, () => trigger(`${receiver.url}/slow`)));
    await receiver.until(({ path, body }) => path === '/slow' && slow.some((id) => about(id)({ body })));
    const from = performance.now();
    const quick = await trigger(`${away.url}/quick`);
    await away.until(about(quick));
    assert.ok(
      performance.now() - from < 14_000,
      `${performance.now() - from} ms, less than the slow one takes`,
    );
    const { rows } = await database.query(
      'SELECT count(*)::integer AS n FROM waybill.delivery WHERE sending_until > now() AND host = $1',
      [receiver.host],
    );
    assert.ok(rows[0].n <= 8, `${rows[0].n} under way`);
    receiver.answerBy((response) => void response.writeHead(204).end());
  });
});
