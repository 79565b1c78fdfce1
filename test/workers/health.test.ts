import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startHealth } from '../../workers/health.ts';

describe('health of a worker', () => {
  it('is told while its metrics cannot be read, and the process goes on', async () => {
    let metrics = async () => 'waybill_test 1\n';
    const health = await startHealth(
      { host: '127.0.0.1', port: 0 },
      { isReady: async () => false, metrics: () => metrics() },
    );
    try {
      const at = (path: string) => fetch(`http://127.0.0.1:${health.port}${path}`);
      const answer = await at('/metrics');
      assert.deepEqual([answer.status, await answer.text()], [200, 'waybill_test 1\n']);
      metrics = () => Promise.reject(new Error('away'));
      assert.equal((await at('/metrics')).status, 503);
      assert.equal((await at('/healthz')).status, 200);
      assert.equal((await at('/readyz')).status, 503);
      assert.equal((await at('/other')).status, 404);
    } finally {
      await health.close();
    }
  });
});
