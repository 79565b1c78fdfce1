import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applyLimits } from '../../../adapters/postgres/applyLimits.ts';
import { createLimitedRates } from '../../../adapters/postgres/limitedRates.ts';
import { createRates } from '../../../adapters/postgres/rates.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { WaybillError } from '../../../domain/errors.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('rates that processes keep together', () => {
  let postgres: TestPostgres;
  let pools: pg.Pool[];
  before(async () => {
    postgres = await startPostgresForTest();
    pools = [postgres.apiUrl, postgres.apiUrl, postgres.workerUrl].map(
      (connectionString) => new pg.Pool({ connectionString, max: 2 }),
    );
  });
  after(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await postgres.stop();
  });
  const processes = () => pools.map((pool) => createRates(tenantsOf(pool)));

  it('give no more than the burst and what has come since, to all processes together', async () => {
    const each = processes();
    const bucket = { tenant: 'acme', name: 'shared', perSecond: 200, burst: 50 };
    const beganMs = performance.now();
    const waits = await Promise.all(
      Array.from({ length: 300 }, (_, i) => each[i % each.length]!.take(bucket, 1)),
    );
    const seconds = (performance.now() - beganMs) / 1_000;
    const taken = waits.filter((ms) => ms === 0).length;
    assert.ok(taken >= 1 && taken <= 50 + 200 * seconds, `${taken} in ${seconds} s`);
    // A block of each process was taken from the bucket and is not all used.
    assert.ok(waits.some((ms) => ms > 0) || seconds > 1);
  });

  it('say how long to wait, after which there are tokens', async () => {
    const [rates] = processes();
    const bucket = { tenant: 'acme', name: 'slow', perSecond: 20, burst: 1 };
    assert.equal(await rates!.take(bucket, 1), 0);
    const waitMs = await rates!.take(bucket, 1);
    assert.ok(waitMs > 0 && waitMs <= 50, `${waitMs} ms`);
  });

  it('give more than the burst at once where that is asked for, and are empty for as long', async () => {
    const [rates] = processes();
    const bucket = { tenant: 'acme', name: 'large', perSecond: 10, burst: 10 };
    assert.equal(await rates!.take(bucket, 1_000), 0);
    const waitMs = await rates!.take(bucket, 1);
    assert.ok(waitMs > 90_000 && waitMs <= 100_000, `${waitMs} ms`);
  });

  it('follow the limits of the tenant and of the pipeline, for workers too', async () => {
    const limit = { tenant: '', pipeline: 'orders', name: 'recordsPerSecond', max: 10 } as const;
    await applyLimits(postgres.migratorUrl, [limit]);
    const rates = createLimitedRates(tenantsOf(pools[2]!));
    const take = (pipeline: string) => rates.take({ tenant: 'acme', pipeline }, 'recordsPerSecond', 1_000);
    await take('orders');
    await assert.rejects(take('orders'), (error: WaybillError) => {
      assert.deepEqual(
        [error.code, error.issues],
        [
          'LimitReached',
          [{ path: '', message: 'Pipeline orders has used up 10 a second (recordsPerSecond).' }],
        ],
      );
      return error.retryAfterMs! > 90_000 && error.retryAfterMs! <= 100_000;
    });
    await take('others');
  });

  it('are each of one tenant', async () => {
    const [rates] = processes();
    const bucket = { tenant: 'acme', name: 'own', perSecond: 0.001, burst: 1 };
    assert.equal(await rates!.take(bucket, 1), 0);
    assert.notEqual(await rates!.take(bucket, 1), 0);
    assert.equal(await rates!.take({ ...bucket, tenant: 'globex' }, 1), 0);
  });
});
