import { randomUUID } from 'node:crypto';
import {
  type Client,
  ScheduleNotFoundError,
  type ServiceError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { TemporalSchedules } from '../../domain/ports/temporalSchedules.ts';
import type { FiringExecution } from '../../domain/schedules/firing.ts';
import { matchesSchedule } from '../../domain/schedules/matchesSchedule.ts';
import { type ScheduleTiming, temporalScheduleId } from '../../domain/schedules/schedule.ts';
import { Semaphore } from '../../engine/threads/semaphore.ts';
import { actsAsRecorded, specOf, spelledSpec } from './scheduleForm.ts';

const answerWithinMs = 10_000;
/** Of timings whose times are kept. */
const timingsMax = 1_000;
/** How far ahead they are asked for at once, so that most firings find theirs. */
const aheadMs = 31 * 86_400_000;
/** Zones change; what was asked is not believed for longer. */
const believedForMs = 12 * 3_600_000;

/** The times of one timing, in a range in which they are complete. */
interface Known {
  spelled: string;
  fromMs: number;
  toMs: number;
  timesMs: number[];
  untilMs: number;
}

/**
 * Times come from a schedule of its own that Temporal is given for a moment, paused and with nothing left to start. So the
 * answer rests on what is asked alone: neither on a schedule that somebody may have changed, nor on a reading of cron of ours;
 * and it is without jitter, which Temporal mixes into the times of one that has it. Whoever reaches Temporal, and is quick, may
 * put another in its place, though; so a time that does not fit by our own reading too is none.
 */
export function createTemporalSchedules({
  client,
  taskQueue,
}: {
  client: Client;
  taskQueue: string;
}): TemporalSchedules {
  const known = new Map<string, Known>();
  const learning = new Map<string, Promise<Known>>();
  const turns = new Semaphore({ running: 8, waiting: 1_000 });

  async function learn(timing: ScheduleTiming, fromMs: number, toMs: number): Promise<Known> {
    const scheduleId = `times-${randomUUID()}`;
    const handle = await client.schedule.create({
      scheduleId,
      spec: specOf(timing),
      action: { type: 'startWorkflow', workflowType: 'none', workflowId: scheduleId, taskQueue: scheduleId },
      state: { paused: true, remainingActions: 0, note: 'Waybill asks for times; it is gone in a moment.' },
    });
    try {
      const { startTime } = await client.workflowService.listScheduleMatchingTimes({
        namespace: client.options.namespace,
        scheduleId,
        // Exclusive at its beginning.
        startTime: timestampOf(fromMs - 1),
        endTime: timestampOf(toMs),
      });
      const listedMs = startTime.map(({ seconds, nanos }) => Number(seconds) * 1000 + (nanos ?? 0) / 1e6);
      const timesMs = listedMs.filter((ms) => matchesSchedule(timing, ms));
      const full = listedMs.length >= timesMax;
      const { raw, info } = await handle.describe();
      // Somebody who reaches Temporal and is quick could have it say that any time is due.
      if (info.lastUpdatedAt) throw new Error(`${scheduleId} was changed by somebody else`);
      const spelled = spelledSpec(raw.schedule);
      const complete = full ? listedMs.at(-1)! : toMs;
      // What does not fit was put there by somebody, or one of us does not know yet that a zone has changed.
      const keptForMs = timesMs.length === listedMs.length ? believedForMs : 0;
      return { spelled, fromMs, toMs: complete, timesMs, untilMs: performance.now() + keptForMs };
    } finally {
      // One that stays is paused, has nothing left to start, and is forgotten by Temporal after a week.
      await handle.delete().catch(() => {});
    }
  }

  /** Many firings of one moment ask for the same times; the first learns them, and the others wait for it. */
  async function knownOf(
    timing: ScheduleTiming,
    suffices: (one: Known) => boolean,
    fromMs: number,
    toMs: number,
  ): Promise<Known> {
    const { cron, every, offset, calendars, timeZone, startAt, endAt } = timing;
    const key = canonicalJson({ cron, every, offset, calendars, timeZone, startAt, endAt });
    for (;;) {
      const found = known.get(key);
      if (found && performance.now() < found.untilMs && suffices(found)) return found;
      const leader = learning.get(key);
      if (!leader) break;
      await leader;
    }
    const learned = learn(timing, fromMs, Math.max(toMs, fromMs + aheadMs));
    learning.set(key, learned);
    try {
      known.delete(key);
      known.set(key, await learned);
    } finally {
      learning.delete(key);
    }
    if (known.size > timingsMax) known.delete(known.keys().next().value!);
    return learned;
  }

  /** So many at once and no more: a server that has enough to do answers sooner when it is not asked by everybody. */
  async function asked<T>(ask: () => Promise<T>): Promise<T> {
    const done = await turns.take();
    try {
      return await client.withDeadline(Date.now() + answerWithinMs, ask);
    } catch (error) {
      throw meaningOf(error);
    } finally {
      done();
    }
  }

  return {
    times: (timing, { fromMs, toMs }) =>
      asked(async () => {
        const covers = (one: Known) => one.fromMs <= fromMs && one.toMs >= toMs;
        const { timesMs, toMs: completeMs } = await knownOf(timing, covers, fromMs, toMs);
        const within = timesMs.filter((ms) => ms >= fromMs && ms <= toMs);
        return { timesMs: within, complete: completeMs >= toMs };
      }),

    describe: (schedule) =>
      asked(async () => {
        const description = await orNothing(
          client.schedule.getHandle(temporalScheduleId(schedule)).describe(),
        );
        if (!description) return undefined;
        const { info, state, raw } = description;
        const nowMs = Date.now();
        const { spelled } = await knownOf(schedule.terms, () => true, nowMs, nowMs);
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

/** As many as Temporal lists at once. */
const timesMax = 1_000;

function timestampOf(ms: number) {
  return { seconds: Math.floor(ms / 1000) as never, nanos: (((ms % 1000) + 1000) % 1000) * 1e6 };
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
  // The SDK makes a TypeError of what Temporal says of a specification; a RangeError is ours, of a zone that nobody else knows.
  if (error instanceof TypeError || error instanceof RangeError || cause?.code === invalidArgument) {
    const message = error instanceof Error ? error.message : '';
    return new WaybillError('ScheduleInvalid', { issues: [{ path: '/terms', message }], cause: error });
  }
  return new WaybillError('TemporalUnavailable', { detail: String(error), cause: error });
}
