import type {
  Schedule,
  SchedulePreview,
  ScheduleTerms,
  ScheduleTiming,
  WaybillClient,
} from '../sdk/client.ts';
import { asOwner, type GlobalOptions } from './connect.ts';

/** The schedule as it was saved, and who has to act next. */
export function savedLines(schedule: Schedule, options: GlobalOptions): string[] {
  const { id, state, reason, owner, delegation } = schedule;
  const who = owner.subject;
  if (state === 'blocked' && reason?.code === 'ConsentRequired')
    return [
      `Saved as ${id}. It waits for the consent of ${who}. Renew it: npx waybill schedules renew ${id}${asOwner(owner, options)}`,
    ];
  if (state !== 'active') return [`Saved as ${id}, which is ${state}.`];
  return [
    `${id} runs in the name of ${who}, until ${delegation?.expiresAt.slice(0, 10)} unless they renew it.`,
  ];
}

/** A command that saves a schedule shows this many of its next times first. */
const shownTimes = 5;

export function previewTerms(
  client: WaybillClient,
  terms: ScheduleTerms,
  draft?: Parameters<WaybillClient['previewSchedule']>[2],
): Promise<SchedulePreview> {
  return client.previewSchedule(timingOf(terms), shownTimes, draft);
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
