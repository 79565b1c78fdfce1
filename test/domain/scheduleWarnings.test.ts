import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ScheduleTiming } from '../../domain/schedules/schedule.ts';
import { scheduleWarnings } from '../../domain/schedules/scheduleWarnings.ts';

describe('the warnings of a schedule', () => {
  const codes = (
    timing: object,
    {
      times = ['2027-01-01T06:00:00Z'],
      disputed = [] as string[],
      consentEnds = undefined as string | undefined,
    } = {},
  ) =>
    scheduleWarnings(
      ScheduleTiming.parse(timing),
      { timesMs: times.map((at) => Date.parse(at)), disputedMs: disputed.map((at) => Date.parse(at)) },
      consentEnds === undefined ? undefined : Date.parse(consentEnds),
    ).map(({ code }) => code);
  const daily = { cron: '0 6 * * *' };

  it('are none of one that is due within its consent', () => {
    assert.deepEqual(codes(daily), []);
    assert.deepEqual(codes(daily, { consentEnds: '2027-01-01T06:00:01Z' }), []);
  });

  it('say that it is never due, or that the consent ends first', () => {
    assert.deepEqual(codes(daily, { times: [] }), ['NeverDue']);
    assert.deepEqual(codes(daily, { consentEnds: '2027-01-01T06:00:00Z' }), ['ConsentEndsFirst']);
  });

  it('say that both days must match, of cron and of calendars', () => {
    assert.deepEqual(codes({ cron: '0 6 1 * MON' }), ['BothDaysMatch']);
    assert.deepEqual(codes({ calendars: [{ dayOfMonth: '1', dayOfWeek: 'MON' }] }), ['BothDaysMatch']);
    for (const cron of ['0 6 1 * *', '0 6 * * MON', '0 6 ? * MON']) assert.deepEqual(codes({ cron }), []);
  });

  it('say that Temporal and Waybill know the zone by different rules', () => {
    const disputed = ['2027-01-01T05:00:00Z'];
    assert.deepEqual(codes(daily, { disputed }), ['ZoneDataDiffers']);
    // Such a schedule is not one without times: Temporal starts firings, and they block it.
    assert.deepEqual(codes(daily, { times: [], disputed }), ['ZoneDataDiffers']);
  });
});
