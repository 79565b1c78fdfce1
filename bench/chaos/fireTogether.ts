import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { type Params, sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import { percentile } from '../figure.ts';
import { connectPatiently } from './connectPatiently.ts';
import { untilRunning } from './untilRunning.ts';

const minuteMs = 60_000;

/**
 * Makes schedules that are all due in one second, kills parts of the stack while they fire, and counts: each must have fired
 * once, for that second, and begun one run that completed. Lines in parentheses are figures, all others violations.
 */
export async function fireTogether(
  stack: DevStack,
  { schedules, kill, jitter }: { schedules: number; kill: readonly string[]; jitter: string },
): Promise<string[]> {
  const database = reconnecting(stack);
  const due = new Date(Math.ceil((Date.now() + 10_000 + schedules * 300) / 1000) * 1000);
  const calendar = {
    second: `${due.getUTCSeconds()}`,
    minute: `${due.getUTCMinutes()}`,
    hour: `${due.getUTCHours()}`,
    dayOfMonth: `${due.getUTCDate()}`,
    month: `${due.getUTCMonth() + 1}`,
  };
  const ids = Array.from({ length: schedules }, (_, i) => `tick-${due.getTime()}-${i}`);
  const began = performance.now();
  const call = await stack.as('alice');
  for (const id of ids) {
    const response = await call('/v1/schedules', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id, pipeline: 'ticks', terms: { calendars: [calendar], jitter } }),
    });
    if (response.status !== 201) return [`${id}: ${response.status} ${await response.text()}`];
  }
  const made = Math.round(performance.now() - began);
  const waiting = () =>
    count(
      database,
      'SELECT count(*) FROM waybill.schedule WHERE id = ANY(:ids) AND applied_revision < revision',
      { ids },
    );
  while ((await waiting()) > 0) await pause(250);
  if (Date.now() > due.getTime()) return ['the machine is too slow: not all were made before they were due'];

  const fired = () =>
    count(
      database,
      `SELECT count(*) FROM waybill.firing WHERE schedule_id = ANY(:ids) AND outcome = 'fired'`,
      { ids },
    );
  for (const [i, name] of kill.entries()) {
    // Evenly over the firings, however long they take.
    const share = (schedules * (i + 0.5)) / kill.length;
    for (const until = Date.now() + 5 * minuteMs; (await fired()) < share && Date.now() < until; )
      await pause(50);
    process.kill(await untilRunning(stack, name), 'SIGKILL');
  }
  const open = () =>
    count(
      database,
      `SELECT :schedules::integer - count(*) FROM waybill.firing f JOIN waybill.run r ON r.id = f.run_id
       WHERE f.schedule_id = ANY(:ids) AND r.ended_at IS NOT NULL`,
      { ids, schedules },
    );
  for (const until = Date.now() + 20 * minuteMs; (await open()) > 0 && Date.now() < until; ) await pause(250);
  await database.end();
  return verify(await connectPatiently(stack), ids, due, { made });
}

async function verify(
  client: pg.Client,
  ids: string[],
  due: Date,
  { made }: { made: number },
): Promise<string[]> {
  try {
    const { rows } = await client.query<{ schedule: string; nominal: Date; state: string; accepted: Date }>(
      sql(
        `SELECT f.schedule_id AS schedule, f.nominal_at AS nominal, r.state, r.created_at AS accepted
       FROM waybill.firing f LEFT JOIN waybill.run r ON r.id = f.run_id WHERE f.schedule_id = ANY(:ids)`,
        { ids },
      ),
    );
    const violations = ids.flatMap((id) => {
      const its = rows.filter(({ schedule }) => schedule === id);
      if (its.length !== 1) return [`${id} has ${its.length} firings`];
      const [{ nominal, state }] = its as [(typeof its)[0]];
      if (nominal.getTime() !== due.getTime()) return [`${id} fired for ${nominal.toISOString()}`];
      return state === 'completed' ? [] : [`the run of ${id} is ${state}`];
    });
    const { rows: runs } = await client.query<{ n: string }>(
      sql(`SELECT count(*) AS n FROM waybill.run WHERE pipeline = 'ticks' AND created_at >= :due`, { due }),
    );
    if (Number(runs[0]!.n) !== ids.length) violations.push(`${runs[0]!.n} runs of ${ids.length} schedules`);
    const afterMs = rows
      .filter(({ accepted }) => accepted)
      .map(({ accepted }) => accepted.getTime() - due.getTime())
      .sort((a, b) => a - b);
    const at = (share: number) => `${(percentile(afterMs, share) / 1000).toFixed(1)} s`;
    return [
      `(${ids.length} schedules made in ${(made / 1000).toFixed(1)} s; runs accepted after they were due: ` +
        `first ${at(0)}, median ${at(0.5)}, 90 % ${at(0.9)}, last ${at(1)})`,
      ...violations,
    ];
  } finally {
    await client.end();
  }
}

/** One connection for many looks, made again where a kill has broken it. */
function reconnecting(stack: DevStack) {
  let connected: pg.Client | undefined;
  async function end(): Promise<void> {
    const client = connected;
    connected = undefined;
    await client?.end().catch(() => {});
  }
  return {
    async query(text: string, params: Params): Promise<Record<string, unknown>[]> {
      for (;;) {
        connected ??= await connectPatiently(stack);
        try {
          return (await connected.query(sql(text, params))).rows;
        } catch (error) {
          await end();
          // Class 57: the server stops or starts. Any other error of the server is no broken connection.
          if (error instanceof pg.DatabaseError && !error.code?.startsWith('57')) throw error;
        }
      }
    },
    end,
  };
}

async function count(
  database: ReturnType<typeof reconnecting>,
  text: string,
  params: Params,
): Promise<number> {
  const [row] = await database.query(text, params);
  return Number(Object.values(row!)[0]);
}
