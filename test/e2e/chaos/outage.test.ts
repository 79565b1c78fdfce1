import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { outage, type Scene } from '../../../bench/chaos/outage.ts';
import { startDevStack } from '../../support/devStack.ts';
import { serveHeldFeed } from '../../support/heldFeed.ts';

const load = { feeds: 2, longRecords: 300, smallRuns: 10 };

/** The short form of `npm run chaos -- outage`, where each lasts five minutes and PostgreSQL is also silent once. */
describe('an outage under runs in flight ends none of them, loses nothing and stores nothing twice', () => {
  let scene: Scene;
  before(async () => {
    const feed = await serveHeldFeed();
    const stack = await startDevStack({
      project: fileURLToPath(new URL('../../support/project', import.meta.url)),
      env: { WAYBILL_EGRESS_ALLOW: feed.host },
    });
    scene = { stack, feed };
  });
  after(async () => {
    await scene?.stack.stop();
    scene?.feed.close();
  });

  it('of PostgreSQL', async () => {
    assert.deepEqual(await outage(scene, { of: 'database', forMs: 12_000, load }), []);
  });

  it('of the policy, which no process can read', async () => {
    assert.deepEqual(await outage(scene, { of: 'policy', forMs: 18_000, load }), []);
  });
});
