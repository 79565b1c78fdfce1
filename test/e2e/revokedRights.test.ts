import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { carryingGrant, grantClientInterceptor } from '../../adapters/temporal/clientInterceptors.ts';
import { grantHeader } from '../../domain/grants/grantHeader.ts';
import { principalId } from '../../domain/principal.ts';
import type { Revocation } from '../../domain/revocation.ts';
import { hasEnded } from '../../domain/runs/run.ts';
import type { Run } from '../../sdk/client.ts';
import { runWaybill } from '../cli/waybillProcess.ts';
import { type HeldStack, startHeldStack } from '../support/heldStack.ts';
import { until } from '../support/until.ts';

type Call = Awaited<ReturnType<HeldStack['as']>>;

const withinMs = 10_000;

describe('rights that are withdrawn from a run', () => {
  let stack: HeldStack;
  let feed: HeldStack['feed'];
  let rows: HeldStack['rows'];
  let temporal: HeldStack['temporal'];
  let alice: Call;
  let carol: Call;

  before(async () => {
    stack = await startHeldStack({ interceptors: { workflow: [grantClientInterceptor] } });
    ({ feed, rows, temporal } = stack);
    alice = await stack.as('alice');
    carol = await stack.as('carol');
  });
  after(() => stack?.stop());

  const get = async (id: string) => (await (await alice(`/v1/runs/${id}`)).json()) as Run;
  const inState = (id: string, state: Run['state'], code?: string, ms?: number) =>
    until(
      `${id} ${state} ${code ?? ''}`,
      async () => {
        const run = await get(id);
        if (hasEnded(run.state)) assert.equal(run.state, state, JSON.stringify(run));
        return run.state === state && (code === undefined || run.reason?.code === code) && run;
      },
      ms,
    );

  let feeds = 0;
  /** A run of alice, or of `as`, with a source that the test controls. */
  async function begin(pipeline = 'feed', as = alice): Promise<{ id: string; name: string }> {
    const name = `f${++feeds}`;
    const response = await as(`/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      body: JSON.stringify({ source: { url: feed.urlOf(name) } }),
      headers: { 'content-type': 'application/json' },
    });
    const { id } = (await response.json()) as Run;
    assert.equal(response.status, 202);
    return { id, name };
  }

  const records = (name: string, from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({
      id: `${name}-${from + i}`,
      at: '2026-01-02T03:04:05Z',
      size: i,
    }));
  const ids = (name: string, from: number, to: number) => records(name, from, to).map(({ id }) => ({ id }));
  const prepared = (id: string, batches: number) =>
    until(`${batches} batches of ${id} are transformed`, async () => {
      const [{ n }] = (await rows<{ n: number }>(
        `SELECT count(*)::integer AS n FROM waybill.stage WHERE run_id = $1 AND stage = 'transform'`,
        [id],
      )) as [{ n: number }];
      return n >= batches;
    });
  const stored = async (id: string) =>
    (
      await rows<{ n: number }>('SELECT count(*)::integer AS n FROM waybill.ledger WHERE run_id = $1', [id])
    )[0]!.n;

  async function revoke(kind: string, id: string): Promise<Revocation> {
    const body = JSON.stringify({ kind, id, reason: 'a test' });
    const headers = { 'content-type': 'application/json' };
    const response = await carol('/v1/revocations', { method: 'POST', body, headers });
    assert.equal(response.status, 201);
    return (await response.json()) as Revocation;
  }
  const restore = ({ id }: Revocation) => carol(`/v1/revocations/${id}`, { method: 'DELETE' });
  const prnOf = (name: string) => principalId(stack.info().issuerUrl, name);

  const audited = (runId: string, action: string) =>
    rows<{ actor: { id: string } | null; detail: Record<string, unknown>; at: Date }>(
      'SELECT actor, detail, at FROM waybill.audit_event WHERE run_id = $1 AND action = $2 ORDER BY id',
      [runId, action],
    );

  /** A run that waits after ten of its thirty records, since its grant was revoked. */
  async function suspended() {
    const { id, name } = await begin();
    feed.send(name, records(name, 0, 10));
    await prepared(id, 1);
    const revocation = await revoke('grant', id);
    feed.send(name, records(name, 10, 30));
    await inState(id, 'suspended');
    return { id, name, revocation };
  }

  async function revokedRunEnds(id: string, name: string, revocation: Revocation): Promise<void> {
    feed.end(name);
    await restore(revocation);
    const { counts } = await inState(id, 'completed');
    assert.equal(counts.stored, 30);
  }

  it('stop it at its next task; restored, it goes on from where it stood, and stores nothing twice', async () => {
    const { id, name } = await begin();
    feed.send(name, records(name, 0, 800));
    feed.end(name);
    await until('some batches are stored', async () => (await stored(id)) >= 5);
    const revocation = await revoke('principal', prnOf('alice'));
    const refused = await until('a task is refused', async () => (await audited(id, 'attempt.denied'))[0]);
    const tookMs = refused.at.getTime() - Date.parse(revocation.createdAt);
    assert.ok(tookMs < withinMs, `${tookMs} ms`);
    assert.equal(refused.detail.code, 'GrantRevoked');
    // The API rejects alice, too; bob may read the run and sees why it waits.
    assert.equal((await alice(`/v1/runs/${id}`)).status, 403);
    const shown = await until('carol sees it suspended', async () => {
      const run = (await (await carol(`/v1/runs/${id}`)).json()) as Run;
      return run.state === 'suspended' && run;
    });
    assert.equal(shown.reason?.code, 'GrantRevoked');
    const got = await runWaybill(['runs', 'get', id, '--as', 'carol'], { WAYBILL_HOME: stack.home });
    assert.match(got.stdout, /suspended[\s\S]*GrantRevoked: /);

    const handle = temporal.workflow.getHandle(id);
    const description = await until('it holds nothing', async () => {
      const found = await handle.describe();
      return (found.raw.pendingActivities ?? []).length === 0 && found;
    });
    assert.equal(description.status.name, 'RUNNING');
    assert.deepEqual(description.searchAttributes.WaybillState, ['suspended']);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.match(currentDetails, /suspended[\s\S]*`GrantRevoked`/);
    const atRest = await stored(id);
    assert.ok(atRest < 80, 'something is left to be stored');
    await pause(500);
    assert.equal(await stored(id), atRest);

    await restore(revocation);
    const run = await until('it is completed', async () => {
      const now = await alice(`/v1/runs/${id}`);
      const shown = now.status === 200 && ((await now.json()) as Run);
      return shown && hasEnded(shown.state) && shown;
    });
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.deepEqual([run.counts.read, run.counts.stored, run.reason], [800, 800, undefined]);
    const [{ n }] = (await rows<{ n: number }>(`SELECT count(*)::integer AS n FROM feed WHERE id LIKE $1`, [
      `${name}-%`,
    ])) as [{ n: number }];
    assert.equal(n, 800);
    assert.equal((await audited(id, 'batch.stored')).length, 80);
    const events = await rows<{ action: string }>(
      `SELECT action FROM waybill.audit_event WHERE run_id = $1 AND action IN ('run.suspended', 'run.resumed') ORDER BY id`,
      [id],
    );
    assert.deepEqual(
      events.map(({ action }) => action),
      ['run.suspended', 'run.resumed'],
    );
    await handle.result();
    assert.deepEqual((await handle.describe()).searchAttributes.WaybillState, ['completed']);
  });

  it('stop the next task within 10 s, each time', async () => {
    for (let trial = 0; trial < 5; trial++) {
      const { id, name } = await begin();
      feed.send(name, records(name, 0, 10));
      await prepared(id, 1);
      const revocation = await revoke('grant', id);
      // From here on batches keep arriving, so that there is a next task at any moment.
      let sent = 10;
      const refused = await until('a task is refused', async () => {
        feed.send(name, records(name, sent, sent + 10));
        sent += 10;
        await pause(75);
        return (await audited(id, 'attempt.denied'))[0];
      });
      const tookMs = refused.at.getTime() - Date.parse(revocation.createdAt);
      assert.ok(tookMs < withinMs, `trial ${trial}: ${tookMs} ms`);
      await inState(id, 'suspended', 'GrantRevoked');
      feed.end(name);
      await restore(revocation);
      const { counts } = await inState(id, 'completed');
      assert.deepEqual([counts.read, counts.stored], [sent, sent]);
    }
  });

  it('a recheck changes nothing for a run without rights', async () => {
    const { id, name, revocation } = await suspended();
    const asked = (await audited(id, 'attempt.denied')).length;
    await temporal.workflow.getHandle(id).signal('recheckAuthorization');
    await until('it asks again', async () => (await audited(id, 'attempt.denied')).length > asked);
    assert.equal((await get(id)).state, 'suspended');
    await revokedRunEnds(id, name, revocation);
  });

  it('bring no forged grant in: unsigned, of another run, or an earlier one of the same', async () => {
    const [mine, other] = [await suspended(), await begin()];
    const handle = temporal.workflow.getHandle(mine.id);
    const grantOf = async (id: string) =>
      (await rows<{ grant_jws: string }>('SELECT grant_jws FROM waybill.run WHERE id = $1', [id]))[0]!
        .grant_jws;
    const before = (await audited(mine.id, 'attempt.denied')).length;
    await assert.rejects(handle.executeUpdate('waybill-replace-grant'), WorkflowUpdateFailedError);
    for (const grant of [await grantOf(other.id), await grantOf(mine.id)])
      await assert.rejects(
        carryingGrant(grant, () => handle.executeUpdate('waybill-replace-grant')),
        WorkflowUpdateFailedError,
      );
    const refusals = (await audited(mine.id, 'attempt.denied')).slice(before);
    assert.deepEqual(
      refusals
        .filter(({ detail }) => detail.activityType === 'replaceGrant')
        .map(({ detail }) => detail.code),
      ['GrantMissing', 'GrantMismatch', 'GrantMismatch'],
    );
    assert.equal((await get(mine.id)).state, 'suspended');
    // What it carries is still what it had.
    const { events } = await handle.fetchHistory();
    const carried = events!.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => {
      const payload = scheduled?.header?.fields?.[grantHeader];
      return payload ? [defaultPayloadConverter.fromPayload<string>(payload)] : [];
    });
    assert.deepEqual([...new Set(carried)], [await grantOf(mine.id)]);
    await revokedRunEnds(mine.id, mine.name, mine.revocation);
    feed.end(other.name);
  });

  it('by time: only its requester’s resume gives it a new grant, and it completes', async () => {
    const { id, name } = await begin('brief');
    feed.send(name, ids(name, 0, 10));
    await prepared(id, 1);
    const grantOf = async () => {
      const [run] = await rows<{ grant_jws: string }>('SELECT grant_jws FROM waybill.run WHERE id = $1', [
        id,
      ]);
      return JSON.parse(Buffer.from(run!.grant_jws.split('.')[1]!, 'base64url').toString());
    };
    const first = await grantOf();
    await pause(first.exp * 1000 - Date.now() + 100);
    feed.send(name, ids(name, 10, 30));
    await inState(id, 'suspended', 'GrantExpired');
    const asked = (await audited(id, 'attempt.denied')).length;
    assert.equal((await carol(`/v1/runs/${id}/resume`, { method: 'POST' })).status, 202);
    await until('it asks again', async () => (await audited(id, 'attempt.denied')).length > asked);
    assert.equal((await get(id)).reason?.code, 'GrantExpired');

    feed.end(name);
    assert.equal((await alice(`/v1/runs/${id}/resume`, { method: 'POST' })).status, 202);
    const { counts } = await inState(id, 'completed');
    assert.deepEqual([counts.read, counts.stored], [30, 30]);
    const successor = await grantOf();
    assert.notEqual(successor.jti, first.jti);
    assert.deepEqual([successor.txn, successor.sub, successor.scope], [first.txn, first.sub, first.scope]);
    const grants = (await audited(id, 'batch.stored')).map(({ detail }) => detail.grant);
    assert.deepEqual([...new Set(grants)], [successor.jti]);
    assert.equal((await audited(id, 'run.resume-requested')).length, 2);
  });

  it('and not given back in time: it is cancelled at its deadline', async () => {
    const { id, name } = await begin('brief');
    feed.send(name, ids(name, 0, 10));
    await prepared(id, 1);
    await revoke('grant', id);
    feed.send(name, ids(name, 10, 30));
    await inState(id, 'suspended');
    const run = await inState(id, 'cancelled');
    assert.equal(run.reason?.code, 'DeadlineExceeded');
    assert.equal(run.counts.stored, 0);
    feed.end(name);
  });

  it('do not keep it from being cancelled', async () => {
    const { id, name } = await begin();
    feed.send(name, records(name, 0, 10));
    await prepared(id, 1);
    await revoke('grant', id);
    feed.send(name, records(name, 10, 30));
    await inState(id, 'suspended');
    assert.equal((await alice(`/v1/runs/${id}/cancel`, { method: 'POST' })).status, 202);
    const run = await inState(id, 'cancelled', 'RunCancelled', withinMs);
    assert.equal(run.counts.stored, 0);
    feed.end(name);
  });

  const firstTaskOf = async (id: string) => {
    const { events } = await temporal.workflow.getHandle(id).fetchHistory();
    return events!.find((event) => event.workflowTaskCompletedEventAttributes)!.eventId!;
  };
  const reset = async (id: string) =>
    (
      await temporal.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: id },
        reason: 'a test',
        requestId: `reset-${id}`,
        workflowTaskFinishEventId: await firstTaskOf(id),
      })
    ).runId;

  it('a reset of a run that has ended does nothing more', async () => {
    const { id, name } = await begin();
    feed.send(name, records(name, 0, 50));
    feed.end(name);
    await inState(id, 'completed');
    const execution = await reset(id);
    await assert.rejects(temporal.workflow.getHandle(id, execution).result());
    const resets = await audited(id, 'workflow.reset');
    assert.deepEqual(
      resets.map(({ actor, detail }) => [actor, detail.execution]),
      [[null, execution]],
    );
    const refused = await audited(id, 'attempt.denied');
    assert.deepEqual([...new Set(refused.map(({ detail }) => detail.code))], ['RunEnded']);
    const run = await get(id);
    assert.deepEqual([run.state, run.counts.stored, run.counts.unchanged], ['completed', 50, 0]);
    assert.equal((await audited(id, 'batch.stored')).length, 5);
  });

  it('a reset in the midst goes on under the run’s own grant, stores nothing twice, and has no actor', async () => {
    const { id, name, revocation } = await suspended();
    const refusals = (await audited(id, 'attempt.denied')).length;
    const execution = await reset(id);
    await until('it is refused', async () => (await audited(id, 'attempt.denied')).length > refusals);
    assert.equal((await get(id)).state, 'suspended');
    await revokedRunEnds(id, name, revocation);
    const resets = await audited(id, 'workflow.reset');
    assert.deepEqual(
      resets.map(({ actor, detail }) => [actor, detail.execution]),
      [[null, execution]],
    );
    assert.equal((await audited(id, 'batch.stored')).length, 3);
  });

  it('a run that is terminated and started again from outside goes on under its own grant, and has no actor', async () => {
    const { id, name } = await begin();
    feed.send(name, records(name, 0, 10));
    await prepared(id, 1);
    const handle = temporal.workflow.getHandle(id);
    const { events } = await handle.fetchHistory();
    const begun = events![0]!.workflowExecutionStartedEventAttributes!;
    const input = defaultPayloadConverter.fromPayload(begun.input!.payloads![0]!);
    const grant = defaultPayloadConverter.fromPayload<string>(begun.header!.fields![grantHeader]!);
    await handle.terminate();
    const restarted = await carryingGrant(grant, () =>
      temporal.workflow.start('runPipeline', { workflowId: id, taskQueue: 'waybill', args: [input] }),
    );
    // Runs are held against Temporal’s record once they are a minute old.
    await rows(`UPDATE waybill.run SET created_at = created_at - interval '2 minutes' WHERE id = $1`, [id]);
    const [event, ...more] = await until('it is audited', async () => {
      const found = await audited(id, 'run.restarted');
      return found.length > 0 && found;
    });
    assert.deepEqual(
      [event!.actor, event!.detail.execution, more],
      [null, restarted.firstExecutionRunId, []],
    );
    feed.send(name, records(name, 10, 30));
    feed.end(name);
    const { counts } = await inState(id, 'completed');
    assert.deepEqual([counts.read, counts.stored, counts.unchanged], [30, 30, 0]);
    assert.equal((await audited(id, 'batch.stored')).length, 3);
  });
});
