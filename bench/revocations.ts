import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { principalId } from '../domain/principal.ts';
import { hasEnded } from '../domain/runs/run.ts';
import { sql } from '../domain/sql.ts';
import type { Run } from '../sdk/client.ts';
import { type DevStack, startDevStack } from '../test/support/devStack.ts';
import { serveHeldFeed } from '../test/support/heldFeed.ts';
import type { Figure } from './figure.ts';
import { percentile } from './figure.ts';
import { invalidGrants } from './invalidGrants.ts';

const trials = 50;
const goalMs = 10_000;
/** A batch comes this often, so that there is a next task at any moment. */
const batchEveryMs = 50;

/** What becomes of a right that is revoked, or was never given, against one embedded stack. */
export async function revocations(): Promise<Figure[]> {
  const feed = await serveHeldFeed();
  const stack = await startDevStack({
    project: fileURLToPath(new URL('../test/support/project', import.meta.url)),
    env: { WAYBILL_EGRESS_ALLOW: feed.host },
  });
  const database = new pg.Client({ connectionString: stack.info().databaseUrl });
  try {
    await database.connect();
    return [...(await invalidGrants(stack)), ...(await revoked(stack, database, feed))];
  } finally {
    await database.end();
    await stack.stop();
    feed.close();
  }
}

type Feed = Awaited<ReturnType<typeof serveHeldFeed>>;

interface Trial {
  /** From the answer to the revocation until the first task was refused, by the clock of the machine. */
  refusedMs: number;
  /** … until the last effect that was still recorded; 0 where there was none. */
  lastEffectMs: number;
}

/**
 * A run of alice’s is under way and batches keep arriving; carol revokes alice, and gives her right back once the run is suspended. It
 * has to complete then, with each record once.
 */
async function revoked(stack: DevStack, database: pg.Client, feed: Feed): Promise<Figure[]> {
  const outcomes: Trial[] = [];
  for (let i = 0; i < trials; i++) outcomes.push(await trial(stack, database, feed, `t${i}`));
  const refused = outcomes.map(({ refusedMs }) => refusedMs);
  const effects = outcomes.map(({ lastEffectMs }) => lastEffectMs);
  const goal = (value: number) => ({ goal: '≤ 10,000 ms', met: value <= goalMs });
  const p99 = percentile(refused, 0.99);
  const effect = Math.max(...effects);
  return [
    { name: 'revocation trials', value: trials, unit: 'trials' },
    { name: '  answer to next task refused, p50', value: percentile(refused, 0.5), unit: 'ms' },
    { name: '  answer to next task refused, p99', value: p99, unit: 'ms', ...goal(p99) },
    { name: '  answer to last effect, p50', value: percentile(effects, 0.5), unit: 'ms' },
    { name: '  answer to last effect, max', value: effect, unit: 'ms', ...goal(effect) },
  ];
}

async function trial(stack: DevStack, database: pg.Client, feed: Feed, name: string): Promise<Trial> {
  const [alice, carol] = [await stack.as('alice'), await stack.as('carol')];
  let sent = 0;
  const send = () => {
    const records = Array.from({ length: 10 }, (_, i) => ({
      id: `${name}-${sent + i}`,
      at: '2026-01-02T03:04:05Z',
      size: i,
    }));
    feed.send(name, records);
    sent += records.length;
  };
  const begun = await json(alice, '/v1/pipelines/feed/runs', { source: { url: feed.urlOf(name) } });
  const { id } = begun as { id: string };
  send();
  const arriving = setInterval(send, batchEveryMs);
  const one = async <T>(text: string) => (await database.query(sql(text, { id }))).rows[0] as T | undefined;
  await until(() => one(`SELECT FROM waybill.stage WHERE run_id = :id AND stage = 'transform'`));

  const revocation = (await json(carol, '/v1/revocations', {
    kind: 'principal',
    id: principalId(stack.info().issuerUrl, 'alice'),
    reason: 'a benchmark',
  })) as { id: string };
  const answeredAt = Date.now();
  const refused = await until(() =>
    one<{ at: Date }>(
      `SELECT at FROM waybill.audit_event WHERE run_id = :id AND action = 'attempt.denied' ORDER BY id LIMIT 1`,
    ),
  );
  await until(() => one(`SELECT FROM waybill.run WHERE id = :id AND state = 'suspended'`));
  clearInterval(arriving);
  feed.end(name);
  const last = await one<{ at: Date }>(
    `SELECT at FROM waybill.audit_event WHERE run_id = :id AND action LIKE 'batch.%' ORDER BY id DESC LIMIT 1`,
  );

  await carol(`/v1/revocations/${revocation.id}`, { method: 'DELETE' });
  await until(async () => {
    const { state, counts } = (await (await carol(`/v1/runs/${id}`)).json()) as Run;
    if (hasEnded(state) && (state !== 'completed' || counts.stored !== sent))
      throw new Error(`${id} ${state}, ${counts.stored} of ${sent} records stored`);
    return hasEnded(state);
  });
  const after = (at: Date) => Math.max(0, at.getTime() - answeredAt);
  return { refusedMs: after(refused.at), lastEffectMs: last ? after(last.at) : 0 };
}

type Call = Awaited<ReturnType<DevStack['as']>>;

async function json(call: Call, path: string, body: object): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  const response = await call(path, { method: 'POST', body: JSON.stringify(body), headers });
  const answer: unknown = await response.json();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (const by = performance.now() + 60_000; performance.now() < by; await pause(10)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error('it did not come to that within a minute');
}
