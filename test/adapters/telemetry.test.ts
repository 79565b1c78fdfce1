import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import pg from 'pg';
import { Counter, type Registry } from 'prom-client';
import { createBreakers } from '../../adapters/breakers/createBreakers.ts';
import { backlogOf } from '../../adapters/postgres/runs/openRuns.ts';
import { measureBacklog } from '../../adapters/telemetry/backlogMetrics.ts';
import { measureBreakers } from '../../adapters/telemetry/breakerMetrics.ts';
import { boundedTenants, createMetrics, serveMetrics } from '../../adapters/telemetry/metrics.ts';
import { measureRequests } from '../../adapters/telemetry/requestMetrics.ts';
import { countRuns, measureSteps } from '../../adapters/telemetry/stepMetrics.ts';
import type { BacklogValue } from '../../domain/ports/backlog.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';

const sampleOf = async (registry: Registry, name: string, labels: Record<string, string> = {}) => {
  const metric = await registry.getSingleMetric(name)!.get();
  const found = (metric.values as { value: number; labels: object; metricName?: string }[]).filter(
    (one) =>
      Object.entries(labels).every(([label, value]) => Reflect.get(one.labels, label) === value) &&
      (one.metricName === undefined || one.metricName === name || one.metricName === `${name}_count`),
  );
  return found.at(-1)?.value;
};

describe('metrics', () => {
  it('are served in the text form of Prometheus, and nothing else is', async () => {
    const registry = createMetrics();
    new Counter({ name: 'waybill_test_total', help: 'For a test.', registers: [registry] }).inc(3);
    const server = await serveMetrics(registry, { host: '127.0.0.1', port: 0 });
    try {
      const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);
      const answer = await at('/metrics');
      assert.match(answer.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
      const text = await answer.text();
      assert.match(text, /^waybill_test_total 3$/m);
      assert.match(text, /^nodejs_eventloop_lag_seconds /m);
      assert.equal((await at('/')).status, 404);
      assert.equal((await at('/metrics', { method: 'POST' })).status, 404);
    } finally {
      await server.close();
    }
  });

  it('name a hundred tenants, and the rest as one', () => {
    const label = boundedTenants();
    for (let i = 0; i < 100; i++) assert.equal(label(`t${i}`), `t${i}`);
    assert.equal(label('late'), 'other');
    assert.equal(label('t7'), 't7');
  });

  it('time requests by route and status, but not the events of a run, which stay open', async () => {
    const registry = createMetrics();
    const answered = measureRequests(registry);
    answered({ method: 'GET', route: '/v1/runs/:id', status: 200, tookMs: 3 });
    answered({ method: 'GET', route: '/v1/runs/:id/events', status: 200, tookMs: 60_000 });
    const name = 'waybill_http_request_duration_seconds';
    assert.equal(await sampleOf(registry, name, { route: '/v1/runs/:id' }), 1);
    assert.equal(await sampleOf(registry, name, { route: '/v1/runs/:id/events' }), undefined);
  });

  it('time attempts of steps by what came of them', async () => {
    const registry = createMetrics();
    const measured = measureSteps(registry);
    const attempt = async (work: () => Promise<unknown>) => {
      const environment = new MockActivityEnvironment({ activityType: 'store' });
      const { inbound } = measured(environment.context);
      return inbound!.execute!({ args: [], headers: {} }, work).catch((error: unknown) => error);
    };
    assert.equal(await attempt(async () => 'stored'), 'stored');
    await attempt(() => Promise.reject(ApplicationFailure.create({ type: 'SinkUnavailable' })));
    await attempt(() => Promise.reject(new CancelledFailure('cancelled')));
    await attempt(() => Promise.reject(new Error('a fault')));
    for (const outcome of ['ok', 'SinkUnavailable', 'cancelled', 'Internal'])
      assert.equal(await sampleOf(registry, 'waybill_step_duration_seconds', { step: 'store', outcome }), 1);
  });

  it('count the records of runs that end, and pass the report on', async () => {
    const registry = createMetrics();
    const passedOn: unknown[] = [];
    const reports = countRuns(registry, {
      failed: async () => {},
      succeeded: async (...all) => void passedOn.push(all.length),
    });
    const run = { tenant: 'acme', runId: 'my-orders-019f0000-0000-7000-8000-000000000000' };
    const counts = {
      read: 9,
      passed: 4,
      filtered: 1,
      rejected: 4,
      emitted: 4,
      stored: 3,
      unchanged: 1,
      deduplicated: 0,
    };
    const contextOf = (activityType: string) => new MockActivityEnvironment({ activityType }).context;
    await reports.succeeded(run, contextOf('store'), { state: 'completed', counts });
    await reports.succeeded(run, contextOf('finalize'), { state: 'completed', counts });
    const labels = { pipeline: 'my-orders', tenant: 'acme' };
    assert.equal(await sampleOf(registry, 'waybill_runs_ended_total', { ...labels, state: 'completed' }), 1);
    assert.equal(await sampleOf(registry, 'waybill_records_total', { ...labels, outcome: 'rejected' }), 4);
    assert.equal(await sampleOf(registry, 'waybill_records_total', { ...labels, outcome: 'stored' }), 3);
    assert.deepEqual(passedOn, [3, 3]);
  });
});

describe('metrics of what waits', () => {
  let postgres: TestPostgres;
  let relay: pg.Pool;
  before(async () => {
    postgres = await startPostgresForTest();
    relay = new pg.Pool({ connectionString: postgres.relayUrl });
  });
  after(async () => {
    await relay?.end();
    await postgres?.stop();
  });

  it('are read by the role of the relay, of all tenants, from one answer', async () => {
    const owner = new pg.Client({ connectionString: postgres.superuserUrl });
    await owner.connect();
    await owner.query(`INSERT INTO waybill.outbox (kind, run_id, tenant, created_at) VALUES
      ('start', 'orders-1', 'acme', now() - interval '90 seconds'), ('start', 'orders-2', 'globex', now())`);
    await owner.end();
    let readings = 0;
    const read = backlogOf(relay);
    const registry = createMetrics();
    measureBacklog(registry, () => {
      readings++;
      return read();
    });
    const text = await registry.metrics();
    assert.equal(readings, 1);
    assert.match(text, /^waybill_outbox_entries 2$/m);
    assert.match(text, /^waybill_outbox_oldest_seconds 9\d/m);
    assert.match(text, /^waybill_approvals_waiting 0$/m);
    assert.match(text, /^waybill_backlog_up 1$/m);
  });

  it('are missing while the database does not answer, and the others are there', async () => {
    const registry = createMetrics();
    let answer: Promise<BacklogValue[]> = Promise.resolve([
      { name: 'runs_open', label: 'running', value: 2 },
    ]);
    measureBacklog(registry, () => answer);
    assert.match(await registry.metrics(), /^waybill_runs_open\{state="running"\} 2$/m);
    answer = Promise.reject(new Error('away'));
    const text = await registry.metrics();
    assert.match(text, /^waybill_backlog_up 0$/m);
    assert.doesNotMatch(text, /^waybill_runs_open\{/m);
    assert.doesNotMatch(text, /^waybill_outbox_entries /m);
    assert.match(text, /^process_cpu_seconds_total /m);
  });
});

describe('docs/metrics.md', () => {
  it('names every metric of Waybill with its labels, and no other', async () => {
    const registry = createMetrics();
    measureRequests(registry);
    measureSteps(registry);
    countRuns(registry, { failed: async () => {}, succeeded: async () => {} });
    measureBacklog(registry, async () => []);
    measureBreakers(registry, createBreakers());
    const measured = registry
      .getMetricsAsArray()
      .filter(({ name }) => name.startsWith('waybill_'))
      .map((metric) =>
        [metric.name, ...(metric as unknown as { labelNames: string[] }).labelNames].join(' '),
      );
    const page = readFileSync('docs/metrics.md', 'utf8');
    const documented = [...page.matchAll(/^\| `(waybill_\w+)` +\| (.*?) *\|/gm)].map(([, name, labels]) =>
      [name, ...[...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label)].join(' '),
    );
    assert.deepEqual(documented.sort(), measured.sort());
  });
});
