import type { ScheduleTerms, ScheduleTiming, WaybillClient } from '../sdk/client.ts';

/** How many of the times to come are shown before something is saved. */
const shownTimes = 5;

export async function nextTimes(
  client: WaybillClient,
  terms: ScheduleTerms,
  draft?: Parameters<WaybillClient['previewSchedule']>[2],
): Promise<string[]> {
  return (await client.previewSchedule(timingOf(terms), shownTimes, draft)).times;
}

function timingOf(terms: ScheduleTerms): ScheduleTiming {
  const { cron, every, offset, calendars, timeZone, jitter, startAt, endAt } = terms;
  return {
    ...(cron !== undefined && { cron }),
    ...(every !== undefined && { every }),
    ...(offset !== undefined && { offset }),
    ...(calendars !== undefined && { calendars }),
    ...(timeZone !== undefined && { timeZone }),
    ...(jitter !== undefined && { jitter }),
    ...(startAt !== undefined && { startAt }),
    ...(endAt !== undefined && { endAt }),
  };
}
