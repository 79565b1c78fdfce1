import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ScheduleTiming } from '../../domain/schedules/schedule.ts';

describe('the cron of a schedule', () => {
  const cronOf = (cron: string) => ScheduleTiming.parse({ cron }).cron;
  const issueOf = (cron: string) => ScheduleTiming.safeParse({ cron }).error?.issues[0]?.message;

  it('may have several blanks between its fields and around them', () => {
    for (const written of ['0  6 * * *', ' 0 6 * * * ', '0\t6 *\n* *'])
      assert.equal(cronOf(written), '0 6 * * *');
  });

  it('may say ? for any day, as Quartz does', () => {
    assert.equal(cronOf('0 6 ? * MON'), '0 6 * * MON');
    assert.equal(cronOf('0 6 1 * ?'), '0 6 1 * *');
  });

  it('says what is wrong with it', () => {
    for (const wrong of ['', '0 6 * *', '0 0 6 * * *', '@daily'])
      assert.match(issueOf(wrong)!, /five fields.* This one has \d/, wrong);
    for (const wrong of ['? 6 * * *', '0 6 1,? * *', '0 6 * ? *']) assert.match(issueOf(wrong)!, /\?/, wrong);
    for (const wrong of ['0 6 * * #1', '0 6 ä * *']) assert.match(issueOf(wrong)!, /digits, names/, wrong);
  });
});
