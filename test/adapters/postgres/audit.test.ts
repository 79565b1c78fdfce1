import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createAuditLog } from '../../../adapters/postgres/audit.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('the audit', () => {
  let server: TestPostgres;
  let pool: ReturnType<typeof connectPool>;
  before(async () => {
    server = await startPostgresForTest();
    pool = connectPool(server.workerUrl, { connectionsMax: 1, name: 'test' });
  });
  after(async () => {
    await pool?.end();
    await server?.stop();
  });

  it('takes every text, so that no caller can choose one that keeps their refusal out of it', async () => {
    const audit = createAuditLog(tenantsOf(pool));
    const texts = ['a\0b', '\ud800', 'x\udfff\0', '\u2028', '😀', '\\u0000', '"'];
    for (const text of texts)
      await audit.append({
        action: 'attempt.denied',
        outcome: 'denied',
        tenant: text,
        actor: { id: text, kind: 'person' },
        runId: text,
        txn: null,
        detail: { reason: text, nested: [{ text }] },
      });
    const client = new pg.Client({ connectionString: server.superuserUrl });
    await client.connect();
    const { rows } = await client.query(
      "SELECT tenant, run_id, actor, detail FROM waybill.audit_event WHERE outcome = 'denied' ORDER BY id",
    );
    await client.end();
    const kept = texts.map((text) => text.replaceAll('\0', '\ufffd').toWellFormed());
    assert.deepEqual(
      rows,
      kept.map((text) => ({
        tenant: text,
        run_id: text,
        actor: { id: text, kind: 'person' },
        detail: { reason: text, nested: [{ text }] },
      })),
    );
  });
});
