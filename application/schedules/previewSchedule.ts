import type { ScheduleTerms, ScheduleTiming } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { nextTimes } from './nextTimes.ts';
import { checkDraft, type TermsPorts } from './scheduleDraft.ts';

export interface PreviewRequest {
  timing: ScheduleTiming;
  count: number;
  /** What is to be saved: rejected as saving it would be. */
  draft?: { pipeline: string; terms: ScheduleTerms } | undefined;
}

export interface Preview {
  /** RFC 3339, without jitter. */
  times: string[];
  /** Times at which Temporal would start it and that are none by the time zone data of this process: nothing fires then. */
  disputed: string[];
}

/** When a schedule would be due. Throws `ScheduleInvalid`, `TemporalUnavailable`, and what `checkDraft` throws. */
export async function previewSchedule(
  ports: TermsPorts & Pick<ApplicationPorts, 'definitions'>,
  authorization: Authorization,
  { timing, count, draft }: PreviewRequest,
): Promise<Preview> {
  if (draft) await checkDraft(ports, authorization, draft);
  const { timesMs, disputedMs } = await nextTimes(ports, authorization, timing, count);
  return { times: timesMs.slice(0, count).map(timeOf), disputed: disputedMs.slice(0, count).map(timeOf) };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
