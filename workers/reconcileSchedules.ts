import { isOurNote } from '../adapters/temporal/scheduleForm.ts';
import type { DueSchedules } from '../domain/ports/schedules.ts';
import type { KnownSchedule, TemporalSchedules } from '../domain/ports/temporalSchedules.ts';
import type { Schedule } from '../domain/schedules/schedule.ts';

const schedulesMax = 20;

export type SchedulePosition = Pick<Schedule, 'tenant' | 'id'>;

export const firstPlace: SchedulePosition = { tenant: '', id: '' };

/**
 * Looks at a page of schedules after `after` and returns where the next begins. One that Temporal has lost, or that was
 * changed there from outside, is made again what the record says; one that was paused there stays paused, since
 * a pause harms no tenant, and the record says so. A schedule that is paused on record and runs there is paused again.
 */
export async function reconcileSchedules(
  { dueSchedules, temporalSchedules }: { dueSchedules: DueSchedules; temporalSchedules: TemporalSchedules },
  after: SchedulePosition,
): Promise<SchedulePosition> {
  const page = await dueSchedules.listApplied(after, schedulesMax);
  for (const schedule of page)
    await reconcile(dueSchedules, schedule, await temporalSchedules.describe(schedule));
  return page.length < schedulesMax ? firstPlace : page.at(-1)!;
}

async function reconcile(
  dueSchedules: DueSchedules,
  schedule: Schedule,
  known: KnownSchedule | undefined,
): Promise<void> {
  if (!known) return dueSchedules.reapply(schedule, 'schedule.recreated');
  const wanted = schedule.state === 'active';
  if (wanted && known.paused && !isOurNote(known.note))
    return dueSchedules.adoptPause(
      schedule,
      isOfFailure(schedule, known) ? 'PausedOnFailure' : 'PausedExternally',
    );
  if (!known.asRecorded || known.paused === wanted) return dueSchedules.reapply(schedule, 'schedule.drifted');
}

/** As Temporal’s own note has it. */
function isOfFailure({ terms }: Schedule, { note }: KnownSchedule): boolean {
  return terms.pauseOnFailure && /^paused due to workflow (failure|timeout)/i.test(note);
}
