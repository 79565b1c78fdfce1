import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { WaybillError } from '../../domain/errors.ts';
import type { ScheduleTimes, TemporalSchedules } from '../../domain/ports/temporalSchedules.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

interface Shown {
  id: string;
  revision: number;
  state: string;
  notice: string | null;
  changesSinceConsent?: object[] | null;
}

const dayMs = 86_400_000;

describe('the terms of schedules', () => {
  let api: Api;
  let bob: string;
  /** What Temporal says of any timing; `undefined`: it is away. */
  let known: ScheduleTimes | undefined;
  const signals: AbortSignal[] = [];
  const temporalSchedules: TemporalSchedules = {
    times: async (_, __, reader) => {
      if (reader) signals.push(reader.signal);
      if (!known) throw new WaybillError('TemporalUnavailable');
      return known;
    },
    describe: () => Promise.reject(new WaybillError('TemporalUnavailable')),
    execution: () => Promise.reject(new WaybillError('TemporalUnavailable')),
    deleteAbandoned: async () => 0,
  };

  before(async () => {
    api = await startApi({ change: () => ({ temporalSchedules }) });
    bob = await api.issuer.token({ sub: 'bob' });
  });
  after(() => api.stop());
  beforeEach(() => {
    known = timesIn(1);
  });

  function timesIn(...days: number[]): ScheduleTimes {
    return { timesMs: days.map((n) => Date.now() + n * dayMs), complete: true, disputedMs: [] };
  }

  const create = (body: object = {}) =>
    api.call('/v1/schedules', json({ pipeline: 'urls', terms: { cron: '0 6 * * *' }, ...body }));
  const created = async (body?: object) => (await (await create(body)).json()) as Shown;

  const range = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' };
  for (const [verb, rest] of [
    ['run', {}],
    ['backfill', range],
  ] as const) {
    const ask = (id: string, body: object, as?: string) =>
      api.call(`/v1/schedules/${id}/${verb}`, { ...json({ ...rest, ...body }), ...(as && { as }) });

    it(`${verb} needs the revision that the caller was shown, and no other`, async () => {
      const { id, revision } = await created();
      assert.equal(await codeOf(await ask(id, {})), 'InvalidRequest');
      assert.equal(await codeOf(await ask(id, { revision: revision + 1 })), 'ScheduleChanged');
      assert.ok((await ask(id, { revision })).ok);
      const terms = { cron: '0 7 * * *' };
      const changed = await api.call(`/v1/schedules/${id}`, { ...json({ terms }), method: 'PATCH' });
      const next = (await changed.json()) as Shown;
      assert.equal(await codeOf(await ask(id, { revision })), 'ScheduleChanged');
      assert.ok((await ask(id, { revision: next.revision })).ok);
    });

    it(`${verb} begins nothing of terms that the owner has still to consent to`, async () => {
      const { id } = await created();
      const change = { ...json({ terms: { cron: '0 8 * * *' } }), method: 'PATCH', as: bob };
      const { revision, state } = (await (await api.call(`/v1/schedules/${id}`, change)).json()) as Shown;
      assert.equal(state, 'blocked');
      for (const as of [undefined, bob])
        assert.equal(await codeOf(await ask(id, { revision }, as)), 'ConsentRequired');
    });
  }

  it('are compared with those that the owner consented to last', async () => {
    const { id } = await created({ terms: { cron: '0 6 * * *', parameters: {} } });
    const change = async (terms: object, as?: string) => {
      const request = { ...json({ terms }), method: 'PATCH', ...(as && { as }) };
      assert.ok((await api.call(`/v1/schedules/${id}`, request)).ok);
    };
    const shown = async () => (await (await api.call(`/v1/schedules/${id}`)).json()) as Shown;
    assert.deepEqual((await shown()).changesSinceConsent, []);
    await change({ cron: '0 8 * * *', overlap: 'allow-all' }, bob);
    await change({ cron: '0 9 * * *', overlap: 'allow-all' }, bob);
    assert.deepEqual((await shown()).changesSinceConsent, [
      { path: '/cron', before: '0 6 * * *', now: '0 9 * * *' },
      { path: '/overlap', before: 'skip', now: 'allow-all' },
    ]);
    await api.call(`/v1/schedules/${id}/renew`, json({ revision: (await shown()).revision }));
    assert.deepEqual((await shown()).changesSinceConsent, []);
    // A schedule that is created again under the same id knows nothing of the consents to the one before.
    await api.call(`/v1/schedules/${id}`, { method: 'DELETE' });
    await created({ id, terms: { cron: '0 5 * * *' } });
    await change({ cron: '0 4 * * *' }, bob);
    assert.deepEqual((await shown()).changesSinceConsent, [
      { path: '/cron', before: '0 5 * * *', now: '0 4 * * *' },
    ]);
  });

  it('are rejected when they are never due, wherever they are saved', async () => {
    const { id, revision } = await created();
    known = timesIn();
    assert.equal(await codeOf(await create()), 'ScheduleInvalid');
    const change = { ...json({ terms: { cron: '0 9 31 2 *' } }), method: 'PATCH' };
    assert.equal(await codeOf(await api.call(`/v1/schedules/${id}`, change)), 'ScheduleInvalid');
    assert.equal(
      await codeOf(await api.call(`/v1/schedules/${id}/renew`, json({ revision }))),
      'ScheduleInvalid',
    );
  });

  it('are rejected where Temporal and Waybill agree on no time, and name the zone', async () => {
    known = { timesMs: [], complete: true, disputedMs: [Date.now() + dayMs] };
    const response = await create({ terms: { cron: '0 6 * * *', timeZone: 'Africa/Casablanca' } });
    const { code, issues } = (await response.json()) as { code: string; issues: { path: string }[] };
    assert.deepEqual([code, issues[0]!.path], ['ScheduleInvalid', '/terms/timeZone']);
  });

  it('are saved while Temporal is away', async () => {
    known = undefined;
    assert.equal((await create()).status, 201);
  });

  it('are rejected where the consent could last until the first time and does not', async () => {
    known = timesIn(31);
    const response = await create({ lifetime: '30d' });
    const { code, issues } = (await response.json()) as { code: string; issues: { path: string }[] };
    assert.deepEqual([code, issues[0]!.path], ['ScheduleInvalid', '/lifetime']);
    assert.equal((await created({ lifetime: '32d' })).notice, null);
  });

  it('are saved with a notice where no consent lasts until the first time', async () => {
    known = timesIn(200);
    const { id, revision, notice } = await created();
    assert.match(notice!, /consent ends before/);
    const renewed = await api.call(`/v1/schedules/${id}/renew`, json({ revision }));
    assert.match(((await renewed.json()) as Shown).notice!, /consent ends before/);
    known = timesIn(1);
    const { revision: next } = (await (await api.call(`/v1/schedules/${id}`)).json()) as Shown;
    const again = await api.call(`/v1/schedules/${id}/renew`, json({ revision: next }));
    assert.equal(((await again.json()) as Shown).notice, null);
  });

  it('are previewed under the signal of the request, with disputed times', async () => {
    const { timesMs } = timesIn(1);
    const [at] = timesMs;
    known = { timesMs, complete: true, disputedMs: [at! + dayMs] };
    signals.length = 0;
    const response = await api.call(
      '/v1/schedule-previews',
      json({ timing: { cron: '0 6 * * *' }, count: 1 }),
    );
    const { warnings, ...preview } = (await response.json()) as { warnings: { code: string }[] };
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['ZoneDataDiffers'],
    );
    assert.deepEqual(preview, {
      times: [new Date(at!).toISOString()],
      disputed: [new Date(at! + dayMs).toISOString()],
    });
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [false],
    );
  });
});
