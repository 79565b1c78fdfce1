import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { applyDeployments } from '../../adapters/postgres/deployments.ts';
import { GrantClaims } from '../../domain/grants/grant.ts';
import { deploymentOf } from '../../domain/ports/deployments.ts';
import type { Run } from '../../sdk/client.ts';
import { definitions } from './pipelines.ts';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('runs over HTTP', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  async function accepted(path: string, init: RequestInit & { as?: string }): Promise<Run> {
    const response = await api.call(path, init);
    const run = (await response.json()) as Run;
    assert.equal(response.status, 202, JSON.stringify(run));
    assert.equal(response.headers.get('location'), run.links.self);
    return run;
  }

  it('a pipeline that did not fit when it was applied starts no run, and says why', async () => {
    const loaded = definitions.find('few')!;
    const trigger = () => api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const message = 'table few: column id is uuid, not text; name another table';
    const refused = deploymentOf(loaded, { code: 'SinkIncompatible', message });
    await applyDeployments(api.postgres.migratorUrl, [refused]);
    const response = await trigger();
    const { issues } = (await response.clone().json()) as { issues: { message: string }[] };
    assert.deepEqual(issues, [{ path: '', message: `SinkIncompatible: ${message}.` }]);
    assert.equal(await codeOf(response), 'PipelineRefused');
    // Other code of the pipeline is not what was refused.
    await applyDeployments(api.postgres.migratorUrl, [{ ...refused, definitionDigest: 'other' }]);
    assert.equal((await trigger()).status, 202);
    await applyDeployments(api.postgres.migratorUrl, [deploymentOf(loaded)]);
    assert.equal((await trigger()).status, 202);
  });

  it('an accepted run is shown as the contract says', async () => {
    const run = await accepted('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    assert.match(run.id, /^few-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    const { id, createdAt, requestedBy, ...rest } = run;
    assert.equal(new Date(createdAt).toISOString(), createdAt);
    assert.match(requestedBy.id, /^prn_[\w-]{22}$/);
    assert.deepEqual(
      { ...requestedBy, id: '' },
      { id: '', issuer: api.issuer.url, subject: 'alice', kind: 'person' },
    );
    assert.deepEqual(rest, {
      pipeline: 'few',
      state: 'accepted',
      tenant: 'acme',
      counts: {
        read: 0,
        passed: 0,
        filtered: 0,
        rejected: 0,
        emitted: 0,
        stored: 0,
        unchanged: 0,
        deduplicated: 0,
      },
      startedAt: null,
      endedAt: null,
      links: {
        self: `/v1/runs/${id}`,
        events: `/v1/runs/${id}/events`,
        audit: `/v1/runs/${id}/audit`,
        temporal: `http://temporal.test/namespaces/default/workflows/${id}`,
      },
    });
    assert.deepEqual(await (await api.call(`/v1/runs/${id}`)).json(), run);
  });

  it('run, batches, audit and outbox entry appear together', async () => {
    const { id } = await accepted('/v1/pipelines/lines/runs?limit=3&dry=true', data(lines(25)));
    const [run] = await api.rows('SELECT * FROM waybill.run WHERE id = $1', [id]);
    assert.equal(run?.arrival, 'sealed');
    assert.deepEqual(run?.parameters, { limit: 3, dry: true });
    const batches = await api.rows('SELECT seq, records FROM waybill.batch WHERE run_id = $1 ORDER BY seq', [
      id,
    ]);
    assert.deepEqual(batches, [
      { seq: 0, records: '10' },
      { seq: 1, records: '10' },
      { seq: 2, records: '5' },
    ]);
    assert.deepEqual(await api.rows('SELECT kind FROM waybill.outbox WHERE run_id = $1', [id]), [
      { kind: 'start' },
    ]);
    const audit = (await (await api.call(`/v1/runs/${id}/audit`)).json()) as { items: { action: string }[] };
    assert.deepEqual(
      audit.items.map(({ action }) => action),
      ['run.accepted'],
    );
  });

  it('its audit names each actor and the principal the actor acted for', async () => {
    const agent = await api.issuer.token({ act: { sub: 'copilot', kind: 'agent' } });
    const { id, requestedBy } = await accepted('/v1/pipelines/few/runs', {
      ...json({ records: [{ id: 'a' }] }),
      as: agent,
    });
    await api.rows(
      `INSERT INTO waybill.audit_event (tenant, run_id, action, outcome, actor, detail)
       VALUES ('acme', $1, 'of.none', 'success', NULL, '{}'), ('acme', $1, 'of.a-stranger', 'success', $2, '{}')`,
      [id, { id: 'prn_unmet', kind: 'person' }],
    );
    const { items } = (await (await api.call(`/v1/runs/${id}/audit`)).json()) as {
      items: { who: unknown }[];
    };
    assert.deepEqual(
      items.map(({ who }) => who),
      [requestedBy, null, null],
    );
  });

  it('the grant says who may do what for which run, and the published key proves it', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { id } = await accepted(
      '/v1/pipelines/few/runs',
      json({ records: [{ id: 'a' }] }, { traceparent: `00-${trace}-00f067aa0ba902b7-01` }),
    );
    const [row] = await api.rows<{ grant_jws: string; txn: string }>(
      'SELECT * FROM waybill.run WHERE id = $1',
      [id],
    );
    const keys = createLocalJWKSet((await (await fetch(`${api.url}/.well-known/jwks.json`)).json()) as never);
    const { payload } = await jwtVerify(row!.grant_jws, keys, { typ: 'grant+jwt', algorithms: ['EdDSA'] });
    const claims = GrantClaims.parse(payload);
    assert.equal(claims.exp - claims.iat, 7 * 86_400);
    assert.equal(claims.txn, trace);
    assert.equal(row!.txn, trace);
    const granted = [
      'ingest',
      'validate',
      'transform',
      'store',
      'suspend',
      'replaceGrant',
      'resume',
      'finalize',
    ];
    assert.equal(claims.scope, granted.join(' '));
    const { sourceDigest, parametersDigest, ...tctx } = claims.tctx;
    assert.match(sourceDigest, /^[0-9a-f]{64}$/);
    assert.equal(parametersDigest, createHash('sha256').update('{}').digest('hex'));
    assert.deepEqual(tctx, {
      tenant: 'acme',
      namespace: 'default',
      workflowId: id,
      workflowType: 'runPipeline',
      pipeline: 'few',
      version: 1,
      definitionDigest: 'few'.padEnd(64, '0'),
      steps: granted,
      policyDigest: api.policyDigest,
    });
  });

  it('a file and a URL are accepted unread, and may be fetched', async () => {
    await writeFile(join(api.roots, 'rows.ndjson'), lines(1));
    const file = await accepted('/v1/pipelines/files/runs', json({ source: { path: 'rows.ndjson' } }));
    const url = await accepted('/v1/pipelines/urls/runs', { method: 'POST' });
    const found = await api.rows(
      'SELECT source, arrival FROM waybill.run WHERE id = ANY($1) ORDER BY created_at',
      [[file.id, url.id]],
    );
    assert.deepEqual(found, [
      { source: { kind: 'file', path: 'rows.ndjson' }, arrival: 'open' },
      { source: { kind: 'http', url: 'https://example.com/rows' }, arrival: 'open' },
    ]);
  });

  it('records in an envelope also serve an upload of NDJSON, and data an inline source', async () => {
    await accepted('/v1/pipelines/lines/runs', json({ records: [{ id: 'a' }] }));
    await accepted('/v1/pipelines/few/runs', data(lines(1)));
  });

  it('records in an envelope keep their digits and keys, as lines of NDJSON would', async () => {
    const body = `{ "records": [
      {"id": "a", "n": 9007199254740993},\r\n {"id":"b",\n"n":0.12345678901234567890, "n": 2}, {"id":"c\\n"} ], "parameters": {} }`;
    const run = await accepted('/v1/pipelines/few/runs', json(body));
    const [batch] = await api.rows('SELECT digest, records FROM waybill.batch WHERE run_id = $1', [run.id]);
    const received =
      '{"id": "a", "n": 9007199254740993}\n{"id":"b", "n":0.12345678901234567890, "n": 2}\n{"id":"c\\n"}\n';
    assert.deepEqual(batch, { digest: createHash('sha256').update(received).digest('hex'), records: '3' });
  });

  it('one JSON array is data where its media type says so, and an envelope elsewhere', async () => {
    const array = '[{"id":"a"},\n{"id":"b","n":9007199254740993}]';
    for (const type of [
      'application/json; profile=records',
      'application/json;charset=utf-8;profile="records"',
    ]) {
      const run = await accepted('/v1/pipelines/items/runs', data(array, type));
      const batches = await api.rows('SELECT records FROM waybill.batch WHERE run_id = $1', [run.id]);
      assert.deepEqual(batches, [{ records: '2' }]);
    }
    const few = '[{"id":"a"}]';
    const refused: [string, string, RequestInit, number, string][] = [
      ['an envelope', 'items', json(few), 400, 'InvalidRequest'],
      ['another profile', 'items', data(few, 'application/json; profile=rows'), 400, 'InvalidRequest'],
      [
        'another format',
        'lines',
        data(array, 'application/json; profile=records'),
        415,
        'UnsupportedMediaType',
      ],
      [
        'an array that is cut off',
        'items',
        data(array.slice(0, -1), 'application/json; profile=records'),
        422,
        'FormatMismatch',
      ],
    ];
    for (const [what, pipeline, init, status, code] of refused) {
      const response = await api.call(`/v1/pipelines/${pipeline}/runs`, init);
      assert.deepEqual([response.status, await codeOf(response)], [status, code], what);
    }
  });

  it('an answer carries its trace, the caller’s where there is one', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const given = await api.call('/v1/runs', { headers: { traceparent: `00-${trace}-b7ad6b7169203331-01` } });
    assert.equal(given.headers.get('x-trace-id'), trace);
    assert.match(given.headers.get('traceresponse') ?? '', new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
    for (const bad of [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `ff-${trace}-b7ad6b7169203331-01`, 'x']) {
      const other = await api.call('/v1/runs', { headers: { traceparent: bad } });
      assert.match(other.headers.get('x-trace-id') ?? '', /^[0-9a-f]{32}$/);
      assert.notEqual(other.headers.get('x-trace-id'), trace);
    }
  });

  it('another tenant sees, follows, cancels and lists nothing of a run', async () => {
    const { id } = await accepted('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const dave = await api.issuer.token({ sub: 'dave', tenant: 'globex' });
    for (const path of ['', '/events', '/audit'])
      assert.equal(await codeOf(await api.call(`/v1/runs/${id}${path}`, { as: dave })), 'RunNotFound');
    const cancel = await api.call(`/v1/runs/${id}/cancel`, { as: dave, method: 'POST' });
    assert.equal(await codeOf(cancel), 'RunNotFound');
    assert.equal(await codeOf(await api.call(`/v1/runs?cursor=${id}`, { as: dave })), 'InvalidRequest');
    assert.deepEqual(await (await api.call('/v1/runs', { as: dave })).json(), {
      items: [],
      nextCursor: null,
    });
    assert.deepEqual(
      await api.rows(`SELECT id FROM waybill.outbox WHERE run_id = $1 AND kind = 'cancel'`, [id]),
      [],
    );
  });

  it('a list gives each run once, newest first, page by page', async () => {
    const as = await api.issuer.token({ sub: 'erin', tenant: 'initech' });
    const made: string[] = [];
    for (let i = 0; i < 5; i++)
      made.unshift((await accepted('/v1/pipelines/urls/runs', { as, method: 'POST' })).id);
    const seen: string[] = [];
    let cursor: string | null = '';
    do {
      const path: string = `/v1/runs?limit=2&state=accepted&pipeline=urls${cursor && `&cursor=${cursor}`}`;
      const page = (await (await api.call(path, { as })).json()) as {
        items: Run[];
        nextCursor: string | null;
      };
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor);
    assert.deepEqual(seen, made);
  });

  it('counts of a run under way are those of its stages and its ledger', async () => {
    const { id } = await accepted('/v1/pipelines/lines/runs', data(lines(15)));
    await api.rows(`UPDATE waybill.run SET state = 'running', started_at = now() WHERE id = $1`, [id]);
    for (const [seq, stage, counts] of [
      [0, 'validate', { read: 10, rejected: 1 }],
      [1, 'validate', { read: 5, rejected: 0 }],
      [0, 'transform', { passed: 8, filtered: 1, rejected: 0, emitted: 8 }],
    ])
      await api.rows(
        `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts)
         VALUES ('acme', $1, $2, $3, 'd', 1, $4)`,
        [id, seq, stage, counts],
      );
    const stored = {
      read: 10,
      passed: 8,
      filtered: 1,
      rejected: 1,
      emitted: 8,
      stored: 7,
      unchanged: 0,
      deduplicated: 1,
    };
    await api.rows(`INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ('acme', $1, 0, $2)`, [
      id,
      stored,
    ]);
    const run = (await (await api.call(`/v1/runs/${id}`)).json()) as Run;
    assert.deepEqual(run.counts, { ...stored, read: 15 });
  });

  it('cancelling asks once, and an ended run cannot be cancelled', async () => {
    const { id } = await accepted('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    for (let i = 0; i < 2; i++)
      assert.equal((await api.call(`/v1/runs/${id}/cancel`, { method: 'POST' })).status, 202);
    assert.equal(
      (await api.rows(`SELECT FROM waybill.outbox WHERE run_id = $1 AND kind = 'cancel'`, [id])).length,
      1,
    );
    await api.rows(`UPDATE waybill.run SET state = 'cancelled', ended_at = now() WHERE id = $1`, [id]);
    assert.equal(await codeOf(await api.call(`/v1/runs/${id}/cancel`, { method: 'POST' })), 'RunEnded');
  });

  it('pipelines say what they expect', async () => {
    const list = (await (await api.call('/v1/pipelines')).json()) as { items: { id: string }[] };
    assert.deepEqual(
      list.items.map(({ id }) => id),
      ['lines', 'cells', 'items', 'few', 'files', 'urls', 'own', 'kept', 'whole'],
    );
    const one = (await (await api.call('/v1/pipelines/lines')).json()) as {
      schemas: {
        parameters: { properties: object };
        input: { required: string[]; additionalProperties: boolean };
      };
    };
    assert.deepEqual(Object.keys(one.schemas.parameters.properties), ['limit', 'dry', 'name']);
    assert.deepEqual(one.schemas.input.required, ['id']);
    assert.equal(one.schemas.input.additionalProperties, false);
  });

  it('pipelines say at what their runs wait, and when they run by themselves', async () => {
    const shown = async (id: string) =>
      (await (await api.call(`/v1/pipelines/${id}`)).json()) as {
        approval: Record<string, unknown> | null;
        schedules: { id: string; terms: { cron: string; timeZone: string }; links: object }[];
      };
    const { approval, schedules } = await shown('kept');
    assert.deepEqual(approval, {
      ...{ before: 'publish', by: ['data-steward'], quorum: 2, conditional: false, withinMs: 7_200_000 },
      ...{ onTimeout: 'escalate', escalateTo: ['operator'], remindMs: null, form: null },
    });
    assert.deepEqual(
      schedules.map(({ id, terms, links }) => [id, terms.cron, terms.timeZone, links]),
      [['kept', '0 6 * * *', 'Europe/Vienna', { self: '/v1/schedules/kept' }]],
    );
    const { approval: none, schedules: neither } = await shown('few');
    assert.deepEqual([none, neither], [null, []]);
  });

  it('one says where it will wait, and why its records were refused', async () => {
    const shown = async (id: string) => {
      const { gate } = (await (await api.call(`/v1/runs/${id}`)).json()) as { gate?: string };
      const { rejectedByCode } = (await (await api.call(`/v1/runs/${id}/rejections`)).json()) as {
        rejectedByCode: object;
      };
      return { gate, rejectedByCode };
    };
    const { id: gated } = await accepted('/v1/pipelines/kept/runs', json({}));
    assert.deepEqual(await shown(gated), { gate: 'publish', rejectedByCode: {} });
    const { id } = await accepted('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    await api.refuseRecords(id, ['SchemaMismatch', 'SchemaMismatch', 'TestOrder']);
    assert.deepEqual(await shown(id), {
      gate: undefined,
      rejectedByCode: { SchemaMismatch: 2, TestOrder: 1 },
    });
  });

  it('health, readiness, document, pages and keys need no token', async () => {
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs', '/.well-known/jwks.json'])
      assert.equal((await fetch(`${api.url}${path}`)).status, 200, path);
    const document = (await (await fetch(`${api.url}/openapi.json`)).json()) as { openapi: string };
    assert.equal(document.openapi, '3.1.0');
  });
});
