import { WaybillError } from '../../domain/errors.ts';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import {
  keptBy,
  type Ongoing,
  type Range,
  type Skipped,
  skippedWithin,
} from '../../domain/schedules/skipped.ts';
import type { ApplicationPorts } from '../ports.ts';

/**
 * What runs of a schedule kept from beginning, by the time that each is for; `runs` are the newest first. Nothing is known of it
 * while Temporal, which has the times, cannot be asked, and of old runs where there are too many times since.
 */
export async function skippedBy(
  { temporalSchedules, firings }: Pick<ApplicationPorts, 'temporalSchedules' | 'firings'>,
  schedule: Schedule,
  runs: readonly Ongoing[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Skipped>> {
  const nowMs = Date.now();
  const kept = runs.flatMap((run) => {
    const range = keptBy(schedule, run, nowMs);
    return range ? [{ ...run, range }] : [];
  });
  if (kept.length === 0) return new Map();
  try {
    const all = await counted(around(kept.map(({ range }) => range)));
    if (all.complete) return all.within(kept);
    const [newest] = kept as [(typeof kept)[number]];
    return (await counted(newest.range)).within([newest]);
  } catch (error) {
    if (error instanceof WaybillError) return new Map();
    throw error;
  }

  async function counted(range: Range) {
    const { timesMs, complete } = await temporalSchedules.times(schedule.terms, range, {
      tenant: schedule.tenant,
      signal,
    });
    const decided = new Set((await firings.decidedTimes(schedule, range)).map((at) => Date.parse(at)));
    const within = (some: typeof kept) =>
      new Map(
        some.flatMap(({ nominalAt, range }) => {
          const skipped = skippedWithin(range, timesMs, complete, decided);
          return skipped ? [[nominalAt, skipped] as const] : [];
        }),
      );
    return { complete, within };
  }
}

function around(ranges: readonly Range[]): Range {
  return {
    fromMs: Math.min(...ranges.map(({ fromMs }) => fromMs)),
    toMs: Math.max(...ranges.map(({ toMs }) => toMs)),
  };
}
