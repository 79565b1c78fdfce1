import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from '../../domain/sql.ts';
import type { Approval, RepairStep, Run } from '../../sdk/client.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import { connectPatiently } from './connectPatiently.ts';
import { judgeLetters } from './judgeLetters.ts';
import { startSlowWorkers } from './slowAnswers.ts';
import { untilRunning } from './untilRunning.ts';

/** Of `bench/repairs`: one waits for people with its rows prepared, the other before it reads a record. */
const pipelines = ['parcels', 'crates'] as const;

const good = {
  ...{ size: 'small', grams: 100, day: '2026-01-02', country: 'AT', fragile: false },
  ...{ street: 'Hauptplatz 1', phone: '43', price: 1, label: 'x', service: 'road' },
};
/** By which field a record is rejected; `bench/repairs/shipment.ts` says why. */
const bad = {
  ...{ size: 'huge', grams: 99_999, day: 'Monday', country: 'Austria', fragile: 'no' },
  ...{ street: '', phone: 'none', price: -1, label: '', service: 'ship' },
};
const fields = Object.keys(bad) as (keyof typeof bad)[];
/** Two rules: each mends five of the ten kinds. */
const rules = [fields.slice(0, 5), fields.slice(5)].map((some) => ({
  set: Object.fromEntries(some.map((field) => [field, good[field]])),
}));

export interface Harm {
  letters: number;
  /** Of workers, API and PostgreSQL in turn; two fifths of them while letters are edited, the others while they are sent. */
  kills: number;
}

/**
 * Rejected records of ten kinds, of two pipelines, edited by two rules and redriven by two people at once, each redrive approved by a
 * third, while processes are killed. Resolves with all that is not as it must be.
 */
export async function repairLetters(stack: DevStack, { letters, kills }: Harm): Promise<string[]> {
  const lines: string[] = [];
  const timed = async <T>(what: string, work: Promise<T>): Promise<T> => {
    const from = performance.now();
    const result = await work;
    lines.push(`(${what} took ${Math.round((performance.now() - from) / 1_000)} s)`);
    return result;
  };
  const each = Math.ceil(letters / pipelines.length);
  const origins = await timed(
    'rejecting the records',
    Promise.all(pipelines.map((pipeline) => rejectRecords(stack, pipeline, each))),
  );
  const editing = Math.floor(kills * 0.4);
  await timed(
    'editing',
    killDuring(stack, editing, async () => {
      for (const origin of origins) for (const rule of rules) await editAll(stack, origin, rule);
    }),
  );
  const redrives = await timed(
    'sending',
    killDuring(stack, kills - editing, () => redriveAll(stack, origins)),
  );
  const runs = origins.map((id, i) => ({ id, pipeline: pipelines[i]!, letters: each }));
  return [
    ...(await judgeLetters(stack, runs)),
    ...lines,
    `(${kills} kills, ${2 * each} letters, ${redrives} redrives)`,
  ];
}

/** The control: workers that store letters without settling them. What is sent again is then stored again. */
export async function redriveTwice(stack: DevStack): Promise<string[]> {
  const letters = 200;
  const workers = await startSlowWorkers(stack, 'unclaimed');
  try {
    const origin = await rejectRecords(stack, 'crates', letters);
    for (const rule of rules) await editAll(stack, origin, rule);
    for (let i = 0; i < 2; i++) await redriveOnce(stack, origin, fields[0]!);
    return await judgeLetters(stack, [{ id: origin, pipeline: 'crates', letters }], fields[0]!);
  } finally {
    await workers.stop();
  }
}

/** A run of nothing but bad records. Resolves with its id once it has ended. */
async function rejectRecords(stack: DevStack, pipeline: string, letters: number): Promise<string> {
  const call = await stack.as('alice');
  const response = await call(`/v1/pipelines/${pipeline}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(Readable.from(recordsOf(letters))) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
  const run = (await response.json()) as Run;
  if (response.status !== 202) throw new Error(`upload: ${response.status} ${JSON.stringify(run)}`);
  await untilApproved(stack, run.id);
  return run.id;
}

function* recordsOf(letters: number): Generator<string> {
  for (let from = 0; from < letters; from += 1_000) {
    const some = Array.from({ length: Math.min(1_000, letters - from) }, (_, i) => from + i);
    yield some
      .map((n) => {
        const field = fields[n % fields.length]!;
        return `${JSON.stringify({ n, ...good, [field]: bad[field] })}\n`;
      })
      .join('');
  }
}

async function editAll(stack: DevStack, run: string, rule: object): Promise<void> {
  let cursor: string | null = null;
  do {
    const request = { filter: { run }, rule, ...(cursor !== null && { cursor }) };
    const step: RepairStep = await askUntil(stack, 'bob', '/v1/dead-letters/repair', request, 200);
    cursor = step.nextCursor;
  } while (cursor !== null);
}

/** Until no letter is open, for a redrive may have failed. Resolves with how many redrives there were. */
async function redriveAll(stack: DevStack, origins: readonly string[]): Promise<number> {
  let redrives = 0;
  for (const origin of origins) {
    for (let left = true; left; ) {
      for (const field of fields) {
        // Two people ask for the same at once. One of them gets the letters, or each some of them.
        const asked = await Promise.all(['alice', 'bob'].map((who) => redrive(stack, who, origin, field)));
        for (const id of asked) {
          if (id === undefined) continue;
          redrives += 1;
          await untilApproved(stack, id);
        }
      }
      const { deadLetters: of } = await look<Run>(stack, `/v1/runs/${origin}`);
      left = of !== undefined && of.open + of.repaired + of.redriving > 0;
    }
  }
  return redrives;
}

async function redriveOnce(stack: DevStack, origin: string, path: string): Promise<void> {
  const id = await redrive(stack, 'alice', origin, path);
  if (id !== undefined) await untilApproved(stack, id);
}

/** The run; `undefined`: there is nothing left to send, or another has it. */
async function redrive(stack: DevStack, who: string, run: string, path: string): Promise<string | undefined> {
  const request = { filter: { run, path } };
  const sent = await askUntil<Partial<Run> & { code?: string }>(
    stack,
    who,
    '/v1/dead-letters/redrive',
    request,
    202,
    ['NoOpenDeadLetters', 'DeadLettersChanged', 'DeadLetterNotOpen'],
  );
  return sent.code === undefined ? sent.id : undefined;
}

/** Has erin approve what the run shows, as often as it asks, until it has ended. */
async function untilApproved(stack: DevStack, id: string): Promise<void> {
  for (; ; await pause(200)) {
    const run = await look<Run>(stack, `/v1/runs/${id}`);
    if (run.endedAt !== null) return;
    if (run.links.approval === undefined) continue;
    const path = new URL(run.links.approval).pathname;
    const { digest } = await look<Approval>(stack, path);
    await send(stack, 'erin', `${path}/decisions`, { decision: 'approve', digest }).catch(() => {});
  }
}

/** Repeats the request, with one key, until it is answered so. */
async function askUntil<T>(
  stack: DevStack,
  who: string,
  path: string,
  body: object,
  status: number,
  codes: readonly string[] = [],
): Promise<T> {
  const key = randomUUID();
  for (const until = performance.now() + 1_800_000; ; await pause(200)) {
    const response = await send(stack, who, path, body, key).catch(() => undefined);
    const answer = (await response?.json().catch(() => undefined)) as { code?: string } | undefined;
    if (answer && (response!.status === status || codes.includes(answer.code ?? ''))) return answer as T;
    const isFinal = response && response.status < 500 && answer?.code !== 'IdempotencyKeyInUse';
    if (isFinal || performance.now() > until)
      throw new Error(`${path}: ${response?.status} ${JSON.stringify(answer)}`);
  }
}

async function send(
  stack: DevStack,
  who: string,
  path: string,
  body: object,
  key?: string,
): Promise<Response> {
  const call = await stack.as(who);
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { 'idempotency-key': key }) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(120_000),
  });
}

/** The API or the database may be away. */
async function look<T>(stack: DevStack, path: string): Promise<T> {
  for (const until = performance.now() + 180_000; ; await pause(200)) {
    try {
      const response = await (await stack.as('erin'))(path, { signal: AbortSignal.timeout(30_000) });
      if (response.ok) return (await response.json()) as T;
      if (response.status < 500) throw new Error(`${path}: ${response.status}`);
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}

const victims = ['worker-1', 'api', 'postgres', 'worker-2', 'api', 'worker-1', 'postgres', 'worker-2'];

/** All the kills, even where the work is done before the last of them. */
async function killDuring<T>(stack: DevStack, kills: number, work: () => Promise<T>): Promise<T> {
  const working = work();
  const killing = (async () => {
    for (let i = 0; i < kills; i++) {
      await pause(500 + Math.random() * 4_000);
      const name = victims[i % victims.length]!;
      const pid = await untilRunning(stack, name);
      process.kill(pid, 'SIGKILL');
      while (stack.pid(name) === pid) await pause(50);
    }
    // So that what comes next finds a database.
    const client = await connectPatiently(stack);
    await client.query(sql('SELECT 1', {}));
    await client.end();
  })();
  const [result] = await Promise.all([working, killing]);
  return result;
}
