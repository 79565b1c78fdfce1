import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ScheduleTerms } from '../../domain/schedules/schedule.ts';
import { termsDifference } from '../../domain/schedules/termsDifference.ts';

describe('the difference of terms', () => {
  const terms = (change: object) => ScheduleTerms.parse(change);

  it('is empty for equal terms, however they were written', () => {
    const before = terms({ cron: '0  6 * * *', parameters: { a: 1, b: [1, 2] } });
    const now = terms({ parameters: { b: [1, 2], a: 1 }, cron: '0 6 * * *', overlap: 'skip' });
    assert.deepEqual(termsDifference(before, now), []);
  });

  it('names each term that came, went or changed, parameter by parameter', () => {
    const before = terms({ cron: '0 6 * * *', parameters: { region: 'eu', 'a/b': 1, list: [1] } });
    const now = terms({ every: '1d', parameters: { region: 'us', list: [1, 2] }, timeZone: 'Europe/Vienna' });
    assert.deepEqual(termsDifference(before, now), [
      { path: '/cron', before: '0 6 * * *', now: null },
      { path: '/every', before: null, now: '1d' },
      { path: '/parameters/a~1b', before: 1, now: null },
      { path: '/parameters/list', before: [1], now: [1, 2] },
      { path: '/parameters/region', before: 'eu', now: 'us' },
      { path: '/timeZone', before: 'UTC', now: 'Europe/Vienna' },
    ]);
  });

  it('takes a value of another kind for a change', () => {
    const before = terms({ every: '1d', parameters: { filter: { a: 1 } } });
    const now = terms({ every: '1d', parameters: { filter: 'a' } });
    assert.deepEqual(termsDifference(before, now), [
      { path: '/parameters/filter', before: { a: 1 }, now: 'a' },
    ]);
  });
});
