import type { Schedule, ScheduleTerms, ScheduleTiming, WaybillClient } from '../sdk/client.ts';
import { asOwner, type GlobalOptions } from './connect.ts';

/** What a schedule is once it was saved, and whose turn it is where it waits. */
export function savedLines(schedule: Schedule, options: GlobalOptions): string[] {
  const { id, state, reason, owner, delegation } = schedule;
  const who = owner.subject;
  if (state === 'blocked' && reason?.code === 'ConsentRequired')
    return [
      `Saved as ${id}. It waits for the consent of ${who}: npx waybill schedules renew ${id}${asOwner(owner, options)}`,
    ];
  if (state !== 'active') return [`Saved as ${id}, which is ${state}.`];
  return [
    `${id} runs in the name of ${who}, until ${delegation?.expiresAt.slice(0, 10)} unless they renew it.`,
  ];
}

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
