import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type pg from 'pg';
import { sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import type { serveHeldFeed } from '../../test/support/heldFeed.ts';
import { connectPatiently } from './connectPatiently.ts';
import { type Absence, absences } from './takeAway.ts';

/** Of a stack that serves test/support/project and may read from the feed. */
export interface Scene {
  stack: DevStack;
  feed: Awaited<ReturnType<typeof serveHeldFeed>>;
}

export interface Outage {
  /** What is away: PostgreSQL, killed; PostgreSQL, which neither answers nor hangs up; the policy, which no process can read. */
  of: keyof typeof absences;
  forMs: number;
  /** How much is in flight. */
  load: { feeds: number; longRecords: number; smallRuns: number };
}

/** Of each feed; a batch has ten. */
const feedRecords = 60;
/** After this long no process may decide by what it knew before. */
const knownForMs = 15_000;

/**
 * Takes the database or the policy away from runs in flight: some that are being read all the while, a long one in the midst of its
 * batches, many small ones that were just accepted and of which some are held at their last step. Resolves with every promise that was broken: a run that did not
 * complete, a record that is missing or was stored twice, a batch that is on record more than once, anything that was decided without
 * what decides.
 */
export async function outage(scene: Scene, { of, forMs, load }: Outage): Promise<string[]> {
  const flights = await takeOff(scene, of, load);
  const violations: string[] = [];
  const letGo = await holdEnds(scene.stack);
  const absence = await absences[of](scene.stack);
  letGo();
  const since = performance.now();
  try {
    violations.push(...(await during(scene, flights, absence, since + forMs)));
  } finally {
    await absence.end();
  }
  violations.push(...(await landed(scene, flights)), ...(await notCompleted(scene, flights)));
  return violations;
}

interface Flight {
  id: string;
  records: number;
  /** Where its records come from while it is under way. */
  feed?: string;
}

/** Accepts everything, and resolves once each of the longer runs has begun to work. */
async function takeOff(
  scene: Scene,
  label: string,
  { feeds, longRecords, smallRuns }: Outage['load'],
): Promise<Flight[]> {
  const alice = await scene.stack.as('alice');
  const send = async (pipeline: string, type: string, body: string): Promise<string> => {
    const headers = { 'content-type': type };
    const response = await alice(`/v1/pipelines/${pipeline}/runs`, { method: 'POST', headers, body });
    const answer = (await response.json()) as { id: string };
    if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
    return answer.id;
  };
  const readings = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => `{"sensor":"${label}-${name}-${i}","value":${i}}\n`).join('');

  const fed: Flight[] = [];
  for (let i = 0; i < feeds; i++) {
    const feed = `${label}-feed-${i}`;
    feedHalf(scene, feed, 0);
    const source = { url: scene.feed.urlOf(feed) };
    fed.push({
      id: await send('feed', 'application/json', JSON.stringify({ source })),
      records: feedRecords,
      feed,
    });
  }
  const client = await connectPatiently(scene.stack);
  for (const { id } of fed) await until(() => has(client, 'stage', id));
  const long = await send('readings', 'application/x-ndjson', readings('long', longRecords));
  await until(() => has(client, 'ledger', long));
  await client.end();
  const small = await Promise.all(
    Array.from({ length: smallRuns }, async (_, i) => ({
      id: await send('readings', 'application/x-ndjson', readings(`small-${i}`, 1)),
      records: 1,
    })),
  );
  return [...fed, { id: long, records: longRecords }, ...small];
}

/** Of no other advisory lock: those of Waybill are hashes of 64 bits. */
const heldLock = 4_242;

/**
 * So that it is certain what the outage meets: from now on no run gets through recording its end, since a trigger waits for a lock that
 * this connection holds. Resolves once one run waits there, with what lets them go on; in an outage the database notices by itself.
 */
async function holdEnds(stack: DevStack): Promise<() => void> {
  const client = await connectPatiently(stack);
  await client.query(`
    CREATE OR REPLACE FUNCTION public.hold_end() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(${heldLock}); RETURN NEW; END';
    CREATE OR REPLACE TRIGGER hold_end BEFORE UPDATE OF ended_at ON waybill.run
      FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION public.hold_end()`);
  await client.query(sql('SELECT pg_advisory_lock(:heldLock)', { heldLock }));
  await until(async () => {
    const { rowCount } = await client.query(
      sql(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = :heldLock AND NOT granted`, {
        heldLock,
      }),
    );
    return rowCount! > 0;
  });
  return () => void client.end().catch(() => {});
}

function feedHalf({ feed }: Scene, name: string, half: 0 | 1): void {
  const records = Array.from({ length: feedRecords / 2 }, (_, i) => ({
    id: `${name}-${(half * feedRecords) / 2 + i}`,
    at: '2026-01-02T03:04:05Z',
    size: i,
  }));
  feed.send(name, records);
}

/** The rest of what is fed arrives once nothing can be decided any more, and so has to wait. */
async function during(
  scene: Scene,
  flights: readonly Flight[],
  absence: Absence,
  untilMs: number,
): Promise<string[]> {
  const leftMs = () => Math.max(0, untilMs - performance.now());
  await pause(Math.min(knownForMs, leftMs()));
  const before = await absence.progress();
  for (const { feed } of flights) {
    if (!feed) continue;
    feedHalf(scene, feed, 1);
    scene.feed.end(feed);
  }
  await pause(leftMs());
  const after = await absence.progress();
  return [
    ...(before === after ? [] : [`during the outage: ${before}, then ${after}`]),
    ...(await absence.stillAway()),
  ];
}

async function landed({ stack }: Scene, flights: readonly Flight[]): Promise<string[]> {
  const client = await connectPatiently(stack);
  try {
    const ids = flights.map(({ id }) => id);
    const rows = async <T>(text: string) => (await client.query(sql(text, { ids }))).rows as T[];
    await until(async () => {
      const open = await rows('SELECT FROM waybill.run WHERE id = ANY (:ids) AND ended_at IS NULL');
      return open.length === 0;
    }).catch(() => {});
    const runs = await rows<{ id: string; state: string; counts: Record<string, number> | null }>(
      `SELECT id, state, counts FROM waybill.run WHERE id = ANY (:ids)`,
    );
    const stored = await rows<{ id: string; batches: number; ledger: number; audited: number; rows: number }>(
      `SELECT r.id,
         (SELECT count(*)::integer FROM waybill.batch WHERE run_id = r.id) AS batches,
         (SELECT count(*)::integer FROM waybill.ledger WHERE run_id = r.id) AS ledger,
         (SELECT count(*)::integer FROM waybill.audit_event WHERE run_id = r.id AND action = 'batch.stored') AS audited,
         (SELECT count(*)::integer FROM feed WHERE _run = r.id)
           + (SELECT count(*)::integer FROM readings WHERE _run = r.id) AS rows
       FROM waybill.run r WHERE r.id = ANY (:ids)`,
    );
    return flights.flatMap(({ id, records }) => {
      const run = runs.find((one) => one.id === id);
      const of = stored.find((one) => one.id === id);
      const counts = JSON.stringify(run?.counts);
      const once = of && of.batches === of.ledger && of.batches === of.audited && of.rows === records;
      return [
        ...(run?.state === 'completed' ? [] : [`${id} is ${run?.state}`]),
        ...(run?.counts?.read === records && run.counts.stored === records
          ? []
          : [`${id} of ${records} records says ${counts}`]),
        ...(once ? [] : [`${id} of ${records} records has ${JSON.stringify(of)}`]),
      ];
    });
  } finally {
    await client.end();
  }
}

/** What Temporal says of a run must be what its record says. */
async function notCompleted({ stack }: Scene, flights: readonly Flight[]): Promise<string[]> {
  const connection = await Connection.connect({ address: stack.info().temporalAddress });
  const { workflow } = new Client({ connection });
  const ends = flights.map(async ({ id }) => {
    const end = await workflow
      .getHandle(id)
      .result()
      .then(
        () => undefined,
        (error: unknown) => `Temporal has ${id} as failed: ${rootOf(error)}`,
      );
    return end ? [end] : [];
  });
  const violations = (await Promise.all(ends)).flat();
  await connection.close();
  return violations;
}

function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause ? rootOf(error.cause) : error;
}

async function has(client: pg.Client, table: 'stage' | 'ledger', id: string): Promise<boolean> {
  const { rowCount } = await client.query(
    sql(`SELECT FROM waybill.${table} WHERE run_id = :id LIMIT 1`, { id }),
  );
  return rowCount === 1;
}

async function until(reached: () => Promise<boolean>): Promise<void> {
  for (const by = performance.now() + 180_000; performance.now() < by; await pause(50)) {
    if (await reached()) return;
  }
  throw new Error('it did not come to that within three minutes');
}
