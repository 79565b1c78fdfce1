import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { untilEnded } from '../../bench/smallRun.ts';
import { runWaybill } from '../cli/waybillProcess.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { makeProject } from '../support/makeProject.ts';
import { until } from '../support/until.ts';

interface Run {
  id: string;
  state: string;
  counts: Record<string, number>;
  reason?: { code: string };
  retrying?: { step: string; code: string; message: string };
}

/** Asks `places` how many people live in a city. */
const placesOf = (port: number) => `
  import { definePipeline, ndjson, postgres, upload } from 'waybill';
  import { z } from 'zod';
  export default definePipeline({
    id: 'places',
    source: upload(ndjson()),
    input: z.strictObject({ id: z.string(), city: z.string() }),
    output: z.strictObject({ id: z.string(), people: z.int() }),
    enrich: {
      key: ({ city }) => city,
      value: z.int(),
      call: async (records, { fetch }) => {
        const cities = JSON.stringify(records.map(({ city }) => city));
        return (await fetch('http://127.0.0.1:${port}/', { method: 'POST', body: cities })).json();
      },
    },
    transform: ({ id }, { enriched }) => ({ id, people: enriched }),
    sink: postgres({ table: 'places', key: ['id'] }),
  });
`;

describe('a policy that changes while everything runs', () => {
  let project: string;
  let remove: () => Promise<void>;
  let stack: DevStack;
  let database: pg.Client;
  let alice: Awaited<ReturnType<DevStack['as']>>;
  let places: Server;
  let isUp = true;
  let asked = 0;

  before(async () => {
    places = createServer(async (request, response) => {
      asked++;
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const cities = JSON.parse(Buffer.concat(chunks).toString()) as string[];
      response.writeHead(isUp ? 200 : 503).end(JSON.stringify(cities.map((city) => city.length)));
    });
    await new Promise<void>((done) => void places.listen(0, '127.0.0.1', done));
    const { port } = places.address() as AddressInfo;
    ({ path: project, remove } = await makeProject({
      from: ['test/support/project'],
      files: { 'pipelines/places.ts': placesOf(port) },
    }));
    await mkdir(join(project, 'policies'));
    stack = await startDevStack({ project, env: { WAYBILL_EGRESS_ALLOW: `127.0.0.1:${port}` } });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    alice = await stack.as('alice');
  });

  after(async () => {
    await database?.end();
    await stack?.stop();
    places?.closeAllConnections();
    places?.close();
    await remove?.();
  });

  /** `waybill apply` with one policy more, or without it again. */
  async function apply(policy: string | undefined, code = 0) {
    const file = join(project, 'policies/today.cedar');
    await (policy === undefined ? rm(file, { force: true }) : writeFile(file, policy));
    const password = readFileSync(join(stack.home, 'keys/database/waybill_migrator'), 'utf8');
    const url = Object.assign(new URL(stack.info().databaseUrl), { username: 'waybill_migrator', password });
    const ended = await runWaybill(['apply', project, '--database', url.href, '--json'], {});
    assert.equal(ended.code, code, ended.stderr);
    return JSON.parse(ended.stdout) as {
      policy: { digest: string; before: string };
      error: { code: string; message: string };
    };
  }

  const forbid = (what: string, action: string) =>
    `@id("${what}") forbid (principal, action == Waybill::Action::"${action}", resource);`;

  const trigger = (sensor: string) =>
    alice('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${JSON.stringify({ sensor, value: 1 })}\n`,
    });

  const runOf = async (id: string) => (await (await alice(`/v1/runs/${id}`)).json()) as Run;

  const events = async (runId: string, action: string) =>
    (
      await database.query('SELECT detail FROM waybill.audit_event WHERE run_id = $1 AND action = $2', [
        runId,
        action,
      ])
    ).rows.map(({ detail }) => detail);

  /** Once every process has said that it decides by the set. */
  const taken = async (digest: string) => {
    const { rows } = await database.query(
      `SELECT count(DISTINCT detail->>'process')::integer AS n FROM waybill.audit_event
       WHERE action = 'policy.loaded' AND detail->>'digest' = $1`,
      [digest],
    );
    return rows[0].n === 3;
  };

  it('is another at the API within 10 s, and nothing is started again', async () => {
    const { processes } = stack.info();
    await apply(forbid('closed', 'trigger'));
    await until('the trigger is refused', async () => (await trigger('closed')).status === 403, 10_000);
    await apply(undefined);
    await until('the trigger is allowed again', async () => (await trigger('open')).status === 202, 10_000);
    assert.deepEqual(stack.info().processes, processes);
  });

  it('suspends a run before its next step, and lets it go on from there', async () => {
    const rest = Promise.withResolvers<void>();
    const line = (i: number) => Buffer.from(`${JSON.stringify({ sensor: `suspended-${i}`, value: i })}\n`);
    const body = ReadableStream.from(
      (async function* () {
        for (let i = 0; i < 15; i++) yield line(i);
        await rest.promise;
        for (let i = 15; i < 20; i++) yield line(i);
      })(),
    );
    const sent = alice('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
      duplex: 'half',
    } as RequestInit);
    const underWay = async () =>
      (await database.query(`SELECT id FROM waybill.run WHERE arrival = 'open'`)).rows[0]?.id as string;
    await until('it is under way', async () => (await underWay()) !== undefined, 10_000);
    const id = await underWay();

    const { policy } = await apply(forbid('no-store', 'store'));
    await until('every worker has taken it', () => taken(policy.digest), 10_000);
    const refusedAtOnce = await trigger('suspended');
    assert.equal(refusedAtOnce.status, 403, 'a run that may not be stored does not begin');
    rest.resolve();
    assert.equal((await sent).status, 202);
    await until('it is suspended', async () => (await runOf(id)).state === 'suspended', 30_000);
    assert.equal((await runOf(id)).reason?.code, 'PolicyDenied');
    const [refused] = await events(id, 'attempt.denied');
    assert.deepEqual(
      [refused.activityType, refused.policies, refused.policyDigest],
      ['store', ['today/no-store'], policy.digest],
    );
    const validated = (await events(id, 'batch.validated')).find(({ seq }) => seq === 1);
    assert.deepEqual([validated.policies, validated.policyDigest], [['base/data-engineers'], policy.digest]);
    const count = async () =>
      (
        await database.query(
          `SELECT count(*)::integer AS n FROM readings WHERE sensor LIKE 'suspended-%' AND _run = $1`,
          [id],
        )
      ).rows[0].n;
    assert.equal(await count(), 0);

    const { policy: back } = await apply(undefined);
    await untilEnded(alice, id);
    const run = await runOf(id);
    assert.deepEqual([run.state, run.counts.stored, await count()], ['completed', 20, 20]);
    const [stored] = await events(id, 'batch.stored');
    assert.deepEqual([stored.policies, stored.policyDigest], [['base/data-engineers'], back.digest]);
    assert.equal((await events(id, 'batch.validated')).length, 2, 'none a second time');
  });

  it('suspends a run that waits for another system, and lets it look up what it needs later', async () => {
    isUp = false;
    const answer = await alice('/v1/pipelines/places/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '{"id":"a","city":"Bern"}\n{"id":"b","city":"Zug"}\n{"id":"c","city":"Bern"}\n',
    });
    assert.equal(answer.status, 202);
    const { id } = (await answer.json()) as Run;
    await until('it says what it waits for', async () => (await runOf(id)).retrying !== undefined, 30_000);
    const { step, code, message } = (await runOf(id)).retrying!;
    assert.deepEqual([step, code], ['enrich', 'LookupUnavailable']);
    assert.match(message, /127\.0\.0\.1:\d+ answered 503\.$/);

    const { policy } = await apply(forbid('no-enrich', 'enrich'));
    await until('every worker has taken it', () => taken(policy.digest), 30_000);
    await until('it is suspended', async () => (await runOf(id)).state === 'suspended', 60_000);
    assert.equal((await runOf(id)).reason?.code, 'PolicyDenied');
    const [refused] = await events(id, 'attempt.denied');
    assert.deepEqual([refused.activityType, refused.policies], ['enrich', ['today/no-enrich']]);
    const asWas = asked;
    isUp = true;

    await apply(undefined);
    assert.equal(await untilEnded(alice, id), 'completed');
    assert.equal((await runOf(id)).counts.stored, 3);
    assert.equal(asked, asWas + 1);
    const [enriched] = await events(id, 'batch.enriched');
    assert.deepEqual([enriched.keys, enriched.missed, enriched.policies], [2, 0, ['base/data-engineers']]);
    const { rows } = await database.query(
      'SELECT id, people::integer FROM places WHERE _run = $1 ORDER BY id',
      [id],
    );
    assert.deepEqual(rows, [
      { id: 'a', people: 4 },
      { id: 'b', people: 3 },
      { id: 'c', people: 4 },
    ]);
  });

  it('that does not validate is not applied, and the one in force stays', async () => {
    const { policy } = await apply(undefined);
    const { error } = await apply(forbid('typo', 'stroe'), 1);
    assert.equal(error.code, 'PolicyInvalid');
    assert.match(error.message, /^policies\/today\.cedar:1 \(today\/typo\): .*did you mean .*"store"/);
    const { rows } = await database.query('SELECT digest FROM waybill.policy_set ORDER BY id DESC LIMIT 1');
    assert.equal(rows[0].digest, policy.digest);
    assert.equal((await trigger('still')).status, 202);
  });

  it('is tested before: a case that is answered otherwise fails', async () => {
    await rm(join(project, 'policies/today.cedar'), { force: true });
    const test = async (cases: unknown, code: number) => {
      await writeFile(join(project, 'policies/today.cases.json'), JSON.stringify(cases));
      const ended = await runWaybill(['policy', 'test', project], {});
      assert.equal(ended.code, code, ended.stderr);
      return ended.stdout + ended.stderr;
    };
    const one = { name: 'one', principal: {}, action: 'read', resource: { kind: 'tenant' }, expect: 'deny' };
    assert.match(await test([], 0), /^The policies validate \(\w+\)\. There are no cases/);
    assert.match(
      await test([one], 0),
      /^✓ one\n1 passed, 0 failed, .*\n! hasty asks "operator" to decide, .*\nNo case exercises base\/data-engineers, /,
    );
    assert.match(
      await test([{ ...one, expect: 'allow' }], 1),
      /^✗ one: denied by no policy\n0 passed, 1 failed/,
    );
    assert.match(
      await test([{ ...one, action: 'fly' }], 1),
      /^PolicyInvalid: policies\/today\.cases\.json: 0\.action/,
    );
    await rm(join(project, 'policies/today.cases.json'));
  });

  it('is planned before: who gains, with 3, and who only loses, with 0', async () => {
    const plan = async (policy: string, code: number) => {
      await writeFile(join(project, 'policies/today.cedar'), policy);
      const ended = await runWaybill(['plan', project, '--json'], { WAYBILL_HOME: stack.home });
      assert.equal(ended.code, code, ended.stderr);
      return JSON.parse(ended.stdout) as {
        changes: Record<string, unknown>[];
        policies: object;
        stray: object[];
      };
    };
    const less = await plan(forbid('no-cancel', 'cancel'), 0);
    assert.deepEqual(less.policies, { added: ['today/no-cancel'], removed: [], changed: [] });
    assert.deepEqual(
      new Set(less.changes.map(({ change, role }) => `${role} ${change}`)),
      new Set(['data-engineer loses', 'data-steward loses', 'operator loses']),
    );
    assert.deepEqual(less.stray, []);
    const stray = await plan(
      '@id("r") forbid (principal, action, resource in Waybill::Pipeline::"reading");',
      0,
    );
    assert.deepEqual(stray.stray, [{ policy: 'today/r', pipeline: 'reading', nearest: 'readings' }]);
    const more = await plan(
      '@id("bob") permit (principal, action == Waybill::Action::"trigger", resource) when { principal.subject == "bob" };',
      3,
    );
    assert.ok(more.changes.every(({ change, named }) => change === 'gains' && named === 'subject bob'));
    assert.ok(more.changes.some(({ role, pipeline }) => role === 'auditor' && pipeline === 'readings'));
  });
});
