import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import pg from 'pg';
import type { Dependencies } from '../../activities/dependencies.ts';
import { enrichStep } from '../../activities/enrich.ts';
import { digestOf } from '../../activities/run.ts';
import { transformStep } from '../../activities/transform.ts';
import { validateStep } from '../../activities/validate.ts';
import { createBreakers } from '../../adapters/breakers/createBreakers.ts';
import { guardOutbound } from '../../adapters/breakers/guardSystems.ts';
import { createStages } from '../../adapters/postgres/batches/stages.ts';
import { createLookupCache } from '../../adapters/postgres/lookupCache.ts';
import { createCallRates } from '../../adapters/postgres/rates.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { createOutbound } from '../../connectors/egressFetch.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { loadModule } from '../../engine/project/loadModule.ts';
import { type ComputePool, createComputePool } from '../../engine/threads/pool.ts';
import { grantOfRun } from '../support/keys.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';
import { until } from '../support/until.ts';

const codeOf = (url: string, options: string) => `
  import { definePipeline, ndjson, postgres, upload } from 'waybill';
  import { z } from 'zod';
  export default definePipeline({
    id: 'visits', source: upload(ndjson()),
    input: z.strictObject({ id: z.int(), city: z.string().nullable(), at: z.iso.datetime().optional() }),
    output: z.strictObject({ id: z.int(), city: z.string().nullable(), people: z.int().nullable() }),
    enrich: {
      key: ({ city }) => city,
      value: z.strictObject({ people: z.int() }),
      call: async (records, { fetch, secrets, signal }) => {
        const response = await fetch('${url}/cities', {
          method: 'POST', signal,
          body: JSON.stringify(records.map(({ city }) => city)),
        });
        return (await response.json());
      },
      ${options}
    },
    transform: ({ id, city }, { enriched }) => ({ id, city, people: enriched?.people ?? null }),
    sink: postgres({ table: 'visits', key: ['id'] }),
  });`;

type Visit = { id: number; city: string | null };
type Answer = (cities: string[], request: IncomingMessage, response: ServerResponse) => unknown;

describe('enrich: values that another system has', () => {
  let folder: string;
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let compute: ComputePool;
  let url: string;
  let answer: Answer;
  const asked: string[][] = [];
  const objects = createMemoryObjects();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const cities = JSON.parse(Buffer.concat(chunks).toString()) as string[];
    asked.push(cities);
    const body = await answer(cities, request, response);
    if (!response.writableEnded && !response.destroyed) response.end(JSON.stringify(body));
  });
  const people = (cities: string[]) =>
    cities.map((city) => (city === 'Nowhere' ? null : { people: city.length }));

  before(async () => {
    await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    folder = await mkdtemp(join(resolve(import.meta.dirname, '..', '..'), '.test-enrich-'));
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 1 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 8 });
    compute = createComputePool({ objects });
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await compute?.close();
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    asked.length = 0;
    answer = people;
  });

  let definitions = 0;
  async function define(options: string, at = url) {
    const modulePath = join(folder, `visits${definitions++}.ts`);
    await writeFile(modulePath, codeOf(at, options));
    return { ...(await loadModule(modulePath)), modulePath };
  }

  let runs = 0;
  /** A run with these records as its only batch. Each worker has its own ports, as a process has. */
  async function begin(
    definition: Awaited<ReturnType<typeof define>>,
    visits: readonly object[],
    tenant = 'acme',
  ) {
    const runId = `visits-0197a3b4-0000-7000-8000-${(++runs).toString(16).padStart(12, '0')}`;
    const source = { kind: 'upload' } as const;
    const tctx = {
      ...grantOfRun.tctx,
      ...{ tenant, workflowId: runId, pipeline: 'visits', definitionDigest: definition.digest },
      parametersDigest: digestOf(canonicalJson({})),
      sourceDigest: digestOf(describeSource({ runId, source })),
    };
    const claims = { ...grantOfRun, tctx };
    const { iss: issuer, sub: subject, kind } = claims.req;
    const { manifest } = definition.pipeline;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                requested_by, parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'visits', 1, 'd', $3, 'running', $4, '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId, tenant, manifest, claims.sub],
    );
    const bytes = Buffer.from(visits.map((visit) => `${JSON.stringify(visit)}\n`).join(''));
    await admin.query(
      `INSERT INTO waybill.batch (run_id, tenant, seq, digest, size_bytes, first_byte, first_record, first_line, records, bytes)
       VALUES ($1, $2, 0, $3, $4, 0, 0, 1, $5, $6)`,
      [runId, tenant, digestOf(bytes), bytes.length, visits.length, bytes],
    );
    const worker = (change: Partial<Dependencies> = {}) => {
      const tenants = tenantsOf(pool);
      const deps = {
        grant: () => ({ claims, key: 'k' }),
        decision: () => undefined,
        isPermitted: () => true,
        recheck: async () => {},
        limitedRates: { take: async () => {} },
        definitions: { require: () => ({ ...definition.pipeline, ...definition }) },
        runs: {
          find: async () => ({
            ...{ tenant, runId, pipeline: 'visits', version: 1, definitionDigest: definition.digest },
            ...{ parameters: {}, source, principal: claims.sub, txn: claims.txn },
            requestedBy: { id: claims.sub, issuer, subject, kind },
          }),
        },
        stages: createStages(tenants),
        lookupCache: createLookupCache(tenants),
        callRates: createCallRates(tenants),
        outbound: createOutbound({ egressAllow: [new URL(url).host] }),
        credential: async (name: string) => `the secret ${name}`,
        objects,
        compute,
        ...change,
      } as unknown as Dependencies;
      const run = <T>(step: (deps: Dependencies, batch: { seq: number }) => Promise<T>) =>
        new MockActivityEnvironment().run(() => step(deps, { seq: 0 })) as Promise<T>;
      return {
        validate: () => run(validateStep),
        enrich: () => run(enrichStep),
        transform: () => run(transformStep),
      };
    };
    return {
      worker,
      runId,
      tenant,
      /** What the next steps make of it: rows as text, and rejections. */
      async rows() {
        const { transform } = worker();
        const counts = await transform();
        const [{ batch, validated, enriched, transformed }] = (await createStages(tenantsOf(pool)).listStaged(
          {
            tenant,
            runId,
          },
        )) as [Awaited<ReturnType<Dependencies['stages']['listStaged']>>[number]];
        assert.ok(validated);
        const task = {
          definition,
          scope: { tenant, runId },
          batch,
          parameters: {},
          lookups: { digest: enriched!.digest, ...(enriched!.values && { values: enriched!.values }) },
        };
        const { digest, sizeBytes, form } = transformed;
        const rows = await compute.rows(task, { digest, sizeBytes, form, emitted: counts.emitted! });
        const chunks: Uint8Array[] = [];
        for await (const chunk of rows.chunks()) chunks.push(chunk);
        const named = await compute.readRows(manifest.sink, Buffer.concat(chunks), 10_000);
        return {
          counts,
          rows: named.map((row) => Object.values(row).slice(0, 3)),
          rejected: (transformed.rejections ?? []).map(({ position, code }) => [position, code]),
        };
      },
    };
  }

  /** Validated and enriched by one worker. */
  async function enriched(
    definition: Awaited<ReturnType<typeof define>>,
    visits: readonly Visit[],
    tenant?: string,
  ) {
    const run = await begin(definition, visits, tenant);
    const worker = run.worker();
    await worker.validate();
    await worker.enrich();
    return run;
  }

  const visits: Visit[] = [
    { id: 1, city: 'Bern' },
    { id: 2, city: 'Zug' },
    { id: 3, city: 'Bern' },
    { id: 4, city: 'Nowhere' },
    { id: 5, city: null },
  ];
  const codeIs = (code: string) => (error: unknown) => {
    assert.equal((error as { code: string }).code, code);
    return true;
  };

  it('asks once for each key, and the transform gets the value', async () => {
    const run = await enriched(await define(''), visits);
    assert.deepEqual(asked, [['Bern', 'Zug', 'Nowhere']]);
    const { rows, rejected, counts } = await run.rows();
    assert.deepEqual(rows, [
      ['1', 'Bern', '4'],
      ['2', 'Zug', '3'],
      ['3', 'Bern', '4'],
    ]);
    assert.deepEqual(rejected, [
      [3, 'LookupMissed'],
      [4, 'LookupMissed'],
    ]);
    assert.deepEqual(counts, { passed: 3, filtered: 0, rejected: 2, emitted: 3 });
    const { rows: events } = await admin.query(
      `SELECT detail FROM waybill.audit_event WHERE run_id = $1 AND action = 'batch.enriched'`,
      [run.runId],
    );
    assert.equal(events.length, 1);
    const { keys, missed, cached, calls, hosts } = events[0].detail;
    assert.deepEqual(
      { keys, missed, cached, calls, hosts },
      { keys: 3, missed: 2, cached: 0, calls: 1, hosts: [new URL(url).host] },
    );
  });

  it('gives the same rows again, though the service answers otherwise by then', async () => {
    const run = await enriched(await define(''), visits);
    answer = (cities) => cities.map(() => ({ people: 999 }));
    await run.worker().enrich();
    assert.equal(asked.length, 1);
    assert.deepEqual((await run.rows()).rows[0], ['1', 'Bern', '4']);
  });

  it('keeps what was called for, where the worker is killed before it records', async () => {
    const run = await begin(await define('batchSize: 1,'), visits);
    await run.worker().validate();
    const stages = createStages(tenantsOf(pool));
    const killed = run.worker({
      stages: { ...stages, record: () => Promise.reject(new Error('killed')) },
    } as Partial<Dependencies>);
    await assert.rejects(killed.enrich(), /killed/);
    assert.equal(asked.length, 3);
    answer = () => [{ people: 999 }];
    await run.worker().enrich();
    assert.equal(asked.length, 3);
    assert.deepEqual((await run.rows()).rows[0], ['1', 'Bern', '4']);
  });

  it('of two workers that record, the first stands', async () => {
    const run = await begin(await define(''), visits);
    const [one, other] = [
      run.worker(),
      run.worker({ lookupCache: { find: async () => new Map(), keep: async () => {} } }),
    ];
    await one.validate();
    let turns = 0;
    answer = (cities) => cities.map(() => ({ people: ++turns * 100 }));
    await Promise.all([one.enrich(), other.enrich()]);
    const first = await run.rows();
    assert.deepEqual((await run.rows()).rows, first.rows);
  });

  it('goes on without a value, where the pipeline says so', async () => {
    const { rows } = await (await enriched(await define(`onMiss: 'null',`), visits)).rows();
    assert.deepEqual(rows.slice(3), [
      ['4', 'Nowhere', null],
      ['5', null, null],
    ]);
  });

  it('fails the run on a miss, where the pipeline says so', async () => {
    await assert.rejects(enriched(await define(`onMiss: 'fail',`), visits), codeIs('LookupIncomplete'));
    const run = await enriched(await define(`onMiss: 'fail',`), visits.slice(0, 3));
    assert.equal((await run.rows()).counts.emitted, 3);
  });

  it('rejects records with a value that does not fit', async () => {
    answer = (cities) => cities.map((city) => ({ people: city === 'Zug' ? 'many' : 1 }));
    const { rejected } = await (await enriched(await define(''), visits.slice(0, 3))).rows();
    assert.deepEqual(rejected, [[1, 'LookupMismatch']]);
  });

  it('says what the service does wrong, and tries again where that may pass', async () => {
    const definition = await define(`timeout: '1s',`);
    answer = (_, __, response) => void response.writeHead(503, { 'retry-after': '7' }).end();
    await assert.rejects(enriched(definition, visits), (error: never) => {
      const { code, retryAfterMs, message } = error as {
        code: string;
        retryAfterMs: number;
        message: string;
      };
      assert.equal(code, 'LookupUnavailable');
      assert.equal(retryAfterMs, 7_000);
      return message.endsWith(`${new URL(url).host} answered 503.`);
    });
    answer = (_, request) => void request.socket.destroy();
    await assert.rejects(enriched(definition, visits), codeIs('LookupUnavailable'));
    answer = () => new Promise(() => {});
    await assert.rejects(enriched(definition, visits), codeIs('LookupUnavailable'));
    answer = (_, __, response) => void response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
    await assert.rejects(enriched(definition, visits), codeIs('LookupRefused'));
    answer = () => [];
    await assert.rejects(enriched(definition, visits), codeIs('LookupFailed'));
    answer = (_, __, response) => void response.end('no JSON');
    await assert.rejects(enriched(definition, visits), codeIs('LookupFailed'));
  });

  it('waits for a service that hangs or fails, and asks it again later', async () => {
    const definition = await define(`timeout: '1s', batchSize: 1,`);
    const run = await begin(definition, visits.slice(0, 1));
    const breakers = createBreakers({ firstMs: 50, maxMs: 100 });
    const outbound = guardOutbound(
      createOutbound({ egressAllow: [new URL(url).host] }),
      breakers,
      () => 'acme',
    );
    const worker = run.worker({ outbound });
    await worker.validate();
    const codes: string[] = [];
    const attempt = () => worker.enrich().catch((error: { code: string }) => codes.push(error.code));
    answer = () => new Promise(() => {});
    await attempt();
    answer = (_, __, response) => void response.writeHead(500).end();
    for (let i = 1; i < 5; i++) await attempt();
    assert.deepEqual(codes, Array(5).fill('LookupUnavailable'));
    const asWas = asked.length;
    await assert.rejects(
      worker.enrich(),
      (error: { code: string; message: string; retryAfterMs: number }) => {
        assert.equal(error.code, 'SystemUnavailable');
        assert.ok(error.message.includes(`It waits for the lookup ${new URL(url).host}.`));
        return error.retryAfterMs > 0;
      },
    );
    assert.equal(asked.length, asWas);
    answer = people;
    await until(
      'the service is asked again',
      () =>
        worker.enrich().then(
          () => true,
          () => false,
        ),
      30_000,
    );
    assert.deepEqual((await run.rows()).rows, [['1', 'Bern', '4']]);
  });

  it('calls no address that the operator did not allow', async () => {
    for (const at of [
      'http://127.0.0.1:1',
      'http://169.254.169.254',
      'http://localhost:1',
      'ftp://example.com',
    ])
      await assert.rejects(enriched(await define('', at), visits), codeIs('LookupRefused'));
  });

  it('shares values between runs and workers, and not between tenants', async () => {
    const definition = await define(`cache: { ttl: '1h' },`);
    await enriched(definition, visits);
    answer = (cities) => cities.map(() => ({ people: 7 }));
    const second = await enriched(definition, [...visits, { id: 6, city: 'Basel' }]);
    // A miss is asked for again.
    assert.deepEqual(asked[1], ['Nowhere', 'Basel']);
    assert.deepEqual((await second.rows()).rows[0], ['1', 'Bern', '4']);
    await enriched(definition, visits.slice(0, 1), 'globex');
    assert.deepEqual(asked[2], ['Bern']);
    await admin.query(`UPDATE waybill.lookup SET expires_at = now() - interval '1 second'`);
    await enriched(definition, visits.slice(0, 1));
    assert.deepEqual(asked[3], ['Bern']);
    await enriched(await define(`cache: { ttl: '2h' },`), visits.slice(0, 1));
    assert.deepEqual(asked[4], ['Bern']);
  });

  it('keeps the rate with all workers together', async () => {
    const tenants = tenantsOf(pool);
    const workers = [createCallRates(tenants), createCallRates(tenants), createCallRates(tenants)];
    const signal = new AbortController().signal;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => workers[i % 3]!.take('acme', 'enrich visits', 60, signal)),
    );
    // A block of three calls at once, then one after the other.
    assert.ok(performance.now() - began >= 57 * (1000 / 60) - 1);
  });

  it('keeps many values as an object', async () => {
    const many = Array.from({ length: 5_000 }, (_, id) => ({ id, city: `city number ${id}` }));
    const run = await enriched(await define('batchSize: 1000,'), many);
    assert.equal(asked.length, 5);
    const { rows } = await admin.query(
      `SELECT lookups IS NULL AS apart, size_bytes::int AS size FROM waybill.stage WHERE run_id = $1 AND stage = 'enrich'`,
      [run.runId],
    );
    assert.ok(rows[0].apart && rows[0].size > 64 * 1024);
    const made = await run.rows();
    assert.equal(made.counts.emitted, 5_000);
    assert.deepEqual(
      made.rows.find(([id]) => id === '4999'),
      ['4999', 'city number 4999', '16'],
    );
  });

  it('does not transform a batch that was not enriched', async () => {
    const run = await begin(await define(''), visits);
    const worker = run.worker();
    await worker.validate();
    await assert.rejects(worker.transform(), codeIs('StepResultInvalid'));
  });

  it('sums what the calls cost, in the audit', async () => {
    const definition = await define(`batchSize: 1,
      call: async ([{ city }], { count }) => {
        count('tokens', city.length * 10);
        return [{ people: 1 }];
      },`);
    const run = await enriched(definition, visits.slice(0, 3));
    const { rows } = await admin.query(
      `SELECT detail->'costs' AS costs FROM waybill.audit_event WHERE run_id = $1 AND action = 'batch.enriched'`,
      [run.runId],
    );
    assert.deepEqual(rows, [{ costs: { tokens: 70 } }]);
  });

  it('gives the credentials that the pipeline names, and no other', async () => {
    const definition = await define(`credentials: ['geo'],
      call: async (records, { secrets }) => {
        const secret = await secrets('geo');
        await secrets('other').then(() => { throw new Error('gave the other'); }, () => {});
        return records.map(() => ({ people: secret.length }));
      },`);
    const { rows } = await (await enriched(definition, visits.slice(0, 1))).rows();
    assert.deepEqual(rows, [['1', 'Bern', '14']]);
  });
});
