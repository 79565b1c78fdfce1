import {
  type Client,
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  type ScheduleUpdateOptions,
} from '@temporalio/client';
import { formOf } from '../adapters/temporal/scheduleForm.ts';
import { WaybillError } from '../domain/errors.ts';
import type { DueSchedule } from '../domain/ports/schedules.ts';
import { temporalScheduleId } from '../domain/schedules/schedule.ts';

const answerWithinMs = 10_000;
/** After so many attempts a schedule that never came to be is taken for one that Temporal lost halfway. */
const attemptsMax = 8;

/**
 * Brings Temporal’s schedule to what the record says: all of it, whether it is there or not, so that doing it twice, or
 * after a change from outside, has the same result. Throws `ScheduleInvalid` where Temporal does not understand its times.
 */
export async function syncSchedule(
  { client, taskQueue }: { client: Client; taskQueue: string },
  due: DueSchedule,
): Promise<void> {
  await client
    .withDeadline(Date.now() + answerWithinMs, () =>
      due.deleted ? remove(client, due) : put(client, taskQueue, due),
    )
    .catch((error) => {
      // The SDK makes a TypeError of what Temporal says of a specification.
      throw error instanceof TypeError ? new WaybillError('ScheduleInvalid', { cause: error }) : error;
    });
}

async function put(client: Client, taskQueue: string, { schedule, attempts }: DueSchedule): Promise<void> {
  const { scheduleId, ...form } = formOf(schedule, taskQueue);
  const handle = client.schedule.getHandle(scheduleId);
  const update = () => handle.update(() => form as ScheduleUpdateOptions);
  // One of which Temporal has written down a part answers nothing, and cannot be made again either.
  if (isFirst(schedule) && attempts >= attemptsMax) await remove(client, { schedule });
  try {
    await update();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    await client.schedule.create({ scheduleId, ...form }).catch((created) => {
      if (!(created instanceof ScheduleAlreadyRunning)) throw created;
      return update();
    });
  }
}

function isFirst({ revision }: DueSchedule['schedule']): boolean {
  return revision === 1;
}

async function remove(client: Client, { schedule }: Pick<DueSchedule, 'schedule'>): Promise<void> {
  try {
    await client.schedule.getHandle(temporalScheduleId(schedule)).delete();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}
