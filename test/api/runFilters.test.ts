import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Run } from '../../sdk/client.ts';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('lists of runs', () => {
  let api: Api;
  let runs: Record<'alice' | 'bob' | 'redrive' | 'retry' | 'scheduled', string>;
  let bob: string;

  before(async () => {
    api = await startApi();
    bob = await api.issuer.token({ sub: 'bob' });
    const few = () => json({ records: [{ id: 'a' }] });
    const accepted = async (path: string, init: RequestInit & { as?: string }) => {
      const response = await api.call(path, init);
      assert.equal(response.status, 202, await response.clone().text());
      return ((await response.json()) as Run).id;
    };
    const path = '/v1/pipelines/few/runs';
    runs = {
      alice: await accepted('/v1/pipelines/lines/runs?limit=5', data(lines(3))),
      bob: await accepted(path, { ...few(), as: bob }),
      redrive: await accepted(path, few()),
      retry: await accepted(path, few()),
      scheduled: await accepted(path, few()),
    };
    const set = (id: string, changes: string) =>
      api.rows(`UPDATE waybill.run SET ${changes} WHERE id = $1`, [id]);
    await set(runs.alice, `created_at = '2026-01-01T00:00:00Z', version = 7`);
    await set(
      runs.bob,
      `state = 'failed', ended_at = now(), counts = '{}', reason = '{"code": "AllRejected", "message": "m"}'`,
    );
    await set(runs.redrive, `source = '{"kind": "deadLetters"}'`);
    await set(runs.retry, `source = '{"kind": "run", "run": "few-1"}'`);
    await api.rows(
      `INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state)
       VALUES ('acme', 'daily', 'few', '{}', '{}', false, '{}', 'active')`,
    );
    await api.rows(
      `INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
       VALUES ('acme', 'daily', now(), 'fired', $1, 'w', 'r')`,
      [runs.scheduled],
    );
  });
  after(() => api.stop());

  for (const [query, expected] of [
    ['version=7', ['alice']],
    ['to=2026-02-01T00:00:00Z', ['alice']],
    ['from=2026-02-01T00:00:00Z', ['scheduled', 'retry', 'redrive', 'bob']],
    ['requester=bob', ['bob']],
    ['code=AllRejected', ['bob']],
    ['trigger=request', ['bob', 'alice']],
    ['trigger=redrive', ['redrive']],
    ['trigger=retry', ['retry']],
    ['trigger=schedule', ['scheduled']],
    ['schedule=daily', ['scheduled']],
    ['schedule=weekly', []],
    ['parameter=limit%3D5', ['alice']],
    ['parameter=limit%3D6', []],
    ['trigger=request&requester=bob&state=failed', ['bob']],
  ] as const)
    it(`filter by ${query}`, async () => {
      const response = await api.call(`/v1/runs?${query}`);
      assert.equal(response.status, 200, await response.clone().text());
      const { items } = (await response.json()) as { items: Run[] };
      assert.deepEqual(
        items.map(({ id }) => id),
        expected.map((name) => runs[name]),
      );
    });

  it('reject what is no filter', async () => {
    for (const query of ['version=x', 'from=yesterday', 'parameter=limit', 'trigger=hand', 'color=red'])
      assert.equal(await codeOf(await api.call(`/v1/runs?${query}`)), 'InvalidRequest', query);
  });
});
