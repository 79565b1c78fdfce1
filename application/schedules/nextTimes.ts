import { WaybillError } from '../../domain/errors.ts';
import type { ScheduleTimes } from '../../domain/ports/temporalSchedules.ts';
import type { ScheduleTerms, ScheduleTiming } from '../../domain/schedules/schedule.ts';
import { horizonMs } from '../../domain/schedules/scheduleWarnings.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { consentLifetimeS, consentMaxS } from './consent.ts';

/** The next times of a timing, for a user: at least `count`, unless there are fewer until the end of 2100. */
export async function nextTimes(
  { temporalSchedules }: Pick<ApplicationPorts, 'temporalSchedules'>,
  { principal: { tenant }, signal }: Pick<Authorization, 'principal' | 'signal'>,
  timing: ScheduleTiming,
  count: number,
  fromMs = Date.now(),
): Promise<ScheduleTimes> {
  return temporalSchedules.times(timing, { fromMs, toMs: horizonMs, count }, { tenant, signal });
}

/**
 * Throws `ScheduleInvalid` for terms that are never due, and for a lifetime of the consent that ends before the first time and could be
 * longer. Where even the longest ends before, the notice says so. Without Temporal the times are not known: the terms are accepted, and
 * the relay blocks the schedule later where something is wrong with them.
 */
export async function checkTimes(
  ports: Pick<ApplicationPorts, 'temporalSchedules'>,
  authorization: Pick<Authorization, 'principal' | 'signal'>,
  terms: ScheduleTerms,
  lifetimeS: number | undefined,
): Promise<string | null> {
  const nowMs = Date.now();
  let times: ScheduleTimes;
  try {
    times = await nextTimes(ports, authorization, terms, 1, nowMs);
  } catch (error) {
    if (error instanceof WaybillError && error.code === 'TemporalUnavailable') return null;
    throw error;
  }
  const [firstMs] = times.timesMs;
  const [disputedMs] = times.disputedMs;
  if (firstMs === undefined && disputedMs !== undefined)
    throw timesInvalid(
      '/terms/timeZone',
      `Temporal and Waybill know different rules for ${terms.timeZone} and disagree about ${timeOf(disputedMs)}. Name another zone, such as UTC, or have both updated.`,
    );
  if (firstMs === undefined)
    throw timesInvalid(
      '/terms',
      'There is no such time until the end of 2100. Correct cron, every, calendars, startAt or endAt.',
    );
  const consentEndsMs = nowMs + consentLifetimeS(lifetimeS) * 1000;
  if (firstMs < consentEndsMs) return null;
  const ends = `The first time is ${timeOf(firstMs)}, and the consent ends before it, on ${timeOf(consentEndsMs)}.`;
  if (consentLifetimeS(lifetimeS) < consentMaxS)
    throw timesInvalid('/lifetime', `${ends} Let it last longer, up to 90d.`);
  return `${ends} Renew it in between, or the schedule is blocked then.`;
}

function timesInvalid(path: string, message: string): WaybillError {
  return new WaybillError('ScheduleInvalid', { issues: [{ path, message }] });
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
