import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { DevStack } from '../../test/support/devStack.ts';
import { until } from '../../test/support/until.ts';
import { pssMiB } from '../memory.ts';

/*
 * One tenant asks for more than its share while the others work. Lines in parentheses are figures, all others violations.
 */

export interface Bounds {
  /** How long the API may leave `/healthz` unanswered. */
  healthMaxMs: number;
  /** How much more memory the API may take than at rest. */
  apiMaxMiB: number;
  /** How late another tenant’s schedule may fire. */
  firingMaxMs: number;
}

type Call = Awaited<ReturnType<DevStack['as']>>;

/** JSON envelopes of 4 MB, all at once: what there is no room for is rejected, and the API answers the others. */
export async function crowdOfEnvelopes(
  stack: DevStack,
  { envelopes, healthMaxMs, apiMaxMiB }: { envelopes: number } & Pick<Bounds, 'healthMaxMs' | 'apiMaxMiB'>,
): Promise<string[]> {
  const call = await stack.as('alice');
  const record = JSON.stringify({ id: randomUUID(), amount: 1 });
  const body = `{"records":[${Array.from({ length: Math.floor(4_000_000 / (record.length + 1)) }, () => record).join()}]}`;
  const restMiB = pssMiB(stack.pid('api')!);
  const {
    result: statuses,
    peakMiB,
    slowestMs,
  } = await watchApi(stack, () =>
    Promise.all(
      Array.from({ length: envelopes }, () => statusOf(post(call, '/v1/pipelines/pings/runs', body))),
    ),
  );
  return [
    `(${envelopes} envelopes of ${body.length} bytes: answers ${tally(statuses)}; the API took ${restMiB.toFixed(0)} MiB at rest and ` +
      `${peakMiB.toFixed(0)} at most; the slowest /healthz took ${slowestMs.toFixed(0)} ms)`,
    ...statuses.filter((status) => ![0, 202, 429, 503].includes(status)).map((status) => `answer ${status}`),
    ...(peakMiB > apiMaxMiB ? [`the API took ${peakMiB.toFixed(0)} MiB`] : []),
    ...(slowestMs > healthMaxMs ? [`/healthz took ${slowestMs.toFixed(0)} ms`] : []),
  ];
}

/** Previews of one tenant, so many at a time, while a schedule of another tenant is due every two seconds. */
export async function crowdOfPreviews(
  stack: DevStack,
  { previews, firingMaxMs }: { previews: number } & Pick<Bounds, 'firingMaxMs'>,
): Promise<string[]> {
  const [alice, dave] = [await stack.as('alice'), await stack.as('dave')];
  const created = await post(
    dave,
    '/v1/schedules',
    JSON.stringify({ id: 'steady', pipeline: 'ticks', terms: { every: '2s', overlap: 'allow-all' } }),
  );
  if (created.status !== 201) return [`the schedule: ${created.status} ${await created.text()}`];
  const firings = async () => {
    const { items } = (await (await dave('/v1/schedules/steady/firings')).json()) as { items: Firing[] };
    return items.filter(({ outcome }) => outcome === 'fired');
  };
  await until('the schedule fired', async () => (await firings()).length > 2);
  const began = Date.now();
  let asked = 0;
  // Each its own times: equal questions would be answered once.
  const preview = () => {
    const cron = `${asked % 60} ${Math.floor(asked++ / 60) % 24} * * ${asked % 7}`;
    const body = JSON.stringify({ timing: { cron, timeZone: 'Europe/Vienna' }, count: 100 });
    return statusOf(post(alice, '/v1/schedule-previews', body));
  };
  const statuses: number[] = [];
  // For several firings, since one round takes about a second.
  while (Date.now() < began + 10_000) {
    const round = Array.from({ length: previews }, preview);
    statuses.push(...(await Promise.all(round)));
  }
  const tookMs = Date.now() - began;
  const during = await until('a firing after the previews', async () => {
    const all = await firings();
    return all.some(({ at }) => Date.parse(at) > began + tookMs) && all;
  });
  const lateMs = during
    .filter(({ at }) => Date.parse(at) >= began)
    .map(({ at, decidedAt }) => Date.parse(decidedAt) - Date.parse(at));
  const latest = Math.max(...lateMs);
  return [
    `(${previews} previews at a time for ${(tookMs / 1000).toFixed(1)} s: answers ${tally(statuses)}; ` +
      `${lateMs.length} firings of the other tenant, the latest ${latest} ms after it was due)`,
    ...statuses.filter((status) => ![200, 429, 503].includes(status)).map((status) => `answer ${status}`),
    ...(latest > firingMaxMs ? [`a firing came ${latest} ms late`] : []),
  ];
}

interface Firing {
  at: string;
  decidedAt: string;
  outcome: string;
}

function post(call: Call, path: string, body: string): Promise<Response> {
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
    body,
  });
}

/** A connection that the API closed before it had read the body is 0. */
async function statusOf(answer: Promise<Response>): Promise<number> {
  try {
    const response = await answer;
    await response.text();
    return response.status;
  } catch {
    return 0;
  }
}

/** Asks for `/healthz` again and again, and looks at the memory of the API, while the work goes on. */
async function watchApi<T>(
  stack: DevStack,
  work: () => Promise<T>,
): Promise<{ result: T; peakMiB: number; slowestMs: number }> {
  let ended = false;
  let peakMiB = 0;
  let slowestMs = 0;
  const watch = async () => {
    while (!ended) {
      const from = performance.now();
      await fetch(`${stack.info().apiUrl}/healthz`).then((response) => response.text());
      slowestMs = Math.max(slowestMs, performance.now() - from);
      peakMiB = Math.max(peakMiB, pssMiB(stack.pid('api')!));
      await pause(50);
    }
  };
  const working = work().finally(() => {
    ended = true;
  });
  const [result] = await Promise.all([working, watch()]);
  return { result, peakMiB, slowestMs };
}

/** `202 × 3, 429 × 47`. */
function tally(statuses: readonly number[]): string {
  const counts = Map.groupBy(statuses, (status) => status);
  return [...counts].map(([status, all]) => `${status} × ${all.length}`).join(', ');
}
