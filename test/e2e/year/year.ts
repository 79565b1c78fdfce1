import { Client } from '@temporalio/client';
import { createTemporalSchedules } from '../../../adapters/temporal/temporalSchedules.ts';
import { startTemporalForTest } from '../../adapters/temporal/server.ts';
import { courses } from './days.ts';
import { judge } from './judge.ts';
import { Life, type LivedDay, schedule, terms } from './live.ts';
import { startTimeSkippingServer } from './timeSkippingServer.ts';
import { startWorld } from './world.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/**
 * So many days of a daily pipeline that waits for people, each lived through in a second or less.
 *
 * Real: the workflows, the activities, the interceptors and the relay of a worker, the API over HTTP, PostgreSQL, signatures and
 * policies, and the times of the schedule, as a server of Temporal computes them. Simulated: time, which Temporal’s server for
 * tests skips, and with which the clocks of PostgreSQL and of this process are put forward (`clocks.ts`); and the schedule in Temporal,
 * which that server does not have (`standInSchedule.ts`).
 */
export async function liveThrough(options: {
  days: number;
  /** Of a consent. */
  lifetime: string;
}): Promise<{ violations: string[]; summary: string } | { missing: string }> {
  const startMs = nextMarch(Date.now());
  const timesMs = await timesFrom(startMs, options.days);
  const temporal = await startTimeSkippingServer();
  if ('missing' in temporal) return temporal;
  try {
    const world = await startWorld(temporal, { schedule, startMs, timesMs });
    try {
      const life = new Life(world, options);
      await life.begin();
      for (const [n, nominalMs] of timesMs.entries()) await life.liveThrough(n, nominalMs);
      const violations = await judge(world, life.lived);
      // Told of another first day it has to find that out, or it finds nothing at all.
      const [first, ...others] = life.lived;
      const control = await judge(world, [{ ...first!, course: courses.rejected }, ...others]);
      if (control.length === 0) violations.push('the control, told of another first day, found nothing');
      return { violations, summary: summaryOf(life.lived) };
    } finally {
      await world.stop();
    }
  } finally {
    await temporal.teardown();
  }
}

/** So that the clocks change within a month, and back within a year. */
function nextMarch(nowMs: number): number {
  const year = new Date(nowMs).getUTCFullYear();
  return [year, year + 1].map((one) => Date.UTC(one, 2, 16)).find((ms) => ms > nowMs)!;
}

async function timesFrom(startMs: number, days: number): Promise<number[]> {
  const { env } = await startTemporalForTest();
  try {
    const temporalSchedules = createTemporalSchedules({
      client: new Client({ connection: env.connection }),
      taskQueue: 'none',
    });
    return (await temporalSchedules.times(terms, { fromMs: startMs, toMs: startMs + days * dayMs })).timesMs;
  } finally {
    await env.teardown();
  }
}

/** How many days there were of each kind, by what came of them and by how long they were. */
function summaryOf(lived: readonly LivedDay[]): string {
  const counts = new Map<string, number>();
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  for (const [i, { nominalMs, firing, course }] of lived.entries()) {
    const lapse = course?.lapses.includes('escalated')
      ? ', escalated'
      : course?.lapses.length
        ? ', reminded'
        : '';
    count(course ? `${course.run}${course.withdrawn ? ', suspended' : lapse}` : (firing ?? 'blocked'));
    const hours = (nominalMs - (lived[i - 1]?.nominalMs ?? nominalMs - dayMs)) / hourMs;
    if (hours !== 24) count(`${hours} h after the one before`);
  }
  const kinds = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, n]) => `${n} × ${what}`);
  return `${lived.length} days: ${kinds.join('; ')}`;
}
