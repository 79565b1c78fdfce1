import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createStages } from '../../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import * as runs from '../../../adapters/postgres/migrations/0001_runs.ts';
import { createOutbox } from '../../../adapters/postgres/outbox.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { ensureDatabase } from '../../../dev/stack/postgresRoles.ts';
import { things } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const issuer = 'https://issuer.test';
const requester = {
  ...{ id: 'prn_1', issuer, subject: 'alice', kind: 'person' },
  actor: { id: 'prn_2', issuer, subject: 'copilot', kind: 'agent' },
};

describe('a database of the first version', () => {
  const name = `waybill_old_${randomBytes(4).toString('hex')}`;
  let postgres: TestPostgres;
  let admin: pg.Client;
  const at = (url: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href;

  before(async () => {
    postgres = await startPostgresForTest();
    await ensureDatabase(postgres.superuserUrl, name);
    const pool = connectPool(at(postgres.migratorUrl), { connectionsMax: 1, name: 'test' });
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
    const provider = { getMigrations: async () => ({ '0001_runs': runs }) };
    const { error } = await new Migrator({ db, provider, migrationTableSchema: 'waybill' }).migrateToLatest();
    await db.destroy();
    assert.equal(error, undefined);
    admin = new pg.Client({ connectionString: at(postgres.superuserUrl) });
    await admin.connect();
    for (const tenant of ['acme', 'globex']) await admin.query(oldRows(tenant));
    await admin.query(`
      CREATE TABLE public.things (_tenant text COLLATE "C" NOT NULL, id integer NOT NULL, _run text COLLATE "C" NOT NULL,
                                  _position bigint NOT NULL, PRIMARY KEY (_tenant, id));
      ALTER TABLE public.things OWNER TO waybill_migrator;
      INSERT INTO public.things VALUES ('acme', 1, 'things-acme', 0), ('globex', 1, 'things-globex', 0)`);
    await migrate(at(postgres.migratorUrl));
    await applySinks(at(postgres.migratorUrl), [things]);
  });
  after(async () => {
    await admin?.end();
    const server = new pg.Client({ connectionString: postgres.superuserUrl });
    await server.connect();
    await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await server.end();
    await postgres?.stop();
  });

  it('knows afterwards whose each row is', async () => {
    for (const table of ['run', 'batch', 'stage', 'ledger', 'outbox', 'idempotency', 'audit_event']) {
      const { rows } = await admin.query(
        `SELECT tenant, count(*)::int AS n FROM waybill.${table} GROUP BY 1 ORDER BY 1`,
      );
      const each = [
        { tenant: 'acme', n: 1 },
        { tenant: 'globex', n: 1 },
      ];
      assert.deepEqual(rows, each, table);
    }
  });

  it('knows afterwards who its principals are', async () => {
    const { rows } = await admin.query(
      `SELECT id, issuer, subject, kind FROM waybill.principal WHERE tenant = 'acme' ORDER BY id`,
    );
    const { actor, ...principal } = requester;
    assert.deepEqual(rows, [principal, actor]);
  });

  it('hides the rows that were there from other tenants, those of sinks too', async () => {
    const tenants = tenantsOf(connectPool(at(postgres.workerUrl), { connectionsMax: 1, name: 'test' }));
    for (const [tenant, seen] of [
      ['acme', ['things-acme']],
      [null, []],
    ] as const) {
      const stored = await tenants.for(tenant).query('SELECT _run FROM public.things');
      assert.deepEqual(
        stored.rows.map((row) => row._run),
        seen,
      );
      const arrived = await tenants.for(tenant).query('SELECT run_id FROM waybill.batch');
      assert.deepEqual(
        arrived.rows.map((row) => row.run_id),
        seen,
      );
    }
    await tenants.end();
  });

  it('goes on with the runs that were open', async () => {
    const relay = connectPool(at(postgres.relayUrl), { connectionsMax: 1, name: 'test' });
    const delivered: string[] = [];
    await createOutbox(relay, at(postgres.relayUrl)).relay(10, async ({ runId, tenant, grant, input }) => {
      delivered.push([runId, tenant, grant, input?.batches].join(' '));
    });
    assert.deepEqual(delivered.sort(), ['things-acme acme g 1', 'things-globex globex g 1']);
    await relay.end();
    const tenants = tenantsOf(connectPool(at(postgres.workerUrl), { connectionsMax: 1, name: 'test' }));
    const runs = createRunStates(tenants);
    const run = await runs.find({ tenant: 'acme', runId: 'things-acme' });
    assert.deepEqual((await createStages(tenants).findWork(run, 'execution', 0)).stored, { stored: 1 });
    await assert.rejects(runs.find({ tenant: 'acme', runId: 'things-globex' }), {
      code: 'RunNotFound',
    });
    await tenants.end();
  });

  it('is left alone the second time', async () => {
    assert.deepEqual(await migrate(at(postgres.migratorUrl)), []);
    await applySinks(at(postgres.migratorUrl), [things]);
  });
});

function oldRows(tenant: string): string {
  const run = `things-${tenant}`;
  return `
    INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                             parameters, source, grant_jws, txn, arrival)
      VALUES ('${run}', '${tenant}', 'things', 1, 'd', '{}', 'running', 'prn_1',
              '${JSON.stringify(requester)}', '{}', '{}', 'g', 't', 'sealed');
    INSERT INTO waybill.batch (run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records)
      VALUES ('${run}', 0, 'd', 1, 0, 0, 1, 1);
    INSERT INTO waybill.stage (run_id, seq, stage, digest, size_bytes, counts)
      VALUES ('${run}', 0, 'validate', 'd', 1, '{}');
    INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ('${tenant}', '${run}', 0, '{"stored": 1}');
    INSERT INTO waybill.idempotency (tenant, principal, pipeline, key, run_id)
      VALUES ('${tenant}', 'prn_1', 'things', 'key', '${run}');
    INSERT INTO waybill.outbox (kind, run_id) VALUES ('start', '${run}');
    INSERT INTO waybill.audit_event (tenant, action, outcome, detail) VALUES ('${tenant}', 'a', 'success', '{}');`;
}
