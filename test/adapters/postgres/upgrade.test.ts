import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createStages } from '../../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
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

/** Columns, constraints, indexes, policies, triggers, functions and rights. */
const catalogs = [
  `SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, collation_name
   FROM information_schema.columns WHERE table_schema = 'waybill' ORDER BY 1, 2`,
  `SELECT conrelid::regclass::text AS of, conname, pg_get_constraintdef(oid) AS def FROM pg_constraint
   WHERE connamespace = 'waybill'::regnamespace ORDER BY 1, 3, 2`,
  `SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'waybill' ORDER BY 1, 2`,
  `SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies
   WHERE schemaname = 'waybill' ORDER BY 1, 2`,
  `SELECT relname, relrowsecurity, array(SELECT unnest(relacl)::text ORDER BY 1) AS rights FROM pg_class
   WHERE relnamespace = 'waybill'::regnamespace AND relkind IN ('r', 'v') AND relname !~ '^kysely' ORDER BY 1`,
  `SELECT attrelid::regclass::text AS of, attname, array(SELECT unnest(attacl)::text ORDER BY 1) AS rights
   FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
   WHERE relnamespace = 'waybill'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND attacl <> '{}' ORDER BY 1, 2`,
  `SELECT proname, prosecdef, regexp_replace(pg_get_functiondef(oid), '\\s+', ' ', 'g') AS def, proacl::text FROM pg_proc
   WHERE pronamespace = 'waybill'::regnamespace ORDER BY 1`,
  `SELECT tgrelid::regclass::text AS of, pg_get_triggerdef(t.oid) AS def FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
   WHERE relnamespace = 'waybill'::regnamespace AND NOT tgisinternal ORDER BY 1, 2`,
];

describe('a database of the version before the baseline', () => {
  const name = `waybill_old_${randomBytes(4).toString('hex')}`;
  let postgres: TestPostgres;
  let admin: pg.Client;
  const at = (url: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href;

  before(async () => {
    postgres = await startPostgresForTest();
    await ensureDatabase(postgres.superuserUrl, name);
    const migrator = new pg.Client({ connectionString: at(postgres.migratorUrl) });
    await migrator.connect();
    await migrator.query(await readFile(new URL('schemaBefore.sql', import.meta.url), 'utf8'));
    await migrator.end();
    admin = new pg.Client({ connectionString: at(postgres.superuserUrl) });
    await admin.connect();
    for (const [tenant, kind] of Object.entries({ acme: 'wake', globex: 'adopt' }))
      await admin.query(oldRows(tenant, kind));
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

  it('knows the tenant of each row afterwards', async () => {
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
    await createOutbox(relay, at(postgres.relayUrl)).relay(10, async ({ kind, runId, grant, input }) => {
      delivered.push([kind, runId, grant, input?.batches].join(' '));
    });
    assert.deepEqual(delivered.sort(), [
      'recheckAuthorization things-acme g 1',
      'replaceGrant things-globex g 1',
    ]);
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

  it('has the schema of a new database', async () => {
    const fresh = new pg.Client({ connectionString: postgres.superuserUrl });
    await fresh.connect();
    try {
      for (const catalog of catalogs)
        assert.deepEqual((await admin.query(catalog)).rows, (await fresh.query(catalog)).rows, catalog);
    } finally {
      await fresh.end();
    }
  });

  it('orders the runs that were there by their ids, and the rows that they wrote', async () => {
    const { rows } = await admin.query(
      `SELECT r.id, accepted_order AS run, (SELECT _order FROM public.things WHERE _run = r.id) AS row
       FROM waybill.run r ORDER BY accepted_order`,
    );
    assert.deepEqual(rows, [
      { id: 'things-acme', run: '1', row: '1' },
      { id: 'things-globex', run: '2', row: '2' },
    ]);
    await admin.query(oldRows('umbrella'));
    const { rows: later } = await admin.query(
      `SELECT accepted_order FROM waybill.run WHERE tenant = 'umbrella'`,
    );
    assert.deepEqual(later, [{ accepted_order: '3' }]);
  });

  it('knows afterwards how many records were rejected with which code', async () => {
    const { rows } = await admin.query(`SELECT rejected_by_code FROM waybill.ledger WHERE tenant = 'acme'`);
    assert.deepEqual(rows, [{ rejected_by_code: { c: 3 } }]);
  });

  it('knows afterwards to which terms the owner of a schedule consented', async () => {
    const { rows } = await admin.query(`SELECT terms FROM waybill.delegation WHERE tenant = 'acme'`);
    assert.deepEqual(rows, [{ terms: { every: '1d' } }]);
  });

  it('is refused where it is older than that', async () => {
    await admin.query(`
      CREATE TABLE public.migrations AS SELECT * FROM waybill.kysely_migration;
      DELETE FROM waybill.kysely_migration;
      INSERT INTO waybill.kysely_migration VALUES ('0001_runs', '2026-01-01')`);
    await assert.rejects(migrate(at(postgres.migratorUrl)), /older than the version before/);
    await admin.query(`
      DELETE FROM waybill.kysely_migration;
      INSERT INTO waybill.kysely_migration SELECT * FROM public.migrations;
      DROP TABLE public.migrations`);
  });

  it('is left alone the second time', async () => {
    assert.deepEqual(await migrate(at(postgres.migratorUrl)), []);
    await applySinks(at(postgres.migratorUrl), [things]);
  });
});

function oldRows(tenant: string, kind = 'start'): string {
  const run = `things-${tenant}`;
  return `
    INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                             parameters, source, grant_jws, txn, arrival)
      VALUES ('${run}', '${tenant}', 'things', 1, 'd', '{}', 'running', 'prn_1',
              '${JSON.stringify(requester)}', '{}', '{}', 'g', 't', 'sealed');
    INSERT INTO waybill.batch (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records)
      VALUES ('${tenant}', '${run}', 0, 'd', 1, 0, 0, 1, 1);
    INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts)
      VALUES ('${tenant}', '${run}', 0, 'validate', 'd', 1, '{}');
    INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ('${tenant}', '${run}', 0, '{"stored": 1}');
    INSERT INTO waybill.idempotency (tenant, principal, pipeline, key, run_id)
      VALUES ('${tenant}', 'prn_1', 'things', 'key', '${run}');
    INSERT INTO waybill.outbox (tenant, kind, run_id)
      VALUES ('${tenant}', '${kind}', '${run}');
    INSERT INTO waybill.audit_event (tenant, action, outcome, detail) VALUES ('${tenant}', 'a', 'success', '{}');
    INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                     byte_length, stage, code, path, message, raw)
      SELECT 'dl-${tenant}-' || n, '${tenant}', '${run}', 'things', 1, 'prn_1', 0, n, 1, 0, 1, 'validate', 'c', '', 'm', 'x'
      FROM generate_series(1, 3) n;
    INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state, delegation_id)
      VALUES ('${tenant}', 'daily', 'things', '{}', '{"every": "1d"}', false, '{"id": "prn_1"}', 'active', 'dlg-${tenant}');
    INSERT INTO waybill.delegation (id, tenant, schedule_id, owner, jws, given_at, expires_at)
      VALUES ('dlg-${tenant}', '${tenant}', 'daily', 'prn_1', 'j', now(), now());
    INSERT INTO waybill.principal (tenant, id, issuer, subject, kind)
      VALUES ('${tenant}', 'prn_1', '${issuer}', 'alice', 'person'), ('${tenant}', 'prn_2', '${issuer}', 'copilot', 'agent');`;
}
