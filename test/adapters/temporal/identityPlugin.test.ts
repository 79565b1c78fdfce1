import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkerOptions } from '@temporalio/worker';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { knownKeys } from '../../../adapters/keys/knownKeys.ts';
import { identityPlugin } from '../../../adapters/temporal/identityPlugin.ts';
import { callerActivity } from '../../../domain/grants/grantHeader.ts';

describe('the plugin', () => {
  const plugin = identityPlugin({
    verifier: createGrantVerifier({ keys: knownKeys({ keys: [] }), issuer: 'urn:test' }),
    authorizer: { hasDefinition: () => true, isRevoked: () => false, decide: () => assert.fail() },
    audit: { append: async () => {} },
  });
  const configured = (options: Partial<WorkerOptions>) =>
    plugin.configureWorker!({ taskQueue: 'q', ...options }) as WorkerOptions;

  it('refuses a worker that would verify nothing', () => {
    assert.throws(() => identityPlugin().configureWorker!({ taskQueue: 'q' }), TypeError);
  });

  it('stands before every other interceptor of activities, the deprecated kind included', () => {
    const old = () => ({});
    const { interceptors } = configured({ interceptors: { activityInbound: [old], activity: [() => ({})] } });
    assert.deepEqual(interceptors!.activityInbound, []);
    assert.equal(interceptors!.activity!.length, 3);
  });

  it('gives every worker the activity that tells who is there', () => {
    const { activities, enableNonLocalActivities } = configured({ activities: { pay: () => {} } });
    assert.deepEqual(Object.keys(activities!), ['pay', callerActivity]);
    assert.equal(enableNonLocalActivities, true);
  });

  it('has a worker without activities take none of others', () => {
    assert.equal(configured({}).enableNonLocalActivities, false);
    assert.equal(
      configured({ activities: { pay() {} }, enableNonLocalActivities: false }).enableNonLocalActivities,
      false,
    );
  });

  it('keeps the interceptors that a client has', () => {
    const own = {};
    const { interceptors } = plugin.configureClient!({ interceptors: { workflow: [own] } });
    assert.equal((interceptors!.workflow as object[]).length, 2);
    assert.throws(() => plugin.configureClient!({ interceptors: { workflow: { calls: [] } } }), TypeError);
  });
});
