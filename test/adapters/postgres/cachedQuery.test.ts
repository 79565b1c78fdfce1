import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { watchRevocations } from '../../../adapters/postgres/rights/liveRevocations.ts';
import { startPostgresForTest } from '../../support/stack.ts';

describe('a live copy', () => {
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
