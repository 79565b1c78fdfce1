import type { ScheduleTerms, ScheduleTiming } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { checkDraft, type TermsPorts } from './scheduleDraft.ts';

export interface PreviewRequest {
  timing: ScheduleTiming;
  count: number;
  /** What is to be saved: rejected as saving it would be. */
  draft?: { pipeline: string; terms: ScheduleTerms } | undefined;
}

const dayMs = 86_400_000;
/** Asked one after the other until there are enough times, since Temporal lists a thousand at most. */
const previewDays = [1, 31, 366 * 4];

/** When a schedule would be due, without jitter; RFC 3339. Throws `ScheduleInvalid`, `TemporalUnavailable`, and what `checkDraft` throws. */
export async function previewSchedule(
  ports: TermsPorts & Pick<ApplicationPorts, 'definitions'>,
  authorization: Authorization,
  { timing, count, draft }: PreviewRequest,
  signal?: AbortSignal,
): Promise<string[]> {
  if (draft) await checkDraft(ports, authorization, draft, signal);
  const fromMs = Date.now();
  let timesMs: number[] = [];
  for (const days of previewDays) {
    ({ timesMs } = await ports.temporalSchedules.times(timing, { fromMs, toMs: fromMs + days * dayMs }));
    if (timesMs.length >= count) break;
  }
  return timesMs.slice(0, count).map((ms) => new Date(ms).toISOString());
}
