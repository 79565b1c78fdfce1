import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import pg from 'pg';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { createDeliveries } from '../../../adapters/postgres/deliveries/deliveries.ts';
import { createDeliveryLog } from '../../../adapters/postgres/deliveries/deliveryLog.ts';
import { createDueDeliveries } from '../../../adapters/postgres/deliveries/dueDeliveries.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { AuditEvent } from '../../../domain/audit.ts';
import type { Claim } from '../../../domain/ports/deliveries.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import { underWayMax } from '../../../domain/webhooks/webhookDelivery.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('deliveries', () => {
  let postgres: TestPostgres;
  let worker: Tenants;
  let api: Tenants;
  let relay: pg.Pool;
  let owner: pg.Pool;
  let log: ReturnType<typeof createDeliveryLog>;
  let deliveries: ReturnType<typeof createDeliveries>;

  before(async () => {
    postgres = await startPostgresForTest();
    worker = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 8, name: 'test-worker' }));
    api = tenantsOf(connectPool(postgres.apiUrl, { connectionsMax: 4, name: 'test-api' }));
    relay = connectPool(postgres.relayUrl, { connectionsMax: 8, name: 'test-relay' });
    owner = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
    owner.on('error', () => {});
    log = createDeliveryLog(relay);
    deliveries = createDeliveries(api);
  });
  after(async () => {
    await Promise.all([worker.end(), api.end(), relay.end(), owner.end()]);
    await postgres.stop();
  });
  beforeEach(() => owner.query('TRUNCATE waybill.delivery, waybill.audit_event'));

  let n = 0;
  async function addRun(url: string | null, tenant = 'acme'): Promise<string> {
    const id = `orders-${n++}`;
    const links = { self: `https://waybill.test/v1/runs/${id}` };
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, callback, grant_jws, txn, arrival)
       VALUES ($1, $2, 'orders', 1, 'd', '{}', 'running', 'prn_a', '{}', '{}', '{}', $3, 'g', $4, 'sealed')`,
      [id, tenant, url && JSON.stringify({ url, links }), 't'.repeat(32)],
    );
    return id;
  }

  const runs = () => createRunStates(worker);
  const dueDeliveries = () => createDueDeliveries(relay);
  const audit = (runId: string, action: string, tenant = 'acme'): AuditEvent => ({
    action,
    outcome: 'success',
    tenant,
    actor: null,
    runId,
    txn: null,
    detail: {},
  });
  const end = (runId: string, tenant = 'acme') =>
    runs().end({ runId, tenant }, () => ({
      outcome: { state: 'completed', counts: { ...zeroCounts, read: 3 } },
      audit: audit(runId, 'run.completed', tenant),
    }));

  /** A run that has ended, and its delivery. */
  async function addDelivery(url = 'https://hooks.example/a', tenant = 'acme'): Promise<string> {
    const runId = await addRun(url, tenant);
    await end(runId, tenant);
    const { rows } = await owner.query('SELECT id FROM waybill.delivery WHERE run_id = $1', [runId]);
    return rows[0].id;
  }

  async function claimed(id: string, round = 1): Promise<Claim> {
    const answer = await log.claim({ id, round });
    assert.equal(answer.outcome, 'claimed');
    return (answer as { claim: Claim }).claim;
  }

  describe('an event', () => {
    it('is recorded with the change it tells of, once, and only for a run with a callback', async () => {
      const [told, untold] = [await addRun('https://hooks.example/secret?t=1'), await addRun(null)];
      await Promise.all([end(told), end(told), end(untold)]);
      await end(told);
      const { rows } = await owner.query('SELECT * FROM waybill.delivery');
      assert.equal(rows.length, 1);
      const [{ type, tenant, run_id, url, host, data }] = rows;
      assert.deepEqual(
        [type, tenant, run_id, url, host],
        ['run.completed', 'acme', told, 'https://hooks.example/secret?t=1', 'hooks.example'],
      );
      assert.deepEqual(data, {
        run: told,
        tenant: 'acme',
        pipeline: 'orders',
        state: 'completed',
        counts: { ...zeroCounts, read: 3 },
        links: { self: `https://waybill.test/v1/runs/${told}` },
      });
      const due: string[] = [];
      await dueDeliveries().relay(10, async ({ id, round, host }) => void due.push(`${id} ${round} ${host}`));
      assert.deepEqual(due, [`${rows[0].id} 1 hooks.example`]);
    });

    it('does not stay where the change does not', async () => {
      const runId = await addRun('https://hooks.example/');
      const unstorable = { ...audit(runId, 'run.failed'), outcome: null as never };
      const reason = { code: 'Internal', message: 'm' };
      await assert.rejects(
        runs().end({ runId, tenant: 'acme' }, () => ({
          outcome: { state: 'failed', counts: zeroCounts, reason },
          audit: unstorable,
        })),
      );
      const { rows } = await owner.query('SELECT 1 FROM waybill.delivery');
      assert.deepEqual(rows, []);
    });

    it('tells that a run is suspended, and why, and that it goes on', async () => {
      const runId = await addRun('https://hooks.example/');
      const reason = { code: 'GrantRevoked', message: 'm' };
      await runs().suspend({ runId, tenant: 'acme' }, reason, audit(runId, 'run.suspended'));
      await runs().resume({ runId, tenant: 'acme' }, audit(runId, 'run.resumed'));
      await runs().resume({ runId, tenant: 'acme' }, audit(runId, 'run.resumed'));
      const { rows } = await owner.query('SELECT type, data FROM waybill.delivery ORDER BY id');
      assert.deepEqual(
        rows.map(({ type, data }) => [type, data.state, data.reason ?? null]),
        [
          ['run.suspended', 'suspended', reason],
          ['run.resumed', 'running', null],
        ],
      );
    });
  });

  describe('an attempt', () => {
    it('gets everything from the row, and counts', async () => {
      const id = await addDelivery();
      const first = await claimed(id);
      assert.deepEqual([first.attempt, first.tenant, first.url], [1, 'acme', 'https://hooks.example/a']);
      assert.equal(first.event.id, id);
      await log.failed(first, { status: 500, code: 'CallbackFailed' }, 60_000);
      const shown = (await deliveries.find('acme', id))!.delivery;
      assert.deepEqual([shown.state, shown.attempts, shown.lastAttempt!.status], ['pending', 1, 500]);
      const inMs = Date.parse(shown.nextAttemptAt!) - Date.now();
      assert.ok(inMs > 50_000 && inMs <= 60_000, `${inMs}`);
      const second = await claimed(id);
      assert.equal(second.attempt, 2);
      assert.deepEqual(second.event, first.event, 'the same event under the same id');
    });

    it('of a delivery that was not recorded, has ended, or is of another round does not begin', async () => {
      const id = await addDelivery();
      const madeUp = 'dlv_0197f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b';
      assert.deepEqual(await log.claim({ id: madeUp, round: 1 }), { outcome: 'unknown' });
      assert.deepEqual(await log.claim({ id, round: 2 }), { outcome: 'over' });
      await log.delivered(await claimed(id), 200);
      assert.deepEqual(await log.claim({ id, round: 1 }), { outcome: 'over' });
    });

    it('that comes late says nothing of the one that took its place, unless it succeeded', async () => {
      const id = await addDelivery();
      const late = await claimed(id);
      await claimed(id);
      await log.failed(late, { status: 500, code: 'CallbackFailed' }, 1_000);
      assert.equal((await deliveries.find('acme', id))!.delivery.lastAttempt!.code, null);
      await log.delivered(late, 200);
      assert.equal((await deliveries.find('acme', id))!.delivery.state, 'delivered');
    });

    it('ends once, and that is audited with the trace of the run', async () => {
      const id = await addDelivery();
      const claim = await claimed(id);
      await log.abandon(claim, { status: 410, code: 'CallbackFailed' });
      await log.delivered(claim, 200);
      await log.abandon(claim);
      const { rows } = await owner.query(
        `SELECT action, outcome, tenant, txn, detail FROM waybill.audit_event WHERE action LIKE 'delivery.%'`,
      );
      assert.equal(rows.length, 1);
      const [{ detail, ...event }] = rows;
      assert.deepEqual(event, {
        action: 'delivery.dead-lettered',
        outcome: 'failure',
        tenant: 'acme',
        txn: 't'.repeat(32),
      });
      assert.deepEqual([detail.delivery, detail.host, detail.status], [id, 'hooks.example', 410]);
      assert.equal(JSON.stringify(detail).includes('/a'), false, 'the path may be a secret');
    });
  });

  describe('places among the attempts under way', () => {
    const many = (count: number, url: (i: number) => string, tenant?: (i: number) => string) =>
      Promise.all(Array.from({ length: count }, (_, i) => addDelivery(url(i), tenant?.(i))));
    const outcomes = async (ids: readonly string[]) => {
      const answers = await Promise.all(ids.map((id) => log.claim({ id, round: 1 })));
      return answers.filter(({ outcome }) => outcome === 'claimed').length;
    };

    it('are few for one host, for all tenants together, so that other hosts have room', async () => {
      const slow = await many(
        underWayMax.host + 4,
        () => 'https://slow.example/x',
        (i) => `tenant-${i % 3}`,
      );
      assert.equal(await outcomes(slow), underWayMax.host);
      const other = await addDelivery('https://quick.example/');
      assert.equal((await log.claim({ id: other, round: 1 })).outcome, 'claimed');
    });

    it('are bounded for one tenant, however many hosts it has', async () => {
      const ids = await many(underWayMax.tenant + 6, (i) => `https://h${i}.example/`);
      assert.equal(await outcomes(ids), underWayMax.tenant);
      const other = await addDelivery('https://h.example/', 'globex');
      assert.equal((await log.claim({ id: other, round: 1 })).outcome, 'claimed');
    });

    it('are given back when the attempt ends, and by themselves when its end is not reported', async () => {
      const ids = await many(underWayMax.host + 2, () => 'https://slow.example/x');
      const claims = await Promise.all(ids.slice(0, underWayMax.host).map((id) => claimed(id)));
      const [waiting, another] = ids.slice(underWayMax.host) as [string, string];
      assert.equal((await log.claim({ id: waiting, round: 1 })).outcome, 'busy');
      await log.failed(claims[0]!, { status: 500, code: 'CallbackFailed' }, 1_000);
      assert.equal((await log.claim({ id: waiting, round: 1 })).outcome, 'claimed');
      assert.equal((await log.claim({ id: another, round: 1 })).outcome, 'busy');
      await owner.query(
        `UPDATE waybill.delivery SET sending_until = now() - interval '1 second' WHERE id = $1`,
        [claims[1]!.id],
      );
      assert.equal((await log.claim({ id: another, round: 1 })).outcome, 'claimed');
    });

    it('is kept by an attempt that takes the place of one before it', async () => {
      const ids = await many(underWayMax.host, () => 'https://slow.example/x');
      assert.equal(await outcomes(ids), underWayMax.host);
      assert.equal((await claimed(ids[0]!)).attempt, 2);
    });
  });

  describe('the start of a delivery', () => {
    it('is tried again where Temporal does not take it, and belongs to one relay', async () => {
      const id = await addDelivery();
      const away = async () => Promise.reject(new Error('away'));
      assert.deepEqual(
        await Promise.all([dueDeliveries().relay(10, away), dueDeliveries().relay(10, away)]).then((found) =>
          found.sort(),
        ),
        [0, 1],
      );
      assert.equal(await dueDeliveries().relay(10, away), 0, 'not at once');
      await owner.query('UPDATE waybill.delivery SET start_at = now()');
      assert.equal(await dueDeliveries().relay(10, async () => {}), 1);
      const { rows } = await owner.query('SELECT id FROM waybill.delivery WHERE start_at IS NULL');
      assert.deepEqual(rows, [{ id }]);
    });

    it('that was requested again while the relay worked is not forgotten', async () => {
      const id = await addDelivery();
      await dueDeliveries().relay(10, async () => {
        await log.abandon({ id, round: 1 });
        await deliveries.redeliver('acme', id, audit('r', 'delivery.redelivery-requested'));
      });
      assert.equal(await dueDeliveries().relay(10, async () => {}), 1);
    });
  });

  describe('the roles of the database', () => {
    it('a worker can say what is to be told, within its tenant, and nothing about how it goes', async () => {
      const runId = await addRun('https://hooks.example/');
      const row = (tenant: string) => [
        `dlv_${n}`,
        tenant,
        runId,
        'run.completed',
        '{}',
        'https://x.example/',
      ];
      const insert = `INSERT INTO waybill.delivery (id, tenant, run_id, type, data, url) VALUES ($1, $2, $3, $4, $5, $6)`;
      await worker.for('acme').query(insert, row('acme'));
      for (const [tenant, text, values] of [
        ['acme', insert, row('globex')],
        ['globex', insert, row('acme')],
        ['acme', 'SELECT url FROM waybill.delivery', []],
        ['acme', `UPDATE waybill.delivery SET url = 'https://y.example/'`, []],
        [
          'acme',
          `INSERT INTO waybill.delivery (id, tenant, run_id, type, data, url, state) VALUES ('x', 'acme', $1, 't', '{}', 'https://x.example/', 'delivered')`,
          [runId],
        ],
        ['acme', 'DELETE FROM waybill.delivery', []],
      ] as const)
        await assert.rejects(
          worker.for(tenant).query(text, [...values]),
          ({ cause }) => (cause as pg.DatabaseError).code === '42501',
          text,
        );
      const { rows } = await worker.for('globex').query('SELECT id FROM waybill.delivery');
      assert.deepEqual(rows, []);
    });

    it('the sender cannot change the content or the receiver, nor write an audit event of another kind', async () => {
      const id = await addDelivery();
      for (const column of ['url', 'data', 'tenant', 'type', 'round'])
        await assert.rejects(
          relay.query(`UPDATE waybill.delivery SET ${column} = NULL WHERE id = $1`, [id]),
          {
            code: '42501',
          },
        );
      const forged = `INSERT INTO waybill.audit_event (tenant, action, outcome, detail) VALUES ('acme', 'run.completed', 'success', '{}')`;
      await assert.rejects(relay.query(forged), { code: '42501' });
    });
  });

  describe('what a tenant sees', () => {
    it('is its own, newest first, page by page', async () => {
      const [a, b, c] = [await addDelivery(), await addDelivery(), await addDelivery()];
      await addDelivery('https://hooks.example/', 'globex');
      const first = await deliveries.list('acme', { limit: 2 });
      assert.deepEqual(
        first.items.map(({ delivery }) => delivery.id),
        [c, b],
      );
      const second = await deliveries.list('acme', { limit: 2, cursor: first.nextCursor! });
      assert.deepEqual([second.items.map(({ delivery }) => delivery.id), second.nextCursor], [[a], null]);
      assert.equal(await deliveries.find('globex', a), undefined);
    });

    it('can be sent again once it has ended, under the same id, in a round of its own', async () => {
      const id = await addDelivery();
      await assert.rejects(deliveries.redeliver('acme', id, audit('r', 'x')), { code: 'DeliveryPending' });
      await log.abandon(await claimed(id), { status: null, code: 'CallbackFailed' });
      await assert.rejects(deliveries.redeliver('globex', id, audit('r', 'x')), { code: 'DeliveryPending' });
      await dueDeliveries().relay(10, async () => {});
      const again = await deliveries.redeliver('acme', id, audit('r', 'delivery.redelivery-requested'));
      assert.deepEqual([again.state, again.attempts, again.endedAt], ['pending', 0, null]);
      const due: number[] = [];
      await dueDeliveries().relay(10, async ({ round }) => void due.push(round));
      assert.deepEqual(due, [2]);
      assert.deepEqual(await log.claim({ id, round: 1 }), { outcome: 'over' });
      assert.equal((await claimed(id, 2)).event.id, id);
    });
  });
});
