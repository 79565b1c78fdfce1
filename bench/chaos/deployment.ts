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

/**
 * So many wait to be published, each of a pipeline and a table of its own: to publish one run has the others of its table asked again,
 * which is not what is shown here.
 */
const gatesMax = 4;

/** Rows name the code that made them. */
const pipelineText = (id: string, source: string, mark: string, gate?: 'ingest' | 'publish') => `
import { definePipeline, http, inline, ndjson, postgres } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: '${id}',
  source: ${source},
  input: z.strictObject({ id: z.string() }),
  output: z.strictObject({ id: z.string(), mark: z.string() }),
  transform: ({ id }) => ({ id, mark: '${mark}' }),
  sink: postgres({ table: '${id}', key: ['id'] }),
  ${gate ? `approval: { before: '${gate}', by: 'data-steward', within: '2h' },` : ''}
});
`;

/** Runs of `feeds` read, those of `doors` wait before they read, and that of each gate waits before its rows are visible. */
function pipelines(mark: string, gates: number): Record<string, string> {
  return {
    feeds: pipelineText('feeds', 'http(ndjson())', mark),
    doors: pipelineText('doors', 'http(ndjson())', mark, 'ingest'),
    ...Object.fromEntries(
      Array.from({ length: gates }, (_, i) => [
        `gate${i}`,
        pipelineText(`gate${i}`, 'inline()', mark, 'publish'),
      ]),
    ),
  };
}

/**
 * Deploys other code of all pipelines while runs read and others wait for approval. Resolves with each run that did not end right, on the
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
    await write(project, 'v1', waiting);
    stack = await startDevStack({ project, watch: true, env: { WAYBILL_EGRESS_ALLOW: feed.host } });
    return await deploy(stack, feed, project, { running, waiting });
  } finally {
    await stack?.stop();
    feed.close();
    await rm(project, { recursive: true, force: true });
  }
}

async function write(project: string, mark: string, waiting: number): Promise<void> {
  for (const [name, text] of Object.entries(pipelines(mark, Math.min(gatesMax, waiting))))
    await writeFile(join(project, 'pipelines', `${name}.ts`), text);
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
    const gates = Math.min(gatesMax, waiting);
    const doors = Array.from({ length: waiting - gates }, (_, i) => `door-${i}`);
    for (const name of [...doors, 'door-new']) {
      feed.send(name, [{ id: name }]);
      feed.end(name);
    }
    const referring = (name: string) => ({ source: { url: feed.urlOf(name) } });
    const before = [
      ...(await begin(alice, 'feeds', names.map(referring))),
      ...(await begin(alice, 'doors', doors.map(referring))),
    ];
    for (let i = 0; i < gates; i++)
      before.push(...(await begin(alice, `gate${i}`, [{ records: [{ id: `gate-${i}` }] }])));
    await until('all runs are under way', async () => {
      const states = await statesOf(database, before);
      return states.running === running && states['awaiting-approval'] === waiting;
    });
    const asked = await approvalsOf(database, before);

    const loaded = stack.output().split('Loaded.').length;
    await write(project, 'v2', waiting);
    await until('the new code is loaded', async () => stack.output().split('Loaded.').length > loaded);
    // Tokens last for some minutes, and the API is another process now.
    const [again, bob] = await Promise.all([stack.as('alice'), stack.as('bob')]);
    const after = await begin(again, 'doors', [referring('door-new')]);
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
  const gates = Math.min(gatesMax, waiting);
  const suspended = await count(
    `SELECT count(DISTINCT run_id)::integer AS n FROM waybill.audit_event WHERE action = 'run.suspended'`,
  );
  const rows = (where: string) =>
    count(
      ['feeds', 'doors', ...Array.from({ length: gates }, (_, i) => `gate${i}`)]
        .map((table) => `(SELECT count(*) FROM ${table} WHERE ${where})`)
        .join(' + ')
        .replace(/^/, 'SELECT (')
        .concat(')::integer AS n'),
    );
  return [
    ...same('states', await statesOf(database, before), { completed: running + waiting }),
    ...same('approvals', (await approvalsOf(database, before)).length, waiting),
    ...same('rows by the first code', await rows(`mark = 'v1'`), running * 2 + waiting),
    ...same('rows by the second code', await rows(`mark = 'v2'`), 1),
    ...same('runs that were suspended', suspended, 0),
    `(${running} runs under way and ${waiting} that wait for approval ended on the code that they began with, none asked again)`,
  ];
}

async function until(what: string, done: () => Promise<boolean>, withinMs = 900_000): Promise<void> {
  for (const by = performance.now() + withinMs; performance.now() < by; await pause(200))
    if (await done()) return;
  throw new Error(`not within ${withinMs} ms: ${what}`);
}
