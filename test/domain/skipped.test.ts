import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import { keptBy, skippedWithin } from '../../domain/schedules/skipped.ts';

const at = (minutes: number, ms = 0) => new Date(minutes * 60_000 + ms).toISOString();
const minutes = (n: number) => n * 60_000;

const schedule = {
  terms: { overlap: 'skip' },
  state: 'active',
  activeSince: at(0),
  updatedAt: at(0),
} as Schedule;

describe('what a run keeps from beginning', () => {
  const kept = (change: object, endedAt: string | null = null) =>
    keptBy({ ...schedule, ...change } as Schedule, { nominalAt: at(10), endedAt }, minutes(60));

  it('is everything between its time and its end, or now', () => {
    assert.deepEqual(kept({}), { fromMs: minutes(10) + 1_000, toMs: minutes(60) });
    assert.deepEqual(kept({}, at(30)), { fromMs: minutes(10) + 1_000, toMs: minutes(30) });
    assert.equal(kept({}, at(10, 500)), undefined);
  });

  it('is nothing where its schedule does not leave times out', () => {
    for (const overlap of ['buffer-one', 'buffer-all', 'cancel-other', 'allow-all'])
      assert.equal(kept({ terms: { overlap } }), undefined, overlap);
  });

  it('is known since the schedule was changed, until it was stopped, and while a start is not put off any more', () => {
    assert.equal(kept({ activeSince: at(20, 1) })!.fromMs, minutes(20) + 1_000);
    assert.equal(kept({ state: 'paused', updatedAt: at(40) })!.toMs, minutes(40));
    assert.equal(kept({ terms: { overlap: 'skip', jitter: '5m' } })!.toMs, minutes(55));
  });

  it('is every time of which nothing else became', () => {
    const range = { fromMs: minutes(11), toMs: minutes(40) };
    const times = [10, 20, 30, 40, 50].map(minutes);
    const decided = new Set([minutes(30)]);
    const [first, last] = [at(20), at(40)];
    assert.deepEqual(skippedWithin(range, times, true, decided), { times: 2, first, last, more: false });
    assert.equal(skippedWithin(range, times, false, decided)!.more, true);
    assert.equal(skippedWithin(range, times, true, new Set(times)), undefined);
  });
});
