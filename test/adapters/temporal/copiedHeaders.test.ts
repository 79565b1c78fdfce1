import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type ScheduleHandle, ScheduleOverlapPolicy } from '@temporalio/client';
import { continuedHeader, faultHeader, grantHeader } from '../../../domain/grants/grantHeader.ts';
import { carryingGrant } from '../../../sdk/temporal.ts';
import { clientWith, codeOf, createScript, type Script } from './script.ts';
import { dave, type Scripted, startScripted, suiteTimeoutMs } from './scriptedWorker.ts';
import type { Act } from './scriptedWorkflows.ts';

const run = promisify(execFile);

/** A client that reaches Temporal reads headers in histories and sends what it likes. None of it lets it act as a principal. */
describe('a header that is missing, copied or made up', { timeout: suiteTimeoutMs }, () => {
  let app: Scripted;
  let script: Script;

  before(async () => {
    app = await startScripted();
  });
  after(() => app.stop());
  beforeEach(() => {
    script = createScript(app);
  });

  const evil: Act[] = [{ note: 'evil' }];
  const theirs: Act[] = [{ note: 'theirs' }];
  const waiting: Act[] = [{ until: 'told' }, { note: 'last' }];
  const telling: Act[] = [{ set: 'told' }];

  describe('on a start', () => {
    it('is missing where it comes from Temporal’s command line', async () => {
      await run(app.binary, [
        ...['workflow', 'execute', '--address', app.env.address, '--type', 'scripted'],
        ...['--task-queue', app.taskQueue, '--workflow-id', script.id, '--input', JSON.stringify(evil)],
      ]).catch(() => {});
      assert.deepEqual(script.effects(), []);
      assert.deepEqual(script.refusals(), ['GrantMissing']);
    });

    it('is missing where the client carries none', async () => {
      await script.start(undefined, evil);
      assert.equal(await codeOf(script.handle.result()), 'GrantMissing');
      assert.deepEqual(script.effects(), []);
    });

    it('lies in the history for everybody, and is of no use with other arguments', async () => {
      await script.play(theirs);
      const { events } = await script.handle.fetchHistory();
      const { fields } = events![0]!.workflowExecutionStartedEventAttributes!.header!;
      const copied = JSON.parse(Buffer.from(fields![grantHeader]!.data!).toString());
      await script.start(copied, evil);
      assert.equal(await codeOf(script.handle.result()), 'GrantMismatch');
      assert.deepEqual(script.effects(), ['theirs for alice']);
      assert.deepEqual(script.refusals(), ['GrantMismatch of prn_alice']);
    });

    it('nor does a continuation, a child, a retry or the next turn of a cron launder them', async () => {
      const grant = await script.forStart(theirs, { children: ['scripted'] });
      await script.start(grant, [{ continue: evil }]);
      assert.equal(await codeOf(script.handle.result()), 'GrantMissing');
      await script.start(grant, [{ child: `${script.id}/a`, acts: evil }]);
      assert.equal(await codeOf(script.handle.result()), 'GrantMissing');
      await script.start(grant, evil, { retry: { maximumAttempts: 2, initialInterval: '10ms' } });
      assert.equal(await codeOf(script.handle.result()), 'GrantMismatch');
      await script.start(grant, evil, { cronSchedule: '@every 1s' });
      await script.until(() => script.refusals().length >= 6);
      await script.handle.terminate();
      assert.deepEqual(script.effects(), []);
    });

    it('nor does the claim that something is continued', async () => {
      await script.play(theirs);
      const { firstExecutionRunId } = await script.start(await script.forStart(evil), theirs);
      await codeOf(script.handle.result());
      for (const claimed of ['', script.id, firstExecutionRunId]) {
        const headers = { [grantHeader]: await script.forStart(theirs), [continuedHeader]: claimed };
        await clientWith(app, headers).workflow.start('scripted', script.options(evil));
        assert.equal(await codeOf(script.handle.result()), 'GrantMismatch');
      }
      assert.deepEqual(script.effects(), ['theirs for alice']);
    });

    it('is refused to another workflow, type and place among children', async () => {
      const other = createScript(app);
      const grant = await other.forStart(evil, { children: ['scripted'] });
      await script.start(grant, evil);
      assert.equal(await codeOf(script.handle.result()), 'GrantMismatch');
      await carryingGrant(await script.forStart(evil), () =>
        app.client.workflow.start('ungranted', script.options(evil)),
      );
      assert.equal(await codeOf(script.handle.result()), 'GrantMismatch');
      // The id of a child, of a type that is granted, but without a parent.
      const child = app.client.workflow.getHandle(`${other.id}/evil`);
      await carryingGrant(grant, () =>
        app.client.workflow.start('scripted', { ...script.options(evil), workflowId: child.workflowId }),
      );
      assert.equal(await codeOf(child.result()), 'GrantMismatch');
      assert.deepEqual([...script.effects(), ...other.effects()], []);
      assert.deepEqual(other.refusals(), ['GrantMismatch of prn_alice']);
    });

    it('is refused to children that it does not name', async () => {
      const terms = { children: ['scripted'] };
      const elsewhere = createScript(app);
      await assert.rejects(script.play([{ child: elsewhere.id, acts: evil }], {}, terms));
      await assert.rejects(
        script.play([{ child: `${script.id}/a`, type: 'ungranted', acts: evil }], {}, terms),
      );
      await assert.rejects(script.play([{ child: `${script.id}/a`, acts: evil }]));
      assert.deepEqual([...script.effects(), ...elsewhere.effects()], []);
      assert.deepEqual(
        [...script.refusals(), ...elsewhere.refusals()],
        Array(3).fill('GrantMismatch of prn_alice'),
      );
    });

    it('of a person who was revoked since is rejected', async () => {
      const acts: Act[] = [{ note: 'before' }, { until: 'told' }, { note: 'after' }];
      await script.start(await script.forStart(acts), acts);
      await script.until(() => script.effects().length === 1);
      app.revoked.add('prn_alice');
      try {
        await script.signal(undefined, telling);
        assert.equal(await codeOf(script.handle.result()), 'GrantRevoked');
      } finally {
        app.revoked.delete('prn_alice');
      }
      assert.deepEqual(script.effects(), ['before for alice']);
    });
  });

  describe('on a message', () => {
    let own: string;
    beforeEach(async () => {
      own = await script.forStart(waiting);
      await script.start(own, waiting);
    });

    /** Whatever was tried, the workflow goes on as alice, and no other principal has done anything. */
    async function unharmed(refusals: string[]): Promise<void> {
      await script.until(() => script.refusals().length === refusals.length);
      await script.signal(undefined, telling);
      await script.handle.result();
      assert.deepEqual(script.effects(), ['last for alice']);
      assert.deepEqual(script.refusals(), refusals);
    }

    it('that is missing leaves the handler without a principal; the signal is dropped', async () => {
      await script.signal(undefined, evil);
      await script.signal(undefined, [{ note: 'evil', local: true }]);
      await unharmed(['GrantMissing', 'GrantMissing']);
    });

    it('that is missing fails the update and nothing else, validated or not', async () => {
      for (const name of ['update', 'unvalidated', 'sender'])
        assert.equal(await codeOf(script.update(undefined, evil, name)), 'GrantMissing');
      await unharmed(['GrantMissing', 'GrantMissing', 'GrantMissing']);
    });

    it('that was copied from the start is refused', async () => {
      await script.signal(own, evil);
      assert.equal(await codeOf(script.update(own, evil)), 'GrantMismatch');
      assert.equal(await codeOf(script.update(own, [], 'sender')), 'GrantMismatch');
      await unharmed([
        'GrantMismatch of prn_alice',
        'GrantMismatch of prn_alice',
        'GrantMismatch of prn_alice',
      ]);
    });

    it('that was signed for another message is refused', async () => {
      const grant = await script.byBob('update', theirs);
      assert.equal(await codeOf(script.update(grant, evil)), 'GrantMismatch');
      assert.equal(await codeOf(script.update(grant, theirs, 'unvalidated')), 'GrantMismatch');
      await script.signal(grant, theirs);
      await unharmed(['GrantMismatch of prn_bob', 'GrantMismatch of prn_bob', 'GrantMismatch of prn_bob']);
    });

    it('that was signed for another workflow is refused', async () => {
      const grant = await createScript(app).byBob('update', evil);
      assert.equal(await codeOf(script.update(grant, evil)), 'GrantMismatch');
      await unharmed(['GrantMismatch of prn_bob']);
    });

    it('of another tenant is refused', async () => {
      const grant = await script.byBob('update', evil, { principal: dave });
      assert.equal(await codeOf(script.update(grant, evil)), 'GrantMismatch');
      await unharmed(['GrantMismatch of prn_dave']);
    });

    it('counts once', async () => {
      const grant = await script.byBob('sender', []);
      const asks = () => carryingGrant(grant, () => script.handle.executeUpdate('sender', { args: [[]] }));
      await asks();
      assert.equal(await codeOf(asks()), 'GrantMismatch');
      await unharmed(['GrantMismatch of prn_bob']);
    });

    it('does not start a workflow', async () => {
      const other = createScript(app);
      await other.start(await other.byBob('update', evil), evil);
      assert.equal(await codeOf(other.handle.result()), 'GrantMismatch');
      await unharmed([]);
    });

    it('is not taken for the workflow’s own, whatever the message is called', async () => {
      await script.update(undefined, [], 'waybill-replace-grant');
      await script.update(await script.byBob('waybill-replace-grant', []), [], 'waybill-replace-grant');
      await script.update('made up', [], 'waybill-replace-grant');
      await unharmed([]);
    });

    it('cannot say by itself that it has no fault', async () => {
      const headers = { [grantHeader]: own, [faultHeader]: '', [continuedHeader]: own };
      const raw = clientWith(app, headers).workflow.getHandle(script.id);
      assert.equal(await codeOf(raw.executeUpdate('update', { args: [evil] })), 'GrantMismatch');
      await unharmed(['GrantMismatch of prn_alice']);
    });
  });

  describe('of a schedule', () => {
    let schedule: ScheduleHandle | undefined;
    const scheduled = () => ({
      scheduleId: script.id,
      spec: {},
      policies: { overlap: ScheduleOverlapPolicy.ALLOW_ALL },
      action: {
        type: 'startWorkflow' as const,
        workflowType: 'scripted',
        taskQueue: app.taskQueue,
        workflowId: script.id,
        args: [evil],
      },
    });
    beforeEach(() => {
      schedule = undefined;
    });
    afterEach(() => schedule?.delete());

    it('is not kept, also where a principal creates it', async () => {
      const grant = await script.forStart(evil);
      schedule = await carryingGrant(grant, () => app.client.schedule.create(scheduled()));
      await schedule.trigger();
      await script.until(() => script.refusals().length === 1);
      assert.deepEqual(script.refusals(), ['GrantMissing']);
      assert.deepEqual(script.effects(), []);
    });

    it('is sent again by everybody who updates it, and is of no use to them', async () => {
      const headers = { [grantHeader]: await script.forStart(evil) };
      schedule = await clientWith(app, headers).schedule.create(scheduled());
      await schedule.trigger();
      await script.until(() => script.refusals().length === 1);
      await app.bare.schedule
        .getHandle(script.id)
        .update(
          ({ action, ...rest }) =>
            ({ ...rest, action: { ...action, args: [theirs], workflowId: `${script.id}-again` } }) as never,
        );
      await schedule.trigger();
      await script.until(() => script.refusals().length === 2);
      assert.deepEqual(script.refusals(), ['GrantMismatch of prn_alice', 'GrantMismatch of prn_alice']);
      assert.deepEqual(script.effects(), []);
    });
  });
});
