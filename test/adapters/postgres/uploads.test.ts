import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const roles = ['waybill_api', 'waybill_worker', 'waybill_relay'] as const;

describe('the arrival of a run', () => {
  let postgres: TestPostgres;
  let admin: pg.Client;
  const clients = {} as Record<(typeof roles)[number], pg.Client>;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Client({ connectionString: postgres.superuserUrl });
    await admin.connect();
    for (const [i, url] of [postgres.apiUrl, postgres.workerUrl, postgres.relayUrl].entries()) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`SET waybill.tenant = 'acme'`);
      clients[roles[i]!] = client;
    }
  });
  after(async () => {
    await Promise.all([admin, ...Object.values(clients)].map((client) => client.end()));
    await postgres.stop();
  });

  let n = 0;
  async function addRun(kind: string, arrival: string): Promise<string> {
    const id = `orders-${n++}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival)
       VALUES ($1, 'acme', 'orders', 1, 'd', '{}', 'running', 'prn_a', '{}', '{}', jsonb_build_object('kind', $2::text), 'g', 't', $3)`,
      [id, kind, arrival],
    );
    return id;
  }

  /** Who of the three may bring a run from one arrival to another. */
  async function whoMay(kind: string, from: string, to: string): Promise<string[]> {
    const allowed: string[] = [];
    for (const role of roles) {
      const id = await addRun(kind, from);
      await clients[role].query('UPDATE waybill.run SET arrival = $2 WHERE id = $1', [id, to]).then(
        ({ rowCount }) => rowCount === 1 && allowed.push(role),
        (error) => assert.equal(error.code, '42501', String(error)),
      );
    }
    return allowed;
  }

  it('of an upload is complete when the API says so, and no other role', async () => {
    assert.deepEqual(await whoMay('upload', 'open', 'sealed'), ['waybill_api']);
    assert.deepEqual(await whoMay('inline', 'open', 'sealed'), ['waybill_api']);
  });

  it('of what a worker fetches is complete when a worker says so, and no other role', async () => {
    assert.deepEqual(await whoMay('http', 'open', 'sealed'), ['waybill_worker']);
    assert.deepEqual(await whoMay('file', 'open', 'sealed'), ['waybill_worker']);
  });

  it('is broken by each role that notices', async () => {
    for (const kind of ['upload', 'http']) assert.deepEqual(await whoMay(kind, 'open', 'broken'), [...roles]);
  });

  it('is settled once', async () => {
    for (const kind of ['upload', 'http']) {
      for (const [from, to] of [
        ['sealed', 'open'],
        ['sealed', 'broken'],
        ['broken', 'open'],
        ['broken', 'sealed'],
      ] as const)
        assert.deepEqual(await whoMay(kind, from, to), [], `${kind}: ${from} to ${to}`);
    }
  });
});
