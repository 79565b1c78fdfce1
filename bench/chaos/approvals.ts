import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;

/** As `bench/gated/pipelines/wires.ts` has it. */
const withinMs = 4_000;

/**
 * Runs that wait for people, each of which is approved by one, rejected by another, cancelled and left to its deadline, all at about
 * the same moment, in any order. Resolves with each race that did not come to exactly one end, or has rows other than its end says.
 */
export async function raceDecisions(
  stack: DevStack,
  { races, atOnce }: { races: number; atOnce: number },
): Promise<string[]> {
  const database = new pg.Pool({ connectionString: stack.info().databaseUrl, max: 8 });
  try {
    let left = races;
    const lane = async () => {
      // Tokens last for some minutes.
      const [alice, bob, erin] = await Promise.all([stack.as('alice'), stack.as('bob'), stack.as('erin')]);
      for (let mine = 0; mine < 50 && left > 0; mine++) {
        left--;
        await race(database, alice, [bob, erin]);
      }
    };
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left > 0) await lane();
      }),
    );
    return await judge(database, races);
  } finally {
    await database.end();
  }
}

async function race(database: pg.Pool, alice: Call, [bob, erin]: [Call, Call]): Promise<void> {
  const answer = await alice('/v1/pipelines/wires/runs', {
    method: 'POST',
    body: JSON.stringify({ records: [{ id: randomUUID() }] }),
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
  });
  const { id } = (await answer.json()) as { id: string };
  const approval = await until(async () => (await ofRun(database, id)) ?? undefined);
  const dueInMs = approval.createdAt.getTime() + withinMs - Date.now();
  /** Around the deadline, so that each has its share of first places. */
  const between = (fromMs: number, toMs: number) =>
    pause(Math.max(0, dueInMs + fromMs + Math.random() * (toMs - fromMs)));
  const vote = (call: Call, decision: string) =>
    call(`/v1/approvals/${approval.id}/decisions`, {
      method: 'POST',
      body: JSON.stringify({ decision, digest: approval.digest }),
      headers: { 'content-type': 'application/json' },
    });
  await Promise.all([
    between(-1_500, 200).then(() => vote(bob, 'approve')),
    between(-1_500, 200).then(() => vote(erin, 'reject')),
    between(-700, 700).then(() => alice(`/v1/runs/${id}/cancel`, { method: 'POST' })),
  ]);
  await until(async () => {
    const { rows } = await database.query(sql('SELECT ended_at FROM waybill.run WHERE id = :id', { id }));
    return rows[0].ended_at ?? undefined;
  });
}

async function ofRun(database: pg.Pool, id: string) {
  const { rows } = await database.query<{ id: string; digest: string; createdAt: Date }>(
    sql(`SELECT id, digest, created_at AS "createdAt" FROM waybill.approval WHERE run_id = :id`, { id }),
  );
  return rows[0];
}

/** How a run that ended so may have left its approval, and how many rows there are of it. */
const ends: Readonly<Record<string, { approvals: readonly string[]; rows: number }>> = {
  completed: { approvals: ['approved'], rows: 1 },
  ApprovalRejected: { approvals: ['rejected'], rows: 0 },
  ApprovalExpired: { approvals: ['expired'], rows: 0 },
  // A run may be cancelled before its end was carried out.
  RunCancelled: { approvals: ['cancelled', 'approved', 'rejected', 'expired'], rows: 0 },
};

/** The last approval of each run is judged; where another run was published in between, there are void ones before it. */
async function judge(database: pg.Pool, races: number): Promise<string[]> {
  const { rows } = await database.query(`
    SELECT r.id, coalesce(r.reason->>'code', r.state) AS run, a.state AS approval,
           (SELECT count(*) FROM waybill.approval b WHERE b.tenant = r.tenant AND b.run_id = r.id AND b.id <> a.id)::int AS before,
           (SELECT count(*) FROM waybill.approval b WHERE b.tenant = r.tenant AND b.run_id = r.id AND b.id <> a.id AND b.state = 'void')::int AS void,
           (SELECT count(*) FROM wires w WHERE w._run = r.id)::int AS rows,
           (SELECT count(*) FROM waybill.audit_event e WHERE e.run_id = r.id AND e.action = 'run.published')::int AS published,
           (SELECT count(*) FROM waybill.audit_event e WHERE e.run_id = r.id AND e.detail->>'approval' = a.id
              AND e.action IN ('approval.approved', 'approval.rejected', 'approval.expired'))::int AS ended,
           (SELECT count(*) FROM waybill.audit_event e WHERE e.run_id = r.id
              AND e.action IN ('run.completed', 'run.cancelled', 'run.failed'))::int AS over
    FROM waybill.run r
    JOIN LATERAL (SELECT id, state FROM waybill.approval WHERE tenant = r.tenant AND run_id = r.id ORDER BY round DESC LIMIT 1) a ON true
    WHERE r.pipeline = 'wires'`);
  const seen = new Map<string, number>();
  const violations: string[] =
    rows.length === races ? [] : [`${rows.length} runs with approvals of ${races}`];
  let askedAnew = 0;
  for (const one of rows) {
    const what = `${one.run}, approval ${one.approval}`;
    seen.set(what, (seen.get(what) ?? 0) + 1);
    if (one.before > 0) askedAnew++;
    const end = ends[one.run];
    const right =
      end?.approvals.includes(one.approval) &&
      one.void === one.before &&
      one.rows === end.rows &&
      one.published === end.rows &&
      one.ended === (one.approval === 'cancelled' ? 0 : 1) &&
      one.over === 1;
    if (!right) violations.push(JSON.stringify(one));
  }
  const outcomes = [...seen].sort(([, a], [, b]) => b - a).map(([what, n]) => `${n} × ${what}`);
  return [...violations, `(${rows.length} races, ${askedAnew} asked again: ${outcomes.join('; ')})`];
}

/**
 * One run of so many rows, approved, and then everything killed one after the other while it is published. Resolves with what
 * shows that it was not published exactly once.
 */
export async function killBeforePublish(stack: DevStack, rows: number): Promise<string[]> {
  const alice = await stack.as('alice');
  const accepted = await alice('/v1/pipelines/loads/runs', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(Readable.from(lines(rows))) as ReadableStream,
    duplex: 'half',
  } as RequestInit);
  const { id } = (await accepted.json()) as { id: string };
  const approval = await until(() => look(stack, (client) => ofRun(client, id)), 1_800_000);
  const unseen = await look(stack, countLoads);
  const bob = await stack.as('bob');
  const vote = await bob(`/v1/approvals/${approval.id}/decisions`, {
    method: 'POST',
    body: JSON.stringify({ decision: 'approve', digest: approval.digest }),
    headers: { 'content-type': 'application/json' },
  });
  const killed: string[] = [];
  for (const name of ['worker-1', 'temporal', 'worker-2', 'postgres', 'api', 'worker-1', 'worker-2']) {
    await pause(1_000 + Math.random() * 2_000);
    const pid = stack.pid(name);
    if (pid === undefined) continue;
    process.kill(pid, 'SIGKILL');
    killed.push(name);
  }
  const ended = await until(
    () =>
      look(stack, async (client) => {
        const found = await client.query(
          sql('SELECT state, counts, ended_at FROM waybill.run WHERE id = :id', { id }),
        );
        return found.rows[0].ended_at ? found.rows[0] : undefined;
      }),
    1_800_000,
  );
  const published = await until(() =>
    look(stack, async (client) => {
      const found = await client.query(
        sql(
          `SELECT (SELECT count(*) FROM waybill.audit_event WHERE run_id = :id AND action = 'run.published')::int AS times,
                (SELECT count(DISTINCT id) FROM loads)::int AS keys`,
          { id },
        ),
      );
      return found.rows[0] as { times: number; keys: number };
    }),
  );
  const stored = await look(stack, countLoads);
  const same = (what: string, actual: unknown, wanted: unknown) =>
    actual === wanted ? [] : [`${what}: ${actual}, not ${wanted}`];
  return [
    ...same('rows to be seen before the vote', unseen, 0),
    ...same('answer to the vote', vote.status, 202),
    ...same('state', ended.state, 'completed'),
    ...same('stored, as counted', ended.counts.stored, rows),
    ...same('rows', stored, rows),
    ...same('keys', published.keys, rows),
    ...same('times published', published.times, 1),
    `(${rows} rows published once; killed during that: ${killed.join(', ')})`,
  ];
}

function* lines(rows: number): Generator<string> {
  for (let from = 0; from < rows; from += 1_000) {
    const some = Array.from({ length: Math.min(1_000, rows - from) }, (_, i) => from + i);
    yield some.map((id) => `{"id":${id},"note":"row ${id}"}\n`).join('');
  }
}

const countLoads = async (client: pg.Pool) =>
  (await client.query<{ n: number }>('SELECT count(*)::int AS n FROM loads')).rows[0]!.n;

/** `undefined` while the database is away. */
async function look<T>(stack: DevStack, work: (client: pg.Pool) => Promise<T>): Promise<T | undefined> {
  let client: pg.Pool | undefined;
  try {
    client = new pg.Pool({ connectionString: stack.info().databaseUrl, max: 1 });
    client.on('error', () => {});
    return await work(client);
  } catch {
    return undefined;
  } finally {
    await client?.end().catch(() => {});
  }
}

async function until<T>(done: () => Promise<T | undefined>, ms = 900_000): Promise<T> {
  for (const by = performance.now() + ms; performance.now() < by; await pause(100)) {
    const found = await done();
    if (found !== undefined) return found;
  }
  throw new Error(`it did not come to that within ${ms} ms`);
}
