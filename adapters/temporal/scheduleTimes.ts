import { type Client, ScheduleNotFoundError } from '@temporalio/client';
import { uuidv7 } from 'uuidv7';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { ScheduleTimes, TimesRange } from '../../domain/ports/temporalSchedules.ts';
import { matchesSchedule } from '../../domain/schedules/matchesSchedule.ts';
import type { ScheduleTiming } from '../../domain/schedules/schedule.ts';
import { specOf, spelledSpec } from './scheduleForm.ts';

/** Temporal lists at most this many times in one answer. */
const timesMax = 1_000;
/** How far ahead the first question of a timing reaches, so that most firings find their time in the cache. */
const aheadMs = 31 * 86_400_000;
/** Zone rules change; an answer is not believed for longer. */
const believedForMs = 12 * 3_600_000;
const deleteWithinMs = 10_000;

/** The times of one timing, in a range in which they are complete. */
interface Answer extends TimesRange {
  /** The timing as Temporal spells it. */
  spelled: string;
  timesMs: number[];
  disputedMs: number[];
  untilMs: number;
}

/**
 * Asks Temporal for the times of a timing, and caches the answers. To ask, it creates a schedule that is paused and has
 * nothing left to start, lists its times and deletes it. So the answer depends on the timing alone: not on a schedule that
 * another client of Temporal may have changed, and not on jitter, which Temporal mixes into the times. A client of Temporal
 * could still replace the schedule before it answers. Therefore a time counts only if `matchesSchedule` agrees.
 */
export class TimesCache {
  readonly #client: Client;
  readonly #answersMax: number;
  readonly #answers = new Map<string, Answer>();
  readonly #asking = new Map<string, Promise<Answer>>();

  constructor(client: Client, answersMax: number) {
    this.#client = client;
    this.#answersMax = answersMax;
  }

  async times(timing: ScheduleTiming, range: TimesRange): Promise<ScheduleTimes> {
    return within(await this.#find(timing, range), range);
  }

  /** What the cache has, without a question to Temporal. */
  cachedTimes(timing: ScheduleTiming, range: TimesRange): ScheduleTimes | undefined {
    const answer = this.#cached(keyOf(timing), range);
    return answer && within(answer, range);
  }

  /** The times as Temporal spells them, to compare with those of another schedule. */
  async spell(timing: ScheduleTiming, nowMs: number): Promise<string> {
    return (await this.#find(timing, undefined, nowMs)).spelled;
  }

  /** Many firings of one moment ask for the same times: the first asks Temporal, the others wait for its answer. */
  async #find(timing: ScheduleTiming, range: TimesRange | undefined, nowMs = range!.fromMs): Promise<Answer> {
    const key = keyOf(timing);
    for (;;) {
      const cached = this.#cached(key, range);
      if (cached) return cached;
      const leader = this.#asking.get(key);
      if (!leader) break;
      await leader;
    }
    const asked = this.#ask(timing, nowMs, Math.max(range?.toMs ?? nowMs, nowMs + aheadMs));
    this.#asking.set(key, asked);
    try {
      const answer = await asked;
      this.#answers.delete(key);
      this.#answers.set(key, answer);
      if (this.#answers.size > this.#answersMax) this.#answers.delete(this.#answers.keys().next().value!);
      return answer;
    } finally {
      this.#asking.delete(key);
    }
  }

  #cached(key: string, range: TimesRange | undefined): Answer | undefined {
    const answer = this.#answers.get(key);
    if (!answer || performance.now() >= answer.untilMs) return undefined;
    return !range || covers(answer, range) ? answer : undefined;
  }

  async #ask(timing: ScheduleTiming, fromMs: number, toMs: number): Promise<Answer> {
    const client = this.#client;
    const scheduleId = `${temporaryPrefix}${uuidv7()}`;
    try {
      const handle = await client.schedule.create({
        scheduleId,
        spec: specOf(timing),
        action: {
          type: 'startWorkflow',
          workflowType: 'none',
          workflowId: scheduleId,
          taskQueue: scheduleId,
        },
        state: { paused: true, remainingActions: 0, note: 'Waybill asks for times and deletes it at once.' },
      });
      const { startTime } = await client.workflowService.listScheduleMatchingTimes({
        namespace: client.options.namespace,
        scheduleId,
        // Exclusive at its beginning.
        startTime: timestampOf(fromMs - 1),
        endTime: timestampOf(toMs),
      });
      const { raw, info } = await handle.describe();
      // A client of Temporal that is quick could make it list any time.
      if (info.lastUpdatedAt) throw new Error(`another client changed ${scheduleId}`);
      const listedMs = startTime.map(({ seconds, nanos }) => Number(seconds) * 1000 + (nanos ?? 0) / 1e6);
      const [timesMs, disputedMs] = [true, false].map((matches) =>
        listedMs.filter((ms) => matchesSchedule(timing, ms) === matches),
      ) as [number[], number[]];
      return {
        spelled: spelledSpec(raw.schedule),
        fromMs,
        toMs: listedMs.length >= timesMax ? listedMs.at(-1)! : toMs,
        timesMs,
        disputedMs,
        untilMs: performance.now() + (disputedMs.length === 0 ? believedForMs : 0),
      };
    } finally {
      await this.#delete(scheduleId);
    }
  }

  /** By a deadline of its own: the question may have failed because its deadline passed. */
  async #delete(scheduleId: string): Promise<void> {
    const handle = this.#client.schedule.getHandle(scheduleId);
    // `deleteAbandonedSchedules` retries it later.
    await this.#client.withDeadline(Date.now() + deleteWithinMs, () => handle.delete()).catch(() => {});
  }
}

const temporaryPrefix = 'times-';

/** A question is answered or given up by then. */
const abandonedAfterMs = 60_000;

/** Deletes the schedules of questions that were asked by a process which was killed. Returns how many there were. */
export async function deleteAbandonedSchedules(client: Client): Promise<number> {
  let deleted = 0;
  for await (const { scheduleId } of client.schedule.list({
    query: `ScheduleId STARTS_WITH '${temporaryPrefix}'`,
  })) {
    if (!(Date.now() - createdMs(scheduleId) > abandonedAfterMs)) continue;
    deleted++;
    await client.schedule
      .getHandle(scheduleId)
      .delete()
      .catch((error) => {
        if (!(error instanceof ScheduleNotFoundError)) throw error;
      });
  }
  return deleted;
}

/** A UUID of version 7 begins with its time; `NaN` for any other name. */
function createdMs(scheduleId: string): number {
  const [, high, low] = /^times-([0-9a-f]{8})-([0-9a-f]{4})-7/.exec(scheduleId) ?? [];
  return Number.parseInt(`${high}${low}`, 16);
}

function keyOf({ cron, every, offset, calendars, timeZone, startAt, endAt }: ScheduleTiming): string {
  return canonicalJson({ cron, every, offset, calendars, timeZone, startAt, endAt });
}

function covers(answer: Answer, { fromMs, toMs, count }: TimesRange): boolean {
  if (answer.fromMs > fromMs) return false;
  if (answer.toMs >= toMs) return true;
  return count !== undefined && answer.timesMs.filter((ms) => ms >= fromMs).length >= count;
}

function within(
  { timesMs, disputedMs, toMs: completeMs }: Answer,
  { fromMs, toMs }: TimesRange,
): ScheduleTimes {
  const isWithin = (ms: number) => ms >= fromMs && ms <= toMs;
  return {
    timesMs: timesMs.filter(isWithin),
    complete: completeMs >= toMs,
    disputedMs: disputedMs.filter(isWithin),
  };
}

function timestampOf(ms: number) {
  return { seconds: Math.floor(ms / 1000) as never, nanos: (((ms % 1000) + 1000) % 1000) * 1e6 };
}
