import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { watchRevocations } from '../../../adapters/postgres/rights/liveRevocations.ts';
import { startPostgresForTest } from '../../support/stack.ts';

describe('a live copy', () => {
  it('knows after a refresh what was committed before it, though no notification says so', async () => {
    const postgres = await startPostgresForTest();
    const admin = new pg.Client({ connectionString: postgres.superuserUrl });
    await admin.connect();
    const revocations = watchRevocations({ database: postgres.workerUrl, onError: assert.fail });
    const ada = { tenant: 'acme', principals: ['prn_ada'], issuedAtS: 0 };
    try {
      await revocations.ready;
      for (let turn = 0; turn < 20; turn++) {
        const id = `rev_${turn}`;
        await admin.query(
          `INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ($1, 'principal', 'prn_ada', 'acme')`,
          [id],
        );
        await revocations.refresh();
        assert.equal(revocations.find(ada)?.id, id);
        await admin.query(
          'UPDATE waybill.revocation SET lifted_at = now(), changed = pg_current_xact_id() WHERE id = $1',
          [id],
        );
        await Promise.all([revocations.refresh(), revocations.refresh()]);
        assert.equal(revocations.find(ada), undefined);
      }
      await revocations.close();
      await assert.rejects(revocations.refresh(), { code: 'RevocationsUnavailable' });
    } finally {
      await revocations.close();
      await admin.end();
      await postgres.stop();
    }
  });

  it('tells why it cannot be read, and is ready once it can', async () => {
    const postgres = await startPostgresForTest();
    const told = Promise.withResolvers<unknown>();
    const revocations = watchRevocations({
      // Who relays sees no revocations.
      database: postgres.relayUrl,
      onError: told.resolve,
    });
    try {
      assert.equal(((await told.promise) as { code: string }).code, 'Internal');
      assert.throws(() => revocations.find({ tenant: 'acme', principals: [], issuedAtS: 0 }), {
        code: 'RevocationsUnavailable',
      });
      const admin = new pg.Client({ connectionString: postgres.superuserUrl });
      await admin.connect();
      await admin.query('GRANT SELECT ON waybill.revoked TO waybill_relay').finally(() => admin.end());
      await revocations.ready;
      assert.equal(revocations.find({ tenant: 'acme', principals: [], issuedAtS: 0 }), undefined);
    } finally {
      await revocations.close();
      await postgres.stop();
    }
  });
});
