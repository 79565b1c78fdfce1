import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Client, ScheduleUpdateOptions } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { uuidv7 } from 'uuidv7';
import { formOf } from '../../../adapters/temporal/scheduleForm.ts';
import { createTemporalSchedules } from '../../../adapters/temporal/temporalSchedules.ts';
import type { TemporalSchedules } from '../../../domain/ports/temporalSchedules.ts';
import { matchesSchedule } from '../../../domain/schedules/matchesSchedule.ts';
import { type Schedule, ScheduleTerms } from '../../../domain/schedules/schedule.ts';
import { startTemporalForTest } from './server.ts';

describe('times, as Temporal computes them', () => {
  let env: TestWorkflowEnvironment;
  let client: Client;
  let temporalSchedules: TemporalSchedules;
  before(async () => {
    ({ env } = await startTemporalForTest());
    client = env.client;
    temporalSchedules = createTemporalSchedules({ client, taskQueue: 'waybill' });
  });
  after(() => env?.teardown());

  const timesOf = async (terms: object, from: string, to: string) => {
    const range = { fromMs: Date.parse(from), toMs: Date.parse(to) };
    const { timesMs } = await temporalSchedules.times(ScheduleTerms.parse(terms), range);
    return timesMs.map((ms) => new Date(ms).toISOString().slice(0, 16));
  };

  it('are not believed where another client changes the question to Temporal', async () => {
    const meddled: Client = Object.create(client, {
      schedule: {
        value: Object.create(client.schedule, {
          create: {
            value: async (options: Parameters<Client['schedule']['create']>[0]) => {
              const handle = await client.schedule.create(options);
              const spec = { intervals: [{ every: '1s' }] };
              await handle.update(({ action, state }) => ({ action, state, spec }) as ScheduleUpdateOptions);
              return handle;
            },
          },
        }),
      },
    });
    const asked = createTemporalSchedules({ client: meddled, taskQueue: 'waybill' });
    const terms = ScheduleTerms.parse({ cron: '0 6 1 1 *' });
    const nowMs = Date.now();
    await assert.rejects(asked.times(terms, { fromMs: nowMs, toMs: nowMs }), { code: 'TemporalUnavailable' });
  });

  it('are none, unless they fit, where another client replaces the question to Temporal', async () => {
    let replacements = 0;
    const replaced: Client = Object.create(client, {
      schedule: {
        value: Object.create(client.schedule, {
          create: {
            value: async (options: Parameters<Client['schedule']['create']>[0]) => {
              const handle = await client.schedule.create(options);
              await handle.delete();
              replacements++;
              return client.schedule.create({ ...options, spec: { intervals: [{ every: '5m' }] } });
            },
          },
        }),
      },
    });
    const asked = createTemporalSchedules({ client: replaced, taskQueue: 'waybill' });
    const terms = ScheduleTerms.parse({ cron: '0 6 * * *', timeZone: 'Europe/Vienna' });
    const range = { fromMs: Date.parse('2027-01-01T00:00:00Z'), toMs: Date.parse('2027-01-01T12:00:00Z') };
    const answer = await asked.times(terms, range);
    assert.deepEqual(answer.timesMs, [Date.parse('2027-01-01T05:00:00Z')]);
    // The others are told, as times on which Temporal and this process disagree, and the answer is not cached.
    assert.ok(answer.disputedMs.includes(Date.parse('2027-01-01T05:05:00Z')));
    assert.ok(!answer.disputedMs.includes(Date.parse('2027-01-01T05:00:00Z')));
    await asked.times(terms, range);
    assert.equal(replacements, 2);
  });

  it('are those that fit by our own reading, all of them and no other', async () => {
    const minuteMs = 60_000;
    const chosen = <T>(i: number, from: readonly T[]) => from[i % from.length]!;
    const minutes = ['0', '*/7', '5-50/9', '3,4,30-33', '58/1', '10/25'];
    const hours = ['*', '2', '1-3', '0-23/5', '22,23,0', '4/6'];
    const daysOfMonth = ['*', '28-31', '*/2', '7,14', '31', '1-15/3'];
    const months = ['*', 'MAR,Oct', '3-11/4', 'January-apr', '10/1', '*/5'];
    const daysOfWeek = ['*', 'SUN', '7', '3-7', '1-7/2', '*/3', 'tues-SAT', '0', '5/1', '3-7/3', 'mo,WED'];
    const zones = ['Europe/Vienna', 'America/New_York', 'UTC', 'Asia/Kathmandu', 'Australia/Sydney'];
    // An hour that a day has twice is Temporal’s to count; here each zone loses one, and none gains one.
    const days = ['2027-03-27', '2027-03-13', '2027-10-02', '2027-02-28', '2027-12-30'];
    for (let i = 0; i < 33; i++) {
      const day = [chosen(i * 5 + 1, daysOfMonth), chosen(i * 7, months), chosen(i, daysOfWeek)];
      const terms = ScheduleTerms.parse({
        cron: [chosen(i, minutes), chosen(i * 11 + 2, hours), ...(i % 3 ? ['*', '*', day[2]] : day)].join(
          ' ',
        ),
        ...(i % 5 === 0 && { every: '95m', offset: '7m' }),
        ...(i % 6 === 0 && { calendars: [{ minute: '1', hour: '*/8', year: '2027', month: day[1]! }] }),
        timeZone: chosen(i * 3, zones),
      });
      const fromMs = Date.parse(`${chosen(i, days)}T00:00:00Z`);
      const toMs = fromMs + 2 * 86_400_000;
      const fitting: number[] = [];
      for (let ms = fromMs; ms <= toMs; ms += minuteMs) if (matchesSchedule(terms, ms)) fitting.push(ms);
      assert.deepEqual((await temporalSchedules.times(terms, { fromMs, toMs })).timesMs, fitting, terms.cron);
    }
  });

  for (const [what, terms, from, to, expected] of [
    [
      'keep the hour of the place when Vienna loses one',
      { cron: '0 6 * * *', timeZone: 'Europe/Vienna' },
      '2027-03-27T00:00:00Z',
      '2027-03-29T23:00:00Z',
      ['2027-03-27T05:00', '2027-03-28T04:00', '2027-03-29T04:00'],
    ],
    [
      'keep the hour of the place when Vienna gains one',
      { cron: '0 6 * * *', timeZone: 'Europe/Vienna' },
      '2027-10-30T00:00:00Z',
      '2027-11-01T23:00:00Z',
      ['2027-10-30T04:00', '2027-10-31T05:00', '2027-11-01T05:00'],
    ],
    [
      'keep the hour of the place when New York loses one',
      { cron: '0 6 * * *', timeZone: 'America/New_York' },
      '2027-03-13T00:00:00Z',
      '2027-03-15T23:00:00Z',
      ['2027-03-13T11:00', '2027-03-14T10:00', '2027-03-15T10:00'],
    ],
    [
      'keep the hour of the place when New York gains one',
      { cron: '0 6 * * *', timeZone: 'America/New_York' },
      '2027-11-06T00:00:00Z',
      '2027-11-08T23:00:00Z',
      ['2027-11-06T10:00', '2027-11-07T11:00', '2027-11-08T11:00'],
    ],
    [
      'leave out the hour that Vienna does not have',
      { cron: '30 2 * * *', timeZone: 'Europe/Vienna' },
      '2027-03-27T00:00:00Z',
      '2027-03-29T23:00:00Z',
      ['2027-03-27T01:30', '2027-03-29T00:30'],
    ],
    [
      'come twice in the hour that New York has twice, as its clocks say',
      { cron: '30 1 * * *', timeZone: 'America/New_York' },
      '2027-11-06T00:00:00Z',
      '2027-11-08T23:00:00Z',
      ['2027-11-06T05:30', '2027-11-07T05:30', '2027-11-07T06:30', '2027-11-08T06:30'],
    ],
    [
      'pass all hours of the day on which Vienna gains one, by intervals',
      { every: '6h' },
      '2027-10-31T00:00:00Z',
      '2027-10-31T23:00:00Z',
      ['2027-10-31T00:00', '2027-10-31T06:00', '2027-10-31T12:00', '2027-10-31T18:00'],
    ],
    [
      'are those of calendars too, and come without jitter',
      { calendars: [{ hour: '9', dayOfWeek: 'MON-FRI', month: 'JAN' }], jitter: '1h' },
      '2027-01-01T00:00:00Z',
      '2027-01-05T23:00:00Z',
      ['2027-01-01T09:00', '2027-01-04T09:00', '2027-01-05T09:00'],
    ],
    [
      'begin and end when they are to',
      { cron: '0 * * * *', startAt: '2027-01-01T10:30:00Z', endAt: '2027-01-01T12:30:00Z' },
      '2027-01-01T00:00:00Z',
      '2027-01-02T00:00:00Z',
      ['2027-01-01T11:00', '2027-01-01T12:00'],
    ],
  ] as const) {
    it(what, async () => {
      assert.deepEqual(await timesOf(terms, from, to), expected);
      // From what it has kept, too.
      assert.deepEqual(await timesOf(terms, from, to), expected);
    });
  }

  it('are refused where there is no such time or zone', async () => {
    // That of the machine, which is another one for each who reads it.
    const local = { cron: '0 6 * * *', timeZone: 'Local' };
    for (const wrong of [{ cron: '61 * * * *' }, { cron: '0 6 * * *', timeZone: 'Europe/Wien' }, local])
      await assert.rejects(timesOf(wrong, '2027-01-01T00:00:00Z', '2027-01-02T00:00:00Z'), {
        code: 'ScheduleInvalid',
      });
  });

  it('leave no schedule behind', async () => {
    for (let left = 1; left > 0; ) {
      left = 0;
      for await (const { scheduleId } of client.schedule.list()) if (/^times-/.test(scheduleId)) left++;
    }
  });

  it('of firings wait for no reader; those of a reader are bounded by tenant, and leave the queue with their request', async () => {
    const gone = new AbortController();
    const held = Promise.withResolvers<void>();
    let asked = 0;
    const slow: Client = Object.create(client, {
      schedule: {
        value: Object.create(client.schedule, {
          create: {
            value: async (options: Parameters<Client['schedule']['create']>[0]) => {
              asked++;
              if (options.spec.timezone === 'Europe/Vienna') await held.promise;
              return client.schedule.create(options);
            },
          },
        }),
      },
    });
    const schedules = createTemporalSchedules({ client: slow, taskQueue: 'waybill' });
    const range = { fromMs: Date.parse('2027-01-01T00:00:00Z'), toMs: Date.parse('2027-01-02T00:00:00Z') };
    const preview = (minute: number, tenant: string, signal = new AbortController().signal) =>
      schedules.times(ScheduleTerms.parse({ cron: `${minute} 6 * * *`, timeZone: 'Europe/Vienna' }), range, {
        tenant,
        signal,
      });
    const previews = Array.from({ length: 20 }, (_, minute) => preview(minute, 'acme', gone.signal));
    await assert.rejects(preview(20, 'acme'), { code: 'TooManyRequests' });
    const other = preview(21, 'globex');
    const firing = ScheduleTerms.parse({ cron: '0 6 * * *' });
    assert.deepEqual((await schedules.times(firing, range)).timesMs, [Date.parse('2027-01-01T06:00:00Z')]);
    assert.equal(asked, 3);
    gone.abort(new Error('gone'));
    held.resolve();
    const ended = await Promise.allSettled(previews);
    assert.deepEqual(
      ended.map(({ status }) => status),
      [...Array(2).fill('fulfilled'), ...Array(18).fill('rejected')],
    );
    assert.deepEqual((await other).timesMs, [Date.parse('2027-01-01T05:21:00Z')]);
    assert.equal(asked, 4);
    // What was answered once is answered again without a question.
    await preview(21, 'globex');
    assert.equal(asked, 4);
  });

  it('are asked for by count as far ahead as there are any', async () => {
    const reader = { tenant: 'acme', signal: new AbortController().signal };
    const range = {
      fromMs: Date.parse('2026-01-01T00:00:00Z'),
      toMs: Date.parse('2100-12-31T00:00:00Z'),
      count: 3,
    };
    const ask = async (timing: object) =>
      (await temporalSchedules.times(ScheduleTerms.parse(timing), range, reader)).timesMs
        .slice(0, 3)
        .map((ms) => new Date(ms).toISOString().slice(0, 10));
    assert.deepEqual(await ask({ every: '1d', startAt: '2031-01-01T00:00:00Z' }), [
      '2031-01-01',
      '2031-01-02',
      '2031-01-03',
    ]);
    assert.deepEqual(await ask({ cron: '0 0 29 2 MON' }), ['2044-02-29', '2072-02-29']);
    assert.deepEqual(await ask({ cron: '0 0 30 2 *' }), []);
    assert.deepEqual(await ask({ every: '1d', endAt: '2025-01-01T00:00:00Z' }), []);
  });

  it('of an abandoned question leave a schedule that is deleted later', async () => {
    const create = (scheduleId: string) =>
      client.schedule.create({
        scheduleId,
        spec: { intervals: [{ every: '1d' }] },
        action: { type: 'startWorkflow', workflowType: 'none', taskQueue: 'none' },
        state: { paused: true },
      });
    const hourAgo = (Date.now() - 3_600_000).toString(16).padStart(12, '0');
    const abandoned = `times-${hourAgo.slice(0, 8)}-${hourAgo.slice(8)}-7000-8000-000000000000`;
    const asking = `times-${uuidv7()}`;
    const foreign = 'times-of-another-tool';
    for (const id of [abandoned, asking, foreign]) await create(id);
    for (let deleted = 0; deleted === 0; ) deleted = await temporalSchedules.deleteAbandoned();
    await assert.rejects(client.schedule.getHandle(abandoned).describe());
    for (const id of [asking, foreign]) {
      const handle = client.schedule.getHandle(id);
      await handle.describe();
      await handle.delete();
    }
  });

  const schedule: Schedule = {
    tenant: 'a/b:c',
    id: 'daily',
    pipeline: 'feed',
    definition: { id: 'feed', labels: {}, source: { kind: 'http' }, sink: { kind: 'postgres' } },
    terms: ScheduleTerms.parse({
      cron: '0 6 * * *',
      every: '7h',
      timeZone: 'Europe/Vienna',
      jitter: '10m',
      overlap: 'buffer-one',
      catchUp: '2h',
      pauseOnFailure: true,
      endAt: '2099-01-01T00:00:00Z',
    }),
    note: null,
    stalledBehind: null,
    declared: false,
    owner: { id: 'prn_1', issuer: 'https://issuer.test', subject: 'alice', kind: 'person' },
    delegation: null,
    state: 'active',
    reason: null,
    pausedBy: null,
    activeSince: '2026-01-01T00:00:00Z',
    revision: 1,
    applied: true,
    createdAt: '2026-01-01T00:00:00Z',
    updatedAt: '2026-01-01T00:00:00Z',
  };

  it('a schedule is as recorded until a user changes any part of it', async () => {
    assert.equal(await temporalSchedules.describe(schedule), undefined);
    const { scheduleId, ...form } = formOf(schedule, 'waybill');
    await client.schedule.create({ scheduleId, ...form });
    const handle = client.schedule.getHandle(scheduleId);
    const known = await temporalSchedules.describe(schedule);
    assert.deepEqual([known!.asRecorded, known!.paused], [true, false]);
    assert.ok(known!.nextMs.length > 0);

    const { spec, action, policies } = form;
    const changes: Record<string, object> = {
      'another time': { spec: { ...spec, intervals: [{ every: '1s' }] } },
      'another zone': { spec: { ...spec, timezone: 'UTC' } },
      'another jitter': { spec: { ...spec, jitter: '1s' } },
      'no end': { spec: { ...spec, endAt: undefined } },
      'another workflow': { action: { ...action, workflowType: 'runPipeline' } },
      'another id': { action: { ...action, workflowId: 'fire:acme:other' } },
      'another queue': { action: { ...action, taskQueue: 'other' } },
      'an argument': { action: { ...action, args: [{ runId: 'x' }] } },
      'a memo': { action: { ...action, memo: { a: 1 } } },
      'another overlap': { policies: { ...policies, overlap: 'ALLOW_ALL' } },
      'another catch-up': { policies: { ...policies, catchupWindow: '365d' } },
      'no pause on failure': { policies: { ...policies, pauseOnFailure: false } },
    };
    for (const [what, change] of Object.entries(changes)) {
      await handle.update(() => ({ ...form, ...change }) as ScheduleUpdateOptions);
      assert.equal((await temporalSchedules.describe(schedule))!.asRecorded, false, what);
      await handle.update(() => form as ScheduleUpdateOptions);
      assert.equal((await temporalSchedules.describe(schedule))!.asRecorded, true, `after ${what}`);
    }
    await handle.delete();
  });

  it('an execution is what Temporal says, and undefined where there is none', async () => {
    const handle = await client.workflow.start('fireSchedule', { workflowId: 'by-hand', taskQueue: 'none' });
    const found = await temporalSchedules.execution({
      workflowId: 'by-hand',
      runId: handle.firstExecutionRunId,
    });
    assert.deepEqual(
      [found!.workflowType, found!.running, found!.scheduledBy, found!.nominalAt],
      ['fireSchedule', true, null, null],
    );
    await handle.terminate();
    const unknown = { workflowId: 'none', runId: '01a21779-4e61-7153-b9e6-f43ccbb86e44' };
    assert.equal(await temporalSchedules.execution(unknown), undefined);
  });
});
