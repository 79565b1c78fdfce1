import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { WithStartWorkflowOperation, WorkflowIdConflictPolicy } from '@temporalio/client';
import { carryingGrant } from '../../../sdk/temporal.ts';
import { createScript, type Script } from './script.ts';
import { alice, bob, type Scripted, startScripted, suiteTimeoutMs } from './scriptedWorker.ts';
import type { Act } from './scriptedWorkflows.ts';

/** For each path that a header can take: which activities ran, and for which principal. */
describe('a grant on its way through Temporal', { timeout: suiteTimeoutMs }, () => {
  let app: Scripted;
  let script: Script;

  before(async () => {
    app = await startScripted();
  });
  after(() => app.stop());
  beforeEach(() => {
    script = createScript(app);
  });

  describe('from the start of a workflow', () => {
    it('reaches activities and local activities', async () => {
      await script.play([{ note: 'far' }, { note: 'near', local: true }]);
      assert.deepEqual(script.effects(), ['far for alice', 'near for alice']);
      assert.deepEqual(script.refusals(), []);
    });

    it('reaches the attempts after the first, far and near', async () => {
      await script.play([
        { note: 'far', failing: 2 },
        { note: 'near', local: true, failing: 2 },
      ]);
      assert.deepEqual(script.effects(), ['far for alice', 'near for alice']);
    });

    it('tells the workflow itself who is there', async () => {
      const grant = await script.mint({ workflowType: 'asking', args: [] });
      const options = { ...script.options([]), args: [] };
      const caller = await carryingGrant(grant, () => app.client.workflow.execute('asking', options));
      assert.deepEqual(caller, alice);
    });

    it('goes on into a continuation with arguments of its own', async () => {
      await script.play([{ note: 'before' }, { continue: [{ note: 'after' }] }]);
      assert.deepEqual(script.effects(), ['before for alice', 'after for alice']);
    });

    it('goes on into a retry of the workflow, and into a retry of what it continued as', async () => {
      const once: Act[] = [{ note: 'b' }, { failOnce: true }, { note: 'c' }];
      const retry = { maximumAttempts: 2, initialInterval: '10ms' };
      await script.play([{ note: 'a' }, { failOnce: true }, { continue: once }], { retry });
      const effects = ['a', 'a', 'b', 'b', 'c'].map((label) => `${label} for alice`);
      assert.deepEqual(script.effects(), effects);
      assert.deepEqual(script.refusals(), []);
    });

    it('goes on after a reset', async () => {
      const told: Act[] = [{ set: 'told' }];
      const acts: Act[] = [{ note: 'once' }, { until: 'told' }, { note: 'then' }];
      const { firstExecutionRunId: runId } = await script.start(await script.forStart(acts), acts);
      await script.until(() => script.effects().length === 1);
      await app.reset(script.id, runId);
      await script.until(() => script.effects().length === 2);
      await script.signal(await script.byBob('act', told), told);
      await script.handle.result();
      assert.deepEqual(script.effects(), ['once for alice', 'once for alice', 'then for alice']);
      const events = app.audited.filter((event) => event.runId === script.id);
      assert.deepEqual(
        events.map(({ action, actor, detail }) => [action, actor, detail.original]),
        [['workflow.reset', null, runId]],
      );
    });

    it('reaches children and theirs, of the types that it names, below its own id', async () => {
      const grandchild: Act[] = [{ note: 'grandchild' }];
      const child: Act[] = [{ note: 'child' }, { child: `${script.id}/a/b`, acts: grandchild }];
      const acts: Act[] = [{ child: `${script.id}/a`, acts: child }, { note: 'self' }];
      await script.play(acts, {}, { children: ['scripted'] });
      assert.deepEqual(script.effects(), ['child for alice', 'grandchild for alice', 'self for alice']);
    });
  });

  describe('with a message', () => {
    const waiting: Act[] = [{ note: 'first' }, { until: 'told' }, { note: 'last' }];
    const telling: Act[] = [{ note: 'message' }, { set: 'told' }];

    it('lets the handler of a signal act for its sender, and the workflow for its own', async () => {
      await script.start(await script.forStart(waiting), waiting);
      await script.signal(await script.byBob('act', telling), telling);
      await script.handle.result();
      assert.deepEqual(script.effects().sort(), ['first for alice', 'last for alice', 'message for bob']);
    });

    it('does so when the signal starts the workflow', async () => {
      const grant = await script.forStart(waiting, { message: { name: 'act', args: [telling] } });
      const message = { signal: 'act', signalArgs: [telling] };
      await carryingGrant(grant, () =>
        app.client.workflow.signalWithStart('scripted', { ...script.options(waiting), ...message }),
      );
      await script.handle.result();
      assert.deepEqual(script.effects().sort(), ['first for alice', 'last for alice', 'message for alice']);
    });

    for (const name of ['update', 'unvalidated']) {
      it(`lets the handler of an update act for its sender: ${name}`, async () => {
        await script.start(await script.forStart(waiting), waiting);
        await script.update(await script.byBob(name, telling), telling, name);
        await script.handle.result();
        assert.deepEqual(script.effects().sort(), ['first for alice', 'last for alice', 'message for bob']);
      });
    }

    it('does so when the update starts the workflow', async () => {
      const grant = await script.forStart(waiting, { message: { name: 'update', args: [telling] } });
      await carryingGrant(grant, () =>
        app.client.workflow.executeUpdateWithStart('update', {
          args: [telling],
          startWorkflowOperation: new WithStartWorkflowOperation('scripted', {
            ...script.options(waiting),
            workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
          }),
        }),
      );
      await script.handle.result();
      assert.deepEqual(script.effects().sort(), ['first for alice', 'last for alice', 'message for alice']);
    });

    it('tells a handler who has sent it', async () => {
      await script.start(await script.forStart(waiting), waiting);
      const grant = await script.mint({ principal: bob, message: { name: 'sender', args: [] } });
      assert.deepEqual(await carryingGrant(grant, () => script.handle.executeUpdate('sender')), bob);
      await script.signal(undefined, [{ set: 'told' }]);
      await script.handle.result();
    });

    it('reaches a query, which has no effect for any principal', async () => {
      await script.start(await script.forStart(waiting), waiting);
      const grant = await script.byBob('borrow', []);
      // After the first activity the query comes alone. A command in the answer to such a query would end the worker.
      await script.until(() => script.effects().length === 1);
      await assert.rejects(
        carryingGrant(grant, () => script.handle.query('borrow')),
        /must not start anything/,
      );
      await script.signal(undefined, [{ set: 'told' }]);
      await script.handle.result();
      assert.deepEqual(script.effects(), ['first for alice', 'last for alice']);
    });

    it('reaches the children that a handler starts, and theirs', async () => {
      const child: Act[] = [{ note: 'child' }, { child: `${script.id}/a/b`, acts: [{ note: 'grandchild' }] }];
      const acts: Act[] = [{ child: `${script.id}/a`, acts: child }];
      await script.start(await script.forStart(waiting), waiting);
      await script.update(await script.byBob('update', acts, { children: ['scripted'] }), acts);
      await script.signal(undefined, [{ set: 'told' }]);
      await script.handle.result();
      assert.deepEqual(script.effects().slice(1), ['child for bob', 'grandchild for bob', 'last for alice']);
    });

    it('does not replace that of the workflow where a handler continues it', async () => {
      const acts: Act[] = [{ continue: [{ note: 'after' }] }];
      await script.start(await script.forStart([{ until: 'never' }]), [{ until: 'never' }]);
      await script.signal(await script.byBob('act', acts), acts);
      await script.handle.result();
      assert.deepEqual(script.effects(), ['after for alice']);
    });

    it('goes along with a signal from one workflow to another, which cannot act by it', async () => {
      const other = createScript(app);
      await other.start(await other.forStart(waiting), waiting);
      const acts: Act[] = [{ note: 'borrowed' }];
      await script.play([{ tell: other.id, acts: [...acts, { set: 'told' }] }, { note: 'own' }]);
      await other.until(() => other.refusals().length === 1);
      await other.update(await other.byBob('update', [{ set: 'told' }]), [{ set: 'told' }]);
      await other.handle.result();
      assert.deepEqual((await other.handle.describe()).memo, { seen: { act: ['waybill-grant'] } });
      assert.deepEqual(script.effects(), ['own for alice']);
      assert.deepEqual(other.effects(), ['first for alice', 'last for alice']);
      assert.deepEqual(other.refusals(), ['GrantMismatch of prn_alice']);
    });
  });
});
