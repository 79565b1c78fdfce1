import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ScheduleUpdateOptions } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { temporalScheduleId } from '../../domain/schedules/schedule.ts';
import { type HeldStack, startHeldStack } from '../support/heldStack.ts';
import { until } from '../support/until.ts';

type Call = Awaited<ReturnType<HeldStack['as']>>;

interface Shown {
  id: string;
  state: string;
  reason: { code: string } | null;
  applied: boolean;
  revision: number;
  owner: { id: string };
  delegation: { id: string } | null;
  note: string | null;
}

interface ShownFiring {
  at: string;
  outcome: string;
  run: string | null;
  code: string | null;
}

interface ShownRun {
  id: string;
  state: string;
  requestedBy: { id: string; subject: string; kind: string; actor?: { subject: string; kind: string } };
  counts: { stored: number };
}

describe('schedules of the embedded stack', () => {
  let stack: HeldStack;
  let feed: HeldStack['feed'];
  let rows: HeldStack['rows'];
  let temporal: HeldStack['temporal'];
  let alice: Call;
  let carol: Call;

  before(async () => {
    stack = await startHeldStack({ workers: 1 });
    ({ feed, rows, temporal } = stack);
    alice = await stack.as('alice');
    carol = await stack.as('carol');
  });
  after(() => stack?.stop());

  const send = (call: Call, method: string, path: string, body?: unknown) =>
    call(path, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
  async function ask<T>(call: Call, method: string, path: string, body?: unknown): Promise<T> {
    const response = await send(call, method, path, body);
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  async function codeOf(call: Call, method: string, path: string, body?: unknown): Promise<string> {
    const response = await send(call, method, path, body);
    return ((await response.json()) as { code: string }).code;
  }

  /** A feed that is all there from the beginning, with one record. */
  function served(name: string): string {
    feed.send(name, [{ id: name, at: '2026-01-01T00:00:00Z', size: 1 }]);
    feed.end(name);
    return feed.urlOf(name);
  }

  const create = (id: string, terms: object, call = alice) =>
    ask<Shown>(call, 'POST', '/v1/schedules', { id, pipeline: 'feed', terms });
  const get = (id: string) => ask<Shown>(alice, 'GET', `/v1/schedules/${id}`);
  const firings = async (id: string) =>
    (await ask<{ items: ShownFiring[] }>(alice, 'GET', `/v1/schedules/${id}/firings`)).items;
  const runOf = (id: string) => ask<ShownRun>(alice, 'GET', `/v1/runs/${id}`);
  const endOf = (id: string) =>
    until(`${id} ended`, async () => {
      const run = await runOf(id);
      return ['completed', 'failed', 'cancelled'].includes(run.state) && run;
    });
  const firingWith = (id: string, outcome: string) =>
    until(`${id} ${outcome}`, async () => (await firings(id)).find((one) => one.outcome === outcome));
  const applied = (id: string) => until(`${id} applied`, async () => (await get(id)).applied);
  const handleOf = (id: string) => temporal.schedule.getHandle(temporalScheduleId({ tenant: 'acme', id }));
  const audited = (id: string, action: string) =>
    rows<{ detail: Record<string, unknown> }>(
      `SELECT detail FROM waybill.audit_event WHERE action = $2 AND detail ->> 'schedule' = $1`,
      [id, action],
    );

  it('fire in the name of their owner, each time once, with the scheduler as the actor', async () => {
    await create('often', { every: '2s', source: { url: served('often') } });
    const { run, at } = await firingWith('often', 'fired');
    const ended = await endOf(run!);
    assert.equal(ended.state, 'completed');
    assert.equal(ended.counts.stored, 1);
    const { requestedBy } = ended;
    assert.deepEqual(
      [requestedBy.subject, requestedBy.kind, requestedBy.actor?.subject, requestedBy.actor?.kind],
      ['alice', 'person', 'scheduler', 'service'],
    );
    assert.equal(Date.parse(at) % 2_000, 0);
    await until('a second time', async () => (await firings('often')).length >= 2);
    await ask(alice, 'DELETE', '/v1/schedules/often');
    await until('gone in Temporal', async () =>
      handleOf('often')
        .describe()
        .then(
          () => false,
          () => true,
        ),
    );
    const times = (await rows('SELECT nominal_at FROM waybill.firing WHERE schedule_id = $1', ['often'])).map(
      (row) => String(row.nominal_at),
    );
    assert.equal(new Set(times).size, times.length);
  });

  it('are blocked before anything happens once their owner is revoked, and go on only when they are resumed', async () => {
    const { owner } = await create('revoked', {
      every: '2s',
      overlap: 'allow-all',
      source: { url: served('revoked') },
    });
    await firingWith('revoked', 'fired');
    const { id } = await ask<{ id: string }>(carol, 'POST', '/v1/revocations', {
      kind: 'principal',
      id: owner.id,
    });
    try {
      await until(
        'blocked',
        async () =>
          (await rows(`SELECT FROM waybill.schedule WHERE id = 'revoked' AND state = 'blocked'`)).length > 0,
      );
      const [{ runs } = { runs: '' }] = await rows<{ runs: string }>(
        `SELECT count(*) AS runs FROM waybill.firing WHERE schedule_id = 'revoked' AND outcome = 'fired'`,
      );
      const [blocked] = await audited('revoked', 'schedule.blocked');
      assert.equal(blocked!.detail.code, 'DelegationRevoked');
      await until('paused in Temporal', async () => (await handleOf('revoked').describe()).state.paused);
      const after = await rows<{ runs: string }>(
        `SELECT count(*) AS runs FROM waybill.firing WHERE schedule_id = 'revoked' AND outcome = 'fired'`,
      );
      assert.equal(after[0]!.runs, runs);
    } finally {
      await ask(carol, 'DELETE', `/v1/revocations/${id}`);
    }
    await until('alice is back', async () => (await alice('/v1/whoami')).ok);
    const shown = await get('revoked');
    assert.deepEqual([shown.state, shown.reason?.code], ['blocked', 'DelegationRevoked']);
    await ask(alice, 'POST', '/v1/schedules/revoked/resume');
    const before = (await firings('revoked')).length;
    await until('fires again', async () => (await firings('revoked')).length > before);
    await ask(alice, 'DELETE', '/v1/schedules/revoked');
  });

  it('are blocked by a consent that was revoked, until the owner gives another', async () => {
    const { delegation } = await create('consented', {
      every: '2s',
      overlap: 'allow-all',
      source: { url: served('consented') },
    });
    await firingWith('consented', 'fired');
    await ask(carol, 'POST', '/v1/revocations', { kind: 'delegation', id: delegation!.id });
    const blocked = await until('blocked', async () => {
      const one = await get('consented');
      return one.state === 'blocked' && one;
    });
    assert.equal(blocked.reason!.code, 'DelegationRevoked');
    assert.equal(await codeOf(alice, 'POST', '/v1/schedules/consented/resume'), 'DelegationRevoked');
    const { revision } = blocked;
    const renewed = await ask<Shown>(alice, 'POST', '/v1/schedules/consented/renew', { revision });
    assert.notEqual(renewed.delegation!.id, delegation!.id);
    const before = (await firings('consented')).filter(({ outcome }) => outcome === 'fired').length;
    await until('fires again', async () => {
      const fired = (await firings('consented')).filter(({ outcome }) => outcome === 'fired');
      return fired.length > before;
    });
    await ask(alice, 'DELETE', '/v1/schedules/consented');
  });

  it('move nothing when Temporal is told to trigger, to backfill, or to do something else', async () => {
    await create('still', { cron: '0 0 1 1 *', source: { url: served('still') } });
    await applied('still');
    const handle = handleOf('still');
    const refusals = async () => (await audited('still', 'schedule.firing-denied')).length;

    await handle.trigger();
    await until('the trigger is refused', async () => (await refusals()) >= 1);
    await handle.backfill({
      start: new Date('2025-12-31T23:00:00Z'),
      end: new Date('2026-01-01T01:00:00Z'),
      overlap: 'ALLOW_ALL',
    });
    await until('the backfill is refused', async () => (await refusals()) >= 2);

    await handle.update(
      ({ action, policies, state }) =>
        ({ action, policies, state, spec: { intervals: [{ every: '1s' }] } }) as ScheduleUpdateOptions,
    );
    await until('the update is noticed', async () => (await audited('still', 'schedule.drifted')).length > 0);
    await until('and put right', async () => {
      const { raw } = await handle.describe();
      return !raw.schedule?.spec?.interval?.length;
    });
    assert.deepEqual(await firings('still'), []);
    assert.deepEqual(await rows(`SELECT FROM waybill.run WHERE source ->> 'url' LIKE '%/still'`), []);
    await ask(alice, 'DELETE', '/v1/schedules/still');
  });

  it('move nothing for a workflow that was started by hand, whatever it claims', async () => {
    await create('forged', { cron: '0 0 1 1 *', source: { url: served('forged') } });
    const scheduleId = temporalScheduleId({ tenant: 'acme', id: 'forged' });
    const nominal = new Date(Math.floor(Date.now() / 1000) * 1000);
    const attribute = (name: string, type: SearchAttributeType, value: unknown) =>
      ({ key: defineSearchAttributeKey(name, type as never), value }) as never;
    const at = `${nominal.toISOString().slice(0, 19)}Z`;
    for (const [workflowId, attributes] of [
      [`fire:${scheduleId}-${at}`, []],
      [
        `fire:${scheduleId}-2026-01-01T00:00:00Z`,
        [
          attribute('TemporalScheduledById', SearchAttributeType.KEYWORD, scheduleId),
          attribute('TemporalScheduledStartTime', SearchAttributeType.DATETIME, nominal),
        ],
      ],
    ] as const) {
      const answer = await temporal.workflow.execute('fireSchedule', {
        workflowId,
        taskQueue: 'waybill',
        typedSearchAttributes: attributes as never,
      });
      assert.deepEqual(answer, { outcome: 'refused', code: 'FiringRefused' });
    }
    await assert.rejects(
      temporal.workflow.execute('fireSchedule', { workflowId: 'by-hand', taskQueue: 'waybill' }),
    );
    assert.deepEqual(await firings('forged'), []);
    await ask(alice, 'DELETE', '/v1/schedules/forged');
  });

  it('wait for their owner when another principal has changed them', async () => {
    await create('shared', { cron: '0 6 * * *', source: { url: served('shared') } });
    const terms = { cron: '0 7 * * *', source: { url: feed.urlOf('shared') } };
    const copilot = await stack.as('copilot');
    const changed = await ask<Shown>(copilot, 'PATCH', '/v1/schedules/shared', { terms });
    assert.deepEqual([changed.state, changed.reason?.code], ['blocked', 'ConsentRequired']);
    const { revision } = changed;
    assert.equal(await codeOf(copilot, 'POST', '/v1/schedules/shared/renew', { revision }), 'OwnerOnly');
    assert.equal(await codeOf(alice, 'POST', '/v1/schedules/shared/resume'), 'ConsentRequired');
    const renewed = await ask<Shown>(alice, 'POST', '/v1/schedules/shared/renew', { revision });
    assert.equal(renewed.state, 'active');
    await ask(alice, 'DELETE', '/v1/schedules/shared');
  });

  it('give people runs of their own', async () => {
    await create('asked', { cron: '0 6 * * *', source: { url: served('asked') } });
    const { revision } = await get('asked');
    const { id, requestedBy } = await ask<ShownRun>(alice, 'POST', '/v1/schedules/asked/run', { revision });
    assert.deepEqual([requestedBy.subject, requestedBy.actor], ['alice', undefined]);
    assert.equal((await endOf(id)).state, 'completed');
    assert.deepEqual(await firings('asked'), []);

    const range = { revision, from: '2026-01-01T00:00:00Z', to: '2026-01-03T00:00:00Z' };
    const dry = await ask<{ items: { at: string; run: string | null }[] }>(
      alice,
      'POST',
      '/v1/schedules/asked/backfill',
      { ...range, dryRun: true },
    );
    assert.deepEqual(dry.items, [
      { at: '2026-01-01T06:00:00.000Z', run: null },
      { at: '2026-01-02T06:00:00.000Z', run: null },
    ]);
    const filled = await ask<typeof dry>(alice, 'POST', '/v1/schedules/asked/backfill', range);
    for (const { run } of filled.items) assert.equal((await endOf(run!)).state, 'completed');
    const again = await ask<typeof dry>(alice, 'POST', '/v1/schedules/asked/backfill', range);
    assert.deepEqual(again, { items: [], more: false, leftOut: { completed: 2 }, disputed: 0 });
    await ask(alice, 'DELETE', '/v1/schedules/asked');
  });

  it('leave out times that come while the run before goes on', async () => {
    const url = feed.urlOf('long');
    await create('long', { every: '1s', source: { url } });
    const { run } = await firingWith('long', 'fired');
    await until('some are left out', async () => {
      const { info } = await handleOf('long').describe();
      return info.numActionsSkippedOverlap >= 2;
    });
    assert.equal((await firings('long')).length, 1);
    feed.send('long', [{ id: 'long', at: '2026-01-01T00:00:00Z', size: 1 }]);
    feed.end('long');
    assert.equal((await endOf(run!)).state, 'completed');
    await until('the next', async () => (await firings('long')).length >= 2);
    await ask(alice, 'DELETE', '/v1/schedules/long');
  });

  it('cancel the run before where they are to', async () => {
    await create('latest', { every: '2s', overlap: 'cancel-other', source: { url: feed.urlOf('latest') } });
    const { run } = await firingWith('latest', 'fired');
    assert.equal((await endOf(run!)).state, 'cancelled');
    await until('the next', async () => (await firings('latest')).length >= 2);
    await ask(alice, 'DELETE', '/v1/schedules/latest');
    feed.end('latest');
  });

  it('pause once a run has failed, where they are to', async () => {
    feed.end('empty');
    await create('failing', { every: '1s', pauseOnFailure: true, source: { url: feed.urlOf('empty') } });
    const paused = await until('paused', async () => {
      const one = await get('failing');
      return one.state === 'paused' && one;
    });
    assert.equal(paused.reason!.code, 'PausedOnFailure');
    const last = (await firings('failing'))[0]!;
    assert.equal((await runOf(last.run!)).state, 'failed');
    await ask(alice, 'DELETE', '/v1/schedules/failing');
  });

  it('fire beside a run that is asked for in the same second', async () => {
    await create('beside', { every: '1s', overlap: 'allow-all', source: { url: served('beside') } });
    await firingWith('beside', 'fired');
    const { id } = await ask<ShownRun>(alice, 'POST', '/v1/schedules/beside/run', {
      revision: (await get('beside')).revision,
    });
    await ask(alice, 'POST', '/v1/schedules/beside/pause');
    const own = await endOf(id);
    assert.equal(own.state, 'completed');
    assert.equal(own.requestedBy.actor, undefined);
    const fired = await firings('beside');
    assert.equal(new Set(fired.map(({ at }) => at)).size, fired.length);
    assert.ok(fired.every(({ run }) => run !== id));
    await ask(alice, 'DELETE', '/v1/schedules/beside');
  });

  it('stay paused after they are paused in Temporal, and come back after they are deleted there', async () => {
    await create('outside', { cron: '0 0 1 1 *', source: { url: served('outside') } });
    await applied('outside');
    await handleOf('outside').pause('by hand');
    const paused = await until('paused', async () => {
      const one = await get('outside');
      return one.state === 'paused' && one;
    });
    assert.equal(paused.reason!.code, 'PausedExternally');
    await ask(alice, 'POST', '/v1/schedules/outside/resume');
    await until('goes on', async () => {
      const { state } = await handleOf('outside').describe();
      return !state.paused;
    });
    await handleOf('outside').delete();
    await until('is there again', () =>
      handleOf('outside')
        .describe()
        .then(
          () => true,
          () => false,
        ),
    );
    assert.equal((await audited('outside', 'schedule.recreated')).length, 1);
    await ask(alice, 'DELETE', '/v1/schedules/outside');
  });

  it('say beforehand when they would be due, with the clocks of the place', async () => {
    const { times } = await ask<{ times: string[] }>(alice, 'POST', '/v1/schedule-previews', {
      timing: { cron: '0 6 * * *', timeZone: 'Europe/Vienna', startAt: '2027-03-27T00:00:00Z' },
      count: 3,
    });
    assert.deepEqual(times, [
      '2027-03-27T05:00:00.000Z',
      '2027-03-28T04:00:00.000Z',
      '2027-03-29T04:00:00.000Z',
    ]);
    const later = await ask<object>(alice, 'POST', '/v1/schedule-previews', {
      timing: { every: '1d', startAt: '2031-01-01T00:00:00Z' },
      count: 1,
    });
    assert.deepEqual(later, { times: ['2031-01-01T00:00:00.000Z'], disputed: [], warnings: [] });
    const code = await codeOf(alice, 'POST', '/v1/schedule-previews', { timing: { cron: '99 6 * * *' } });
    assert.equal(code, 'ScheduleInvalid');
  });
});
