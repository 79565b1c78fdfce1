import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applyLimits } from '../../adapters/postgres/applyLimits.ts';
import { createLimits } from '../../adapters/postgres/limits.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { type Limit, limitKinds } from '../../domain/limits.ts';
import { until } from '../support/until.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

interface LimitView {
  name: string;
  pipeline: string | null;
  max: number;
  use: number | null;
}

describe('limits of a tenant', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  /** Resolves once the API has them. */
  async function limit(...limits: (Partial<Limit> & Pick<Limit, 'name' | 'max'>)[]): Promise<void> {
    const all = limits.map((one) => ({ tenant: 'acme', pipeline: '', ...one }));
    await applyLimits(api.postgres.migratorUrl, all);
    await until('the limits are in force', async () => {
      const shown = await listed();
      return limits.every(
        ({ tenant, name, pipeline, max }) =>
          tenant === 'globex' ||
          shown.some(
            (one) => one.name === name && (one.pipeline ?? '') === (pipeline ?? '') && one.max === max,
          ),
      );
    });
  }
  const listed = async () => {
    const response = await api.call('/v1/limits');
    assert.equal(response.status, 200);
    return ((await response.json()) as { items: LimitView[] }).items;
  };
  const useOf = async (name: string) =>
    (await listed()).find((one) => one.name === name && one.pipeline === null)!.use;
  const trigger = (pipeline = 'few', key?: string) =>
    api.call(
      `/v1/pipelines/${pipeline}/runs`,
      json({ records: [{ id: 'a' }] }, key ? { 'idempotency-key': key } : {}),
    );

  it('are listed with their use, each with a default', async () => {
    const shown = await listed();
    assert.deepEqual(
      shown.map(({ name, max }) => [name, max]),
      Object.entries(limitKinds).map(([name, { max }]) => [name, max]),
    );
    assert.equal(shown.find(({ name }) => name === 'schedules')!.use, 0);
  });

  it('of 40 triggers at once accept as many runs as may be in flight, and repeat an accepted one', async () => {
    await limit({ name: 'runsInFlight', max: 5 });
    const inFlight = (await useOf('runsInFlight'))!;
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => trigger('few', `key-${i}`)));
    const accepted = answers.flatMap(({ status }, i) => (status === 202 ? [i] : []));
    assert.equal(accepted.length, 5 - inFlight);
    const refused = answers.find(({ status }) => status !== 202)!;
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '5']);
    const problem = (await refused.json()) as { code: string; issues: { message: string }[] };
    assert.deepEqual(
      [problem.code, problem.issues.map(({ message }) => message)],
      ['LimitReached', ['The tenant has 5 of at most 5 (runsInFlight).']],
    );
    assert.equal((await trigger('few', `key-${accepted[0]}`)).status, 202);
    await limit({ name: 'runsInFlight', max: 1_000 });
  });

  it('bound a pipeline of the tenant, and no other', async () => {
    await limit({ name: 'runsInFlight', pipeline: 'few', max: 0 }, { name: 'runsInFlight', max: 1_000 });
    assert.equal(await codeOf(await trigger()), 'LimitReached');
    const other = await api.call('/v1/pipelines/files/runs', json({ source: { path: 'a.ndjson' } }));
    assert.equal(other.status, 202, await other.text());
    await limit({ name: 'runsInFlight', max: 1_000 });
  });

  it('bound triggers in a second, after which the next is accepted', async () => {
    await limit({ name: 'triggersPerSecond', max: 2 });
    const answers = await Promise.all(Array.from({ length: 30 }, () => trigger()));
    assert.ok(answers.some(({ status }) => status === 202));
    const refused = answers.find(({ status }) => status === 429)!;
    assert.equal(await codeOf(refused), 'LimitReached');
    assert.equal(refused.headers.get('retry-after'), '1');
    await until('a trigger is accepted again', async () => (await trigger()).status === 202);
    await limit({ name: 'triggersPerSecond', max: 1_000 });
  });

  it('refuse triggers while no more rejected records may be open, or bytes be stored, and count both', async () => {
    const run = await until('a trigger is accepted', async () => {
      const response = await trigger();
      return response.status === 202 && response.json();
    });
    const { id } = run as { id: string };
    await api.refuseRecords(id, ['TooShort', 'TooShort']);
    const pool = new pg.Pool({ connectionString: api.postgres.apiUrl, max: 1 });
    const counted = await createLimits(tenantsOf(pool)).read('acme');
    await pool.end();
    const useIn = (name: string) => counted.find((one) => one.name === name)!.use!;
    assert.equal(useIn('openDeadLetters'), 2);
    assert.ok(useIn('bytesStored') >= '{"id":"a"}'.length, `${useIn('bytesStored')}`);
    for (const name of ['openDeadLetters', 'bytesStored'] as const) {
      await limit({ name, max: 0 });
      assert.equal(await codeOf(await trigger()), 'LimitReached');
      await limit({ name, max: 1_000_000_000 });
    }
  });

  it('bound revocations that stand; one that stands already is no new one', async () => {
    const carol = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
    const revoke = (id: string) =>
      api.call('/v1/revocations', { ...json({ kind: 'principal', id }), as: carol });
    const id = (letter: string) => `prn_${letter.repeat(22)}`;
    const standing = (await useOf('standingRevocations'))!;
    await limit({ name: 'standingRevocations', max: standing + 1 });
    assert.equal((await revoke(id('a'))).status, 201);
    assert.equal(await codeOf(await revoke(id('b'))), 'LimitReached');
    assert.equal((await revoke(id('a'))).status, 200);
    await limit({ name: 'standingRevocations', max: 1_000 });
  });

  it('are those of the caller’s tenant', async () => {
    await limit({ name: 'schedules', max: 7 }, { tenant: 'globex', name: 'schedules', max: 9 });
    const as = await api.issuer.token({ tenant: 'globex' });
    const response = await api.call('/v1/limits', { as });
    const { items } = (await response.json()) as { items: LimitView[] };
    assert.equal(items.find(({ name }) => name === 'schedules')!.max, 9);
  });
});
