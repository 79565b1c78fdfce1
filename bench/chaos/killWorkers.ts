import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { hasEnded, type RunState } from '../../domain/runs/run.ts';
import { sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import { generateOrders } from '../generateOrders.ts';
import { contentOf } from './checksum.ts';
import { connectPatiently } from './connectPatiently.ts';
import { startSlowWorkers } from './slowAnswers.ts';
import { untilRunning } from './untilRunning.ts';

export interface Harm {
  rows: number;
  kills: number;
  /**
   * Who works: the workers of the stack; or workers of this harness that dawdle between commit and answer, with the
   * ledger or, as a control that must be found out, without it.
   */
  workers: 'own' | 'guarded' | 'unguarded';
  /** How often PostgreSQL and Temporal are killed too, each; not before the upload has its answer. */
  servers?: number;
}

/**
 * One run of generated orders as alice, unharmed; then the same bytes as dave, of another tenant, while random workers are
 * killed: half of the kills come at random moments, half right after a stage or a batch has committed and before Temporal can have
 * heard of it; of the harness’s workers all of them come then. Resolves with everything in which the two differ, or in which either differs from what the generator says.
 */
export async function killWorkers(
  stack: DevStack,
  harm: Harm,
): Promise<{ violations: string[]; killed: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-chaos-'));
  try {
    const file = join(folder, 'orders.ndjson');
    const expected = await generateOrders(file, harm.rows);
    const slow = harm.workers === 'own' ? undefined : await startSlowWorkers(stack, harm.workers);
    await forget(stack, 'acme');
    const calm = await upload(stack, 'alice', file);
    const unharmed = await contentOf(stack.info().databaseUrl, 'orders', 'order_id', 'acme');
    await forget(stack, 'globex');

    const pids = () => slow?.pids() ?? ['worker-1', 'worker-2'].flatMap((name) => stack.pid(name) ?? []);
    const killing = killWhile(stack, pids, harm.kills, harm.workers === 'own' ? 0.5 : 1);
    let servers: Promise<void> | undefined;
    const rough = await upload(stack, 'dave', file, () => {
      servers = killServers(stack, harm.servers ?? 0);
    });
    await servers;
    const killed = await killing.stop();
    await slow?.stop();
    const harmed = await contentOf(stack.info().databaseUrl, 'orders', 'order_id', 'globex');
    return { violations: compare(expected, calm, rough, unharmed, harmed), killed };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Ended {
  state: RunState;
  counts: Record<string, number>;
}

function compare(
  expected: Record<string, unknown>,
  calm: Ended,
  rough: Ended,
  unharmed: Awaited<ReturnType<typeof contentOf>>,
  harmed: Awaited<ReturnType<typeof contentOf>>,
): string[] {
  const violations: string[] = [];
  const same = (what: string, actual: unknown, wanted: unknown) => {
    if (actual !== wanted) violations.push(`${what}: ${actual}, not ${wanted}`);
  };
  same('state', rough.state, 'completed');
  for (const name of ['read', 'passed', 'filtered', 'rejected', 'emitted', 'stored', 'deduplicated']) {
    same(`unharmed ${name}`, calm.counts[name], expected[name]);
  }
  for (const name of Object.keys(rough.counts)) same(name, rough.counts[name], calm.counts[name]);
  same('rows', harmed.rows, expected.stored);
  same('duplicates', harmed.rows - harmed.keys, 0);
  same('content', harmed.digest, unharmed.digest);
  return violations;
}

async function upload(
  stack: DevStack,
  name: string,
  file: string,
  onAccepted: () => void = () => {},
): Promise<Ended> {
  const call = await stack.as(name);
  const response = await call('/v1/pipelines/orders/runs', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(createReadStream(file)) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
  const run = (await response.json()) as { id: string };
  if (response.status !== 202) throw new Error(`upload: ${response.status} ${JSON.stringify(run)}`);
  onAccepted();
  for (; ; await pause(250)) {
    // The API answers 503 while PostgreSQL is away.
    const answer = await call(`/v1/runs/${run.id}`);
    if (!answer.ok) continue;
    const ended = (await answer.json()) as Ended;
    if (hasEnded(ended.state)) return ended;
  }
}

/** So that both tenants begin with an empty table, in which nothing is `unchanged`. */
async function forget(stack: DevStack, tenant: string): Promise<void> {
  const client = new pg.Client({ connectionString: stack.info().databaseUrl });
  await client.connect();
  await client.query(sql('DELETE FROM orders WHERE _tenant = :tenant', { tenant }));
  await client.end();
}

/** Each in turn, every few seconds, so that the run goes on between them. */
async function killServers(stack: DevStack, times: number): Promise<void> {
  for (let i = 0; i < 2 * times; i++) {
    await pause(1_000 + Math.random() * 2_000);
    const name = i % 2 === 0 ? 'postgres' : 'temporal';
    const pid = await untilRunning(stack, name);
    process.kill(pid, 'SIGKILL');
    while (stack.pid(name) === pid) await pause(50);
  }
}

/** A notification that arrives when a batch, or a stage too, has committed, and not before. */
const announceCommits = (tables: readonly string[]) => `
  LISTEN chaos_committed;
  CREATE OR REPLACE FUNCTION public.chaos_announce() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_notify('chaos_committed', ''); RETURN NULL; END $$;
  ${tables
    .map(
      (table) =>
        `CREATE OR REPLACE TRIGGER chaos_committed AFTER INSERT ON waybill.${table} FOR EACH ROW EXECUTE FUNCTION public.chaos_announce()`,
    )
    .join(';')}`;

function killWhile(
  stack: DevStack,
  pids: () => number[],
  killsMax: number,
  shareAtCommit: number,
): { stop(): Promise<number> } {
  let stopped = false;
  let killed = 0;
  let committed = () => {};
  let client: pg.Client | undefined;

  /** PostgreSQL may be killed too. */
  async function listen(): Promise<void> {
    const listening = await connectPatiently(stack);
    client = listening;
    listening.on('notification', () => committed());
    listening.once('end', () => stopped || listen().catch(() => {}));
    // The harness’s workers dawdle after a batch only; the few kills must not be spent on stages.
    await listening.query(announceCommits(shareAtCommit === 1 ? ['ledger'] : ['ledger', 'stage']));
  }

  function kill(victims: readonly number[]): void {
    for (const pid of victims) {
      if (stopped || killed >= killsMax) return;
      try {
        process.kill(pid, 'SIGKILL');
        killed++;
      } catch {
        // It was just being replaced; the next one will do.
      }
    }
  }

  const running = (async () => {
    await listen();
    while (!stopped && killed < killsMax) {
      const all = pids();
      // The first is always at a commit: a short run might be over before a random moment comes.
      if (killed > 0 && Math.random() >= shareAtCommit) {
        await pause(500 + Math.random() * 1_500);
        kill(all.filter((_, i) => i === Math.floor(Math.random() * all.length)));
        continue;
      }
      // Every worker at once, because the harness cannot know which of them has just committed.
      const rang = new Promise<boolean>((resolve) => {
        committed = () => resolve(true);
      });
      if (await Promise.race([rang, pause(5_000, false)])) kill(pids());
    }
  })();

  return {
    async stop() {
      stopped = true;
      committed();
      await running;
      const last = await connectPatiently(stack);
      await last.query('DROP FUNCTION public.chaos_announce CASCADE');
      await last.end();
      await client?.end();
      return killed;
    },
  };
}
