import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { applyDeployments, createDeployments } from '../../../adapters/postgres/deployments.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { Deployment } from '../../../domain/ports/deployments.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const things: Deployment = {
  pipeline: 'things',
  version: 1,
  definitionDigest: 'one',
  contract: {
    pipeline: 'things',
    version: 1,
    input: {},
    output: {},
    columns: [],
    sink: { kind: 'postgres', table: 'things' },
  },
};

describe('what was applied', () => {
  let postgres: TestPostgres;
  let admin: pg.Client;
  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Client({ connectionString: postgres.superuserUrl });
    await admin.connect();
  });
  after(async () => {
    await admin?.end();
    await postgres?.stop();
  });

  it('is vouched for by the role that owns the tables, once, and the audit names that role', async () => {
    const tenants = tenantsOf(connectPool(postgres.apiUrl, { connectionsMax: 1, name: 'test' }));
    const { isApplied } = createDeployments(tenants);
    assert.equal(await isApplied('things', 'one'), false);
    await applyDeployments(postgres.migratorUrl, [things]);
    await applyDeployments(postgres.migratorUrl, [things]);
    assert.equal(await isApplied('things', 'one'), true);
    await applyDeployments(postgres.migratorUrl, [{ ...things, definitionDigest: 'two' }]);
    assert.deepEqual([await isApplied('things', 'one'), await isApplied('things', 'two')], [false, true]);
    await tenants.end();
    const { rows } = await admin.query(
      `SELECT detail ->> 'definitionDigest' AS digest, detail ->> 'role' AS role FROM waybill.audit_event
       WHERE action = 'pipeline.applied' ORDER BY id`,
    );
    assert.deepEqual(rows, [
      { digest: 'one', role: 'waybill_migrator' },
      { digest: 'two', role: 'waybill_migrator' },
    ]);
  });

  for (const process of ['apiUrl', 'workerUrl', 'relayUrl'] as const)
    it(`cannot be forged by a process (${process})`, async () => {
      const client = new pg.Client({ connectionString: postgres[process] });
      await client.connect();
      for (const statement of [
        `INSERT INTO waybill.deployment (pipeline, version, definition_digest, contract) VALUES ('forged', 1, 'd', '{}')`,
        `UPDATE waybill.deployment SET definition_digest = 'forged'`,
        'DELETE FROM waybill.deployment',
        'ALTER TABLE waybill.deployment OWNER TO current_user',
      ])
        await assert.rejects(client.query(statement), { code: '42501' }, statement);
      await client.end();
    });
});
