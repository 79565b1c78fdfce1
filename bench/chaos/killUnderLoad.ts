import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import { connectPatiently } from './connectPatiently.ts';
import { untilRunning } from './untilRunning.ts';

/**
 * Kills one part of the stack again and again while small runs come in, and each caller does what callers do: the
 * same request with the same idempotency key until it is answered. Resolves with every promise that was broken: an
 * acknowledged run that did not complete, a key that made two runs, a row that is missing or too many.
 */
export async function killUnderLoad(
  stack: DevStack,
  harm: { name: string; kills: number; perKill: number },
): Promise<string[]> {
  const acknowledged = new Map<string, string>();
  const before = await countOf(stack);
  const total = harm.kills * harm.perKill;
  const accepting = Promise.all(
    Array.from({ length: total }, async (_, i) => {
      // Spread over the campaign, so that some come at every moment of an outage.
      await pause((i / harm.perKill) * 3_000);
      const id = randomUUID();
      acknowledged.set(id, await acceptPatiently(stack, id));
    }),
  );
  for (let i = 0; i < harm.kills; i++) {
    await pause(2_000 + Math.random() * 1_000);
    const pid = await untilRunning(stack, harm.name);
    process.kill(pid, 'SIGKILL');
    while (stack.pid(harm.name) === pid) await pause(50);
  }
  await accepting;
  return verify(stack, acknowledged, total, before);
}

async function acceptPatiently(stack: DevStack, id: string): Promise<string> {
  for (const until = performance.now() + 120_000; performance.now() < until; await pause(250)) {
    try {
      const call = await stack.as('alice');
      const response = await call('/v1/pipelines/pings/runs', {
        method: 'POST',
        body: JSON.stringify({ records: [{ id, amount: 1 }] }),
        headers: { 'content-type': 'application/json', 'idempotency-key': id },
        signal: AbortSignal.timeout(10_000),
      });
      if (response.status === 202) return ((await response.json()) as { id: string }).id;
      if (response.status < 500 && response.status !== 409) throw new Unexpected(`${response.status}`);
    } catch (error) {
      if (error instanceof Unexpected) throw error;
    }
  }
  throw new Error(`no answer for ${id}`);
}

class Unexpected extends Error {}

async function verify(
  stack: DevStack,
  acknowledged: Map<string, string>,
  total: number,
  before: { runs: number; pings: number },
): Promise<string[]> {
  const client = await connectPatiently(stack);
  try {
    const runIds = [...acknowledged.values()];
    const ended = async () => {
      const { rows } = await client.query<{ open: number }>(
        sql(
          'SELECT count(*)::integer AS open FROM waybill.run WHERE id = ANY(:runIds) AND ended_at IS NULL',
          {
            runIds,
          },
        ),
      );
      return rows[0]!.open === 0;
    };
    for (const until = performance.now() + 180_000; !(await ended()) && performance.now() < until; )
      await pause(500);

    const violations: string[] = [];
    const { rows: states } = await client.query<{ state: string; n: number }>(
      sql('SELECT state, count(*)::integer AS n FROM waybill.run WHERE id = ANY(:runIds) GROUP BY state', {
        runIds,
      }),
    );
    const completed = states.find(({ state }) => state === 'completed')?.n ?? 0;
    if (completed !== total) violations.push(`${completed} of ${total} acknowledged runs completed`);
    if (new Set(runIds).size !== total) violations.push('two keys share a run');
    const after = await countOf(stack);
    const runs = after.runs - before.runs;
    if (runs !== total) violations.push(`${runs} runs were made for ${total} keys`);
    const pings = after.pings - before.pings;
    if (pings !== total) violations.push(`${pings} rows for ${total} records`);
    return violations;
  } finally {
    await client.end();
  }
}

async function countOf(stack: DevStack): Promise<{ runs: number; pings: number }> {
  const client = await connectPatiently(stack);
  const { rows } = await client.query(
    `SELECT (SELECT count(*)::integer FROM waybill.run) AS runs, (SELECT count(*)::integer FROM pings) AS pings`,
  );
  await client.end();
  return rows[0];
}
