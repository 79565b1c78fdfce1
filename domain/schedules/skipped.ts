import { durationMs, type Schedule } from './schedule.ts';

/** Times of a schedule for which nothing was begun, because a run that it had begun before went on. Times are RFC 3339. */
export interface Skipped {
  times: number;
  first: string;
  last: string;
  /** Whether there were more than can be counted at once. */
  more: boolean;
}

/** When a run went on; `endedAt` is `null` while it does. */
export interface Ongoing {
  /** The time that it is for. */
  nominalAt: string;
  endedAt: string | null;
}

export interface Range {
  fromMs: number;
  toMs: number;
}

const secondMs = 1_000;

/**
 * Between which times a schedule could begin nothing beside the run, both inclusive, as far as that is told by how it is now: what
 * it was due at before it was last changed or resumed is not known. `undefined`: it was not kept from anything. Temporal leaves such
 * times out by itself, starts nothing for them, and so no firing asks the API about them.
 */
export function keptBy(
  { terms, state, activeSince, updatedAt }: Schedule,
  { nominalAt, endedAt }: Ongoing,
  nowMs: number,
): Range | undefined {
  if (terms.overlap !== 'skip') return undefined;
  const fromMs = Math.max(
    Date.parse(nominalAt) + secondMs,
    Math.ceil(Date.parse(activeSince) / secondMs) * secondMs,
  );
  // A start may still be put off, and one that has stopped is due at no time.
  const dueMs = nowMs - durationMs(terms.jitter);
  const toMs = Math.min(
    dueMs,
    ...[endedAt, state === 'active' ? null : updatedAt].flatMap((at) =>
      at === null ? [] : [Date.parse(at)],
    ),
  );
  return toMs >= fromMs ? { fromMs, toMs } : undefined;
}

/** Those of the times within the range of which nothing else became. `complete`: they are all that there were. */
export function skippedWithin(
  { fromMs, toMs }: Range,
  timesMs: readonly number[],
  complete: boolean,
  decided: ReadonlySet<number>,
): Skipped | undefined {
  const kept = timesMs.filter((ms) => ms >= fromMs && ms <= toMs && !decided.has(ms));
  if (kept.length === 0) return undefined;
  const [first, last] = [kept[0]!, kept.at(-1)!].map((ms) => new Date(ms).toISOString()) as [string, string];
  return { times: kept.length, first, last, more: !complete };
}
