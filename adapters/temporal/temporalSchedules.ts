import {
  type Client,
  ScheduleNotFoundError,
  type ServiceError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { WaybillError } from '../../domain/errors.ts';
import type { Reader, TemporalSchedules } from '../../domain/ports/temporalSchedules.ts';
import type { FiringExecution } from '../../domain/schedules/firing.ts';
import { temporalScheduleId } from '../../domain/schedules/schedule.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import { ReaderQueue } from './readerQueue.ts';
import { actsAsRecorded, spelledSpec } from './scheduleForm.ts';
import { deleteAbandonedSchedules, TimesCache } from './scheduleTimes.ts';

const answerWithinMs = 10_000;

/**
 * Asks Temporal about times, schedules and executions. Firings and users’ requests (readers) have a queue and a cache each, so
 * that no firing waits for a preview.
 */
export function createTemporalSchedules({
  client,
  taskQueue,
}: {
  client: Client;
  taskQueue: string;
}): TemporalSchedules {
  const firingTimes = new TimesCache(client, 1_000);
  const firingTurns = new Semaphore({ running: 8, waiting: 1_000 });
  const readerTimes = new TimesCache(client, 200);
  const readerQueue = new ReaderQueue();

  /** Bounded: a server that has enough to do answers sooner if fewer questions reach it at once. */
  async function asked<T>(ask: () => Promise<T>, reader?: Reader): Promise<T> {
    const done = await (reader ? readerQueue.take(reader) : firingTurns.take());
    try {
      return await client.withDeadline(Date.now() + answerWithinMs, ask);
    } catch (error) {
      throw meaningOf(error);
    } finally {
      done();
    }
  }

  return {
    times: async (timing, range, reader) => {
      const cache = reader ? readerTimes : firingTimes;
      return cache.cachedTimes(timing, range) ?? asked(() => cache.times(timing, range), reader);
    },

    describe: (schedule) =>
      asked(async () => {
        const description = await orNothing(
          client.schedule.getHandle(temporalScheduleId(schedule)).describe(),
        );
        if (!description) return undefined;
        const { info, state, raw } = description;
        const spelled = await firingTimes.spell(schedule.terms, Date.now());
        return {
          asRecorded:
            spelledSpec(raw.schedule) === spelled && actsAsRecorded(raw.schedule, schedule, taskQueue),
          paused: state.paused,
          note: state.note ?? '',
          recent: info.recentActions.flatMap(({ action, takenAt }) =>
            action.type === 'startWorkflow'
              ? [
                  {
                    workflowId: action.workflow.workflowId,
                    firstRunId: action.workflow.firstExecutionRunId,
                    takenAtMs: takenAt.getTime(),
                  },
                ]
              : [],
          ),
          nextMs: state.paused ? [] : info.nextActionTimes.map((time) => time.getTime()),
        };
      }),

    deleteAbandoned: () => asked(() => deleteAbandonedSchedules(client)),

    execution: ({ workflowId, runId }) =>
      asked(async () => {
        const handle = client.workflow.getHandle(workflowId, runId);
        const found = await orNothing(handle.describe());
        if (!found) return undefined;
        const { indexedFields = {} } = found.raw.workflowExecutionInfo?.searchAttributes ?? {};
        const attribute = (name: string): unknown => {
          const data = indexedFields?.[name]?.data;
          return data ? JSON.parse(Buffer.from(data).toString()) : null;
        };
        return {
          workflowId,
          runId,
          workflowType: found.type,
          running: found.status.name === 'RUNNING',
          firstRunId: found.raw.workflowExecutionInfo?.firstRunId ?? '',
          scheduledBy: textOf(attribute('TemporalScheduledById')),
          nominalAt: secondOf(attribute('TemporalScheduledStartTime')),
          startedAtMs: found.startTime.getTime(),
        } satisfies FiringExecution;
      }),
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function secondOf(value: unknown): string | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return ms % 1000 === 0 ? new Date(ms).toISOString() : null;
}

async function orNothing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError || error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** `INVALID_ARGUMENT` of gRPC. */
const invalidArgument = 3;

function meaningOf(error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  const cause = (error as ServiceError).cause as { code?: number } | undefined;
  // The SDK makes a TypeError of what Temporal says of a specification; a RangeError is Node’s, for a time zone that Node does not know.
  if (error instanceof TypeError || error instanceof RangeError || cause?.code === invalidArgument) {
    const message = error instanceof Error ? error.message : '';
    return new WaybillError('ScheduleInvalid', { issues: [{ path: '/terms', message }], cause: error });
  }
  return new WaybillError('TemporalUnavailable', { detail: String(error), cause: error });
}
