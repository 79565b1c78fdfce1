import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { sql } from '../../domain/sql.ts';
import { type DevStack, startDevStack } from '../../test/support/devStack.ts';
import { serveHeldFeed } from '../../test/support/heldFeed.ts';
import { benchProject } from '../project.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;

/** Two pipelines with rows that name the code that made them. */
const pipelines = (mark: string) => ({
  'feeds.ts': `
import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'feeds', source: http(ndjson()), input: z.strictObject({ id: z.string() }),
  output: z.strictObject({ id: z.string(), mark: z.string() }),
  transform: ({ id }) => ({ id, mark: '${mark}' }),
  sink: postgres({ table: 'feeds', key: ['id'] }),
});
`,
  'gates.ts': `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'gates', source: inline(), input: z.strictObject({ id: z.string() }),
  output: z.strictObject({ id: z.string(), mark: z.string() }),
  transform: ({ id }) => ({ id, mark: '${mark}' }),
  sink: postgres({ table: 'gates', key: ['id'] }),
  approval: { before: 'publish', by: 'data-steward', within: '2h' },
});
`,
});

/**
 * Deploys other code of both pipelines while runs read and others wait for approval. Resolves with each run that did not end right, on the
 * code that it began with, and each approval that was asked for again.
 */
export async function deployUnderWay({
  running,
  waiting,
}: {
  running: number;
  waiting: number;
}): Promise<string[]> {
  // Below this folder, so that its packages are found.
  const project = await mkdtemp(join(benchProject, '..', '.test-deployment-'));
  const feed = await serveHeldFeed();
  let stack: DevStack | undefined;
  try {
    await cp(benchProject, project, { recursive: true });
    await write(project, 'v1');
    stack = await startDevStack({ project, watch: true, env: { WAYBILL_EGRESS_ALLOW: feed.host } });
    return await deploy(stack, feed, project, { running, waiting });
  } finally {
    await stack?.stop();
    feed.close();
    await rm(project, { recursive: true, force: true });
  }
}

async function write(project: string, mark: string): Promise<void> {
  for (const [name, text] of Object.entries(pipelines(mark)))
    await writeFile(join(project, 'pipelines', name), text);
}

async function deploy(
  stack: DevStack,
  feed: Awaited<ReturnType<typeof serveHeldFeed>>,
  project: string,
  { running, waiting }: { running: number; waiting: number },
): Promise<string[]> {
  const database = new pg.Pool({ connectionString: stack.info().databaseUrl, max: 4 });
  try {
    const alice = await stack.as('alice');
    const names = Array.from({ length: running }, (_, i) => `feed-${i}`);
    for (const name of names) feed.send(name, [{ id: `${name}-a` }]);
    const before = [
      ...(await begin(
        alice,
        'feeds',
        names.map((name) => ({ source: { url: feed.urlOf(name) } })),
      )),
      ...(await begin(
        alice,
        'gates',
        Array.from({ length: waiting }, (_, i) => ({ records: [{ id: `gate-${i}` }] })),
      )),
    ];
    await until('all runs are under way', async () => {
      const states = await statesOf(database, before);
      return states.running === running && states['awaiting-approval'] === waiting;
    });
    const asked = await approvalsOf(database, before);

    const loaded = stack.output().split('Loaded.').length;
    await write(project, 'v2');
    await until('the new code is loaded', async () => stack.output().split('Loaded.').length > loaded);
    // Tokens last for some minutes, and the API is another process now.
    const [again, bob] = await Promise.all([stack.as('alice'), stack.as('bob')]);
    const after = await begin(again, 'gates', [{ records: [{ id: 'gate-new' }] }]);
    for (const name of names) {
      feed.send(name, [{ id: `${name}-b` }]);
      feed.end(name);
    }
    await until('the new run waits too', async () => (await approvalsOf(database, after)).length === 1);
    const answers = await Promise.all(
      [...asked, ...(await approvalsOf(database, after))].map(({ id, digest }) =>
        bob(`/v1/approvals/${id}/decisions`, json({ decision: 'approve', digest })),
      ),
    );
    const refused = answers.filter(({ status }) => status !== 202);
    await until('all runs have ended', async () => {
      const { rows } = await database.query(`SELECT FROM waybill.run WHERE ended_at IS NULL`);
      return rows.length === 0;
    });
    return [
      ...refused.map(({ status }) => `an approval was answered with ${status}`),
      ...(await judge(database, before, { running, waiting })),
    ];
  } finally {
    await database.end();
  }
}

async function begin(call: Call, pipeline: string, bodies: readonly object[]): Promise<string[]> {
  const ids: string[] = [];
  for (const body of bodies) {
    const { headers, ...request } = json(body);
    const answer = await call(`/v1/pipelines/${pipeline}/runs`, {
      ...request,
      headers: { ...headers, 'idempotency-key': randomUUID() },
    });
    const { id } = (await answer.json()) as { id?: string };
    if (id === undefined) throw new Error(`a run of ${pipeline} was answered with ${answer.status}`);
    ids.push(id);
  }
  return ids;
}

function json(body: object) {
  return { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

async function statesOf(database: pg.Pool, runs: readonly string[]): Promise<Record<string, number>> {
  const { rows } = await database.query<{ state: string; n: number }>(
    sql('SELECT state, count(*)::integer AS n FROM waybill.run WHERE id = ANY(:runs) GROUP BY state', {
      runs,
    }),
  );
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

async function approvalsOf(database: pg.Pool, runs: readonly string[]) {
  const { rows } = await database.query<{ id: string; digest: string }>(
    sql('SELECT id, digest FROM waybill.approval WHERE run_id = ANY(:runs)', { runs }),
  );
  return rows;
}

async function judge(
  database: pg.Pool,
  before: readonly string[],
  { running, waiting }: { running: number; waiting: number },
): Promise<string[]> {
  const same = (what: string, actual: unknown, wanted: unknown) =>
    JSON.stringify(actual) === JSON.stringify(wanted)
      ? []
      : [`${what}: ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`];
  const count = async (text: string) => (await database.query<{ n: number }>(text)).rows[0]!.n;
  const suspended = await count(
    `SELECT count(DISTINCT run_id)::integer AS n FROM waybill.audit_event WHERE action = 'run.suspended'`,
  );
  return [
    ...same('states', await statesOf(database, before), { completed: running + waiting }),
    ...same('approvals', (await approvalsOf(database, before)).length, waiting),
    ...same(
      'rows of feeds by the first code',
      await count(`SELECT count(*)::integer AS n FROM feeds WHERE mark = 'v1'`),
      running * 2,
    ),
    ...same('rows of feeds', await count('SELECT count(*)::integer AS n FROM feeds'), running * 2),
    ...same(
      'rows of gates by the first code',
      await count(`SELECT count(*)::integer AS n FROM gates WHERE mark = 'v1'`),
      waiting,
    ),
    ...same(
      'rows of gates by the second code',
      await count(`SELECT count(*)::integer AS n FROM gates WHERE mark = 'v2'`),
      1,
    ),
    ...same('runs that were suspended', suspended, 0),
    `(${running} runs under way and ${waiting} that wait for approval ended on the code that they began with)`,
  ];
}

async function until(what: string, done: () => Promise<boolean>, withinMs = 900_000): Promise<void> {
  for (const by = performance.now() + withinMs; performance.now() < by; await pause(200))
    if (await done()) return;
  throw new Error(`not within ${withinMs} ms: ${what}`);
}
