import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createScript, type Script } from './script.ts';
import { type Scripted, startScripted, suiteTimeoutMs } from './scriptedWorker.ts';
import type { Act } from './scriptedWorkflows.ts';

/** Several people act in one workflow at the same time: each effect belongs to the person who caused it, in every order. */
describe('who acts in a workflow that receives messages', { timeout: suiteTimeoutMs }, () => {
  let app: Scripted;
  let script: Script;

  before(async () => {
    app = await startScripted();
  });
  after(() => app.stop());
  beforeEach(() => {
    script = createScript(app);
  });

  /** Starts as alice may, and sends each list of acts as a signal of bob’s, in their order. */
  async function play(acts: Act[], ...signals: Act[][]): Promise<void> {
    await script.start(await script.forStart(acts), acts);
    for (const signal of signals) await script.signal(await script.byBob('act', signal), signal);
    await script.handle.result();
  }

  const effectsByPerson = () => Object.fromEntries(script.effects().map((effect) => effect.split(' for ')));

  it('is told apart where handler and workflow take turns', async () => {
    await play(
      [{ note: 'a1' }, { until: 'one' }, { note: 'a2' }, { set: 'two' }, { until: 'three' }, { note: 'a3' }],
      [{ note: 'b1' }, { set: 'one' }, { until: 'two' }, { note: 'b2' }, { set: 'three' }, { note: 'b3' }],
    );
    assert.deepEqual(effectsByPerson(), {
      a1: 'alice',
      a2: 'alice',
      a3: 'alice',
      b1: 'bob',
      b2: 'bob',
      b3: 'bob',
    });
  });

  it('is told apart where both wait for the same thing', async () => {
    await play(
      [{ fork: [{ until: 'go' }, { note: 'a1' }] }, { until: 'go' }, { note: 'a2' }],
      [{ fork: [{ until: 'go' }, { note: 'b1' }] }, { until: 'go' }, { note: 'b2' }],
      [{ set: 'go' }, { note: 'b3' }],
    );
    assert.deepEqual(effectsByPerson(), { a1: 'alice', a2: 'alice', b1: 'bob', b2: 'bob', b3: 'bob' });
  });

  it('is told apart where a handler leaves something behind that goes on by itself', async () => {
    await play(
      [{ until: 'started' }, { note: 'a1' }, { set: 'go' }, { until: 'done' }, { note: 'a2' }],
      [{ fork: [{ until: 'go' }, { note: 'b1' }, { set: 'done' }] }, { set: 'started' }],
    );
    assert.deepEqual(effectsByPerson(), { a1: 'alice', a2: 'alice', b1: 'bob' });
  });

  it('is told apart through attempts that are far apart, near ones too', async () => {
    await play(
      [{ note: 'a1', local: true, failing: 2 }, { until: 'done' }],
      [{ note: 'b1', local: true, failing: 2 }, { note: 'b2', failing: 2 }, { set: 'done' }],
    );
    assert.deepEqual(effectsByPerson(), { a1: 'alice', b1: 'bob', b2: 'bob' });
  });

  it('is the person who runs what another has only prepared', async () => {
    await play(
      [{ leave: 'for bob', acts: [{ note: 'b1' }] }, { take: 'for alice' }, { until: 'done' }],
      [{ leave: 'for alice', acts: [{ note: 'a1' }] }, { take: 'for bob' }, { set: 'done' }],
    );
    assert.deepEqual(effectsByPerson(), { a1: 'alice', b1: 'bob' });
  });

  it('is unknown in a handler without a grant, however long it waits for the workflow', async () => {
    const acts: Act[] = [
      { until: 'started' },
      { note: 'a1' },
      { set: 'go' },
      { until: 'told' },
      { note: 'a2' },
    ];
    await script.start(await script.forStart(acts), acts);
    await script.signal(undefined, [{ set: 'started' }, { until: 'go' }, { note: 'evil' }]);
    await script.until(() => script.refusals().length === 1);
    await script.signal(undefined, [{ set: 'told' }]);
    await script.handle.result();
    assert.deepEqual(script.effects(), ['a1 for alice', 'a2 for alice']);
    assert.deepEqual(script.refusals(), ['GrantMissing']);
  });

  it('is the same when the history is replayed by a worker that has forgotten it', async () => {
    const acts: Act[] = [{ note: 'a1' }, { until: 'go' }, { note: 'a2' }];
    const signal: Act[] = [{ note: 'b1' }, { until: 'go' }, { note: 'b2' }];
    await script.start(await script.forStart(acts), acts);
    await script.signal(await script.byBob('act', signal), signal);
    await script.until(() => script.effects().length === 2);
    await app.restartWorker();
    await script.signal(undefined, [{ set: 'go' }]);
    await script.handle.result();
    assert.deepEqual(effectsByPerson(), { a1: 'alice', b1: 'bob', a2: 'alice', b2: 'bob' });
  });
});
