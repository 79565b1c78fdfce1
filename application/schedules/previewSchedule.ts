import { WaybillError } from '../../domain/errors.ts';
import type { Schedule, ScheduleTerms, ScheduleTiming } from '../../domain/schedules/schedule.ts';
import { type ScheduleWarning, scheduleWarnings } from '../../domain/schedules/scheduleWarnings.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { consentLifetimeS } from './consent.ts';
import { nextTimes } from './nextTimes.ts';
import { checkDraft, type TermsPorts } from './scheduleDraft.ts';

export interface PreviewRequest {
  timing: ScheduleTiming;
  count: number;
  /** What is to be saved: rejected as saving it would be. */
  draft?: { pipeline: string; terms: ScheduleTerms; lifetimeS?: number } | undefined;
}

export interface Preview {
  /** RFC 3339, without jitter. */
  times: string[];
  /** Times at which Temporal would start it and that are none by the time zone data of this process: nothing fires then. */
  disputed: string[];
  warnings: ScheduleWarning[];
}

/** When a schedule would be due. Throws `ScheduleInvalid`, `TemporalUnavailable`, and what `checkDraft` throws. */
export async function previewSchedule(
  ports: TermsPorts & Pick<ApplicationPorts, 'definitions'>,
  authorization: Authorization,
  { timing, count, draft }: PreviewRequest,
): Promise<Preview> {
  if (draft) await checkDraft(ports, authorization, draft);
  const upcoming = await nextTimes(ports, authorization, timing, count);
  const consentEndsMs = draft && Date.now() + consentLifetimeS(draft.lifetimeS) * 1_000;
  return {
    times: upcoming.timesMs.slice(0, count).map(timeOf),
    disputed: upcoming.disputedMs.slice(0, count).map(timeOf),
    warnings: scheduleWarnings(timing, upcoming, consentEndsMs),
  };
}

/** What may surprise about the times of a saved schedule; `null` while Temporal does not tell them. */
export async function warningsOf(
  ports: Pick<ApplicationPorts, 'temporalSchedules'>,
  authorization: Authorization,
  { terms, delegation }: Pick<Schedule, 'terms' | 'delegation'>,
): Promise<ScheduleWarning[] | null> {
  try {
    const upcoming = await nextTimes(ports, authorization, terms, 1);
    return scheduleWarnings(terms, upcoming, delegation ? Date.parse(delegation.expiresAt) : undefined);
  } catch (error) {
    if (error instanceof WaybillError) return null;
    throw error;
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
