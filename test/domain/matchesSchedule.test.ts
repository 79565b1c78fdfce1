import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matchesSchedule } from '../../domain/schedules/matchesSchedule.ts';
import { ScheduleTiming } from '../../domain/schedules/schedule.ts';

/** All of Temporal’s grammar is compared with Temporal itself in `test/adapters/temporal/temporalSchedules.test.ts`. */
describe('whether a time is one of a schedule', () => {
  const fits = (timing: object, time: string) =>
    matchesSchedule(ScheduleTiming.parse(timing), Date.parse(time));

  it('is read in the zone of the place, whatever the clocks do', () => {
    const daily = { cron: '0 6 * * *', timeZone: 'Europe/Vienna' };
    assert.equal(fits(daily, '2027-03-27T05:00:00Z'), true);
    assert.equal(fits(daily, '2027-03-28T05:00:00Z'), false);
    assert.equal(fits(daily, '2027-03-28T04:00:00Z'), true);
    assert.equal(fits(daily, '2027-03-28T04:00:01Z'), false);
    assert.equal(fits(daily, '2027-03-28T04:00:00.500Z'), false);
    const twice = { cron: '30 1 * * *', timeZone: 'America/New_York' };
    for (const time of ['2027-11-07T05:30:00Z', '2027-11-07T06:30:00Z'])
      assert.equal(fits(twice, time), true);
    assert.throws(() => fits({ ...daily, timeZone: 'Europe/Wien' }, '2027-03-27T05:00:00Z'), RangeError);
  });

  it('is read of intervals from 1970 on, of calendars to the second, and of all together', () => {
    const several = {
      every: '90m',
      offset: '5m',
      calendars: [{ second: '30', hour: '9', dayOfWeek: 'MON' }],
    };
    assert.equal(fits(several, '1970-01-01T00:05:00Z'), true);
    assert.equal(fits(several, '1970-01-01T00:00:00Z'), false);
    assert.equal(fits(several, '2027-01-04T09:00:30Z'), true);
    assert.equal(fits(several, '2027-01-05T09:00:30Z'), false);
    const ofAYear = { calendars: [{ year: '2028' }] };
    assert.equal(fits(ofAYear, '2028-05-05T00:00:00Z'), true);
    assert.equal(fits(ofAYear, '2027-05-05T00:00:00Z'), false);
  });

  it('lies within its beginning and its end', () => {
    const bounded = { every: '1h', startAt: '2027-01-01T10:00:00Z', endAt: '2027-01-01T12:00:00Z' };
    const hours = ['09', '10', '11', '12', '13'].map((hour) => fits(bounded, `2027-01-01T${hour}:00:00Z`));
    assert.deepEqual(hours, [false, true, true, true, false]);
  });

  it('is no time of what has none', () => {
    for (const none of [
      '61 * * * *',
      '0 6 * * XYZ',
      '0 6 * JA *',
      '0 */0 * * *',
      '0 5- * * *',
      '0 *-5 * * *',
    ])
      assert.equal(fits({ cron: none }, '2027-01-04T06:00:00Z'), false, none);
  });
});
