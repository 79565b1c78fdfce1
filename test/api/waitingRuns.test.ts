import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Run, Schedule, WaitingRuns } from '../../sdk/client.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

describe('runs with a missing definition', () => {
  let api: Api;
  let endsRuns = true;

  before(async () => {
    api = await startApi({
      // There is no worker here that ends a cancelled run.
      change: ({ runs }) => ({
        runs: {
          ...runs,
          async requestCancel(tenant, runId, audit) {
            await runs.requestCancel(tenant, runId, audit);
            if (endsRuns)
              await api.rows(
                `UPDATE waybill.run SET state = 'cancelled', ended_at = now(), counts = '{}' WHERE id = $1`,
                [runId],
              );
            return runs.find(tenant, runId);
          },
        },
      }),
    });
  });
  after(() => api.stop());
  beforeEach(async () => {
    endsRuns = true;
    await api.rows(
      `UPDATE waybill.run SET state = 'cancelled', ended_at = now(), counts = '{}' WHERE ended_at IS NULL`,
    );
  });

  async function accepted(state: string, digest = 'gone', pipeline = 'few'): Promise<string> {
    const body =
      pipeline === 'few' ? { records: [{ id: 'a' }, { id: 'b' }] } : { source: { path: 'a.ndjson' } };
    const response = await api.call(`/v1/pipelines/${pipeline}/runs`, json(body));
    const { id } = (await response.json()) as Run;
    assert.equal(response.status, 202, id);
    await api.rows(
      `UPDATE waybill.run SET state = $2, definition_digest = coalesce($3, definition_digest), reason =
         CASE WHEN $2 = 'suspended' THEN '{"code": "DefinitionUnavailable", "message": "m"}'::jsonb END WHERE id = $1`,
      [id, state, digest || null],
    );
    return id;
  }

  async function ask(what: 'cancel' | 'move', body: object = {}, as?: string): Promise<WaitingRuns> {
    const request = json({ definitionMissing: true, ...body });
    const response = await api.call(`/v1/runs/${what}`, { ...request, ...(as !== undefined && { as }) });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as WaitingRuns;
  }
  const stateOf = async (id: string) => ((await (await api.call(`/v1/runs/${id}`)).json()) as Run).state;
  const eventsOf = async (id: string) =>
    (
      await api.rows<{ action: string }>('SELECT action FROM waybill.audit_event WHERE run_id = $1', [id])
    ).map(({ action }) => action);

  it('are listed, and no others', async () => {
    const [suspended, waiting, running] = [
      await accepted('suspended'),
      await accepted('awaiting-approval'),
      await accepted('running'),
    ];
    await accepted('suspended', '');
    const listed = (await (await api.call('/v1/runs?definitionMissing=true')).json()) as { items: Run[] };
    assert.deepEqual(new Set(listed.items.map(({ id }) => id)), new Set([suspended, waiting, running]));
  });

  it('are cancelled at once where they wait, after a dry run that changes nothing', async () => {
    const waits = [await accepted('suspended'), await accepted('awaiting-approval')];
    const others = [await accepted('running'), await accepted('suspended', '')];
    const elsewhere = await accepted('suspended', 'gone', 'files');
    const planned = await ask('cancel', { pipeline: 'few', dryRun: true });
    assert.deepEqual(new Set(planned.items.map(({ run }) => run)), new Set(waits));
    assert.deepEqual(await Promise.all(waits.map(stateOf)), ['suspended', 'awaiting-approval']);
    const { items, nextCursor } = await ask('cancel', { pipeline: 'few' });
    assert.deepEqual(
      new Set(items.map(({ run, code }) => `${run} ${code}`)),
      new Set(waits.map((id) => `${id} null`)),
    );
    assert.equal(nextCursor, null);
    assert.deepEqual(await Promise.all(waits.map(stateOf)), ['cancelled', 'cancelled']);
    assert.deepEqual(await Promise.all(others.map(stateOf)), ['running', 'suspended']);
    assert.equal(await stateOf(elsewhere), 'suspended');
    assert.ok((await eventsOf(waits[0]!)).includes('run.cancel-requested'));
  });

  it('are moved: cancelled, and run again by the current definition under the grant of who asks', async () => {
    const [one, two] = [await accepted('suspended'), await accepted('awaiting-approval')];
    const files = await accepted('suspended', 'gone', 'files');
    const bob = await api.issuer.token({ sub: 'bob' });
    const { items } = await ask('move', {}, bob);
    assert.deepEqual(
      items.map(({ code }) => code),
      [null, null, null],
      JSON.stringify(items),
    );
    for (const old of [one, two, files]) {
      const { movedTo } = items.find(({ run }) => run === old)!;
      const next = (await (await api.call(`/v1/runs/${movedTo}`)).json()) as Run;
      assert.deepEqual([next.state, next.requestedBy.subject], ['accepted', 'bob']);
      assert.equal(await stateOf(old), 'cancelled');
      const [row] = await api.rows('SELECT definition_digest FROM waybill.run WHERE id = $1', [movedTo]);
      assert.equal(row!.definition_digest, next.pipeline.padEnd(64, '0'));
      const [{ detail }] = (await api.rows(
        `SELECT detail FROM waybill.audit_event WHERE run_id = $1 AND action = 'run.accepted'`,
        [movedTo],
      )) as [{ detail: { retryOf: string } }];
      assert.equal(detail.retryOf, old);
    }
    assert.deepEqual((await ask('move', {}, bob)).items, []);
  });

  it('stay as they are where they cannot be moved, or the caller may not', async () => {
    const stored = await accepted('suspended');
    await api.rows(
      `INSERT INTO waybill.ledger (tenant, run_id, seq, counts, rejected_by_code)
       SELECT tenant, run_id, seq, '{}', '{}' FROM waybill.batch WHERE run_id = $1`,
      [stored],
    );
    assert.deepEqual(
      (await ask('move')).items.map(({ run, code }) => [run, code]),
      [[stored, 'RunFullyStored']],
    );
    assert.equal(await stateOf(stored), 'suspended');
    await ask('cancel');
    const other = await accepted('suspended');
    const steward = await api.issuer.token({ sub: 'erin', roles: ['data-steward'] });
    assert.equal((await ask('move', {}, steward)).items[0]!.code, 'Forbidden');
    const auditor = await api.issuer.token({ sub: 'frank', roles: ['auditor'] });
    assert.equal((await ask('cancel', {}, auditor)).items[0]!.code, 'Forbidden');
    assert.equal(await stateOf(other), 'suspended');
    assert.ok((await eventsOf(other)).includes('access.denied'));
    const globex = await api.issuer.token({ sub: 'dave', tenant: 'globex' });
    assert.deepEqual((await ask('cancel', {}, globex)).items, []);
  });

  it('that a cancel has ended without a new run are retried by themselves', async () => {
    const run = await accepted('suspended');
    await ask('cancel');
    await api.rows(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw, state)
       SELECT 'dl_' || state, 'acme', $1, 'few', 1, 'prn_1', 0, n, n, 0, 1, 'validate', 'TooShort', '', 'm', 'x', state
       FROM unnest(ARRAY['open', 'resolved']) WITH ORDINALITY each (state, n)`,
      [run],
    );
    const retried = await api.call(`/v1/runs/${run}/retry`, { method: 'POST' });
    assert.equal(retried.status, 202, await retried.clone().text());
    const next = (await retried.json()) as Run;
    // Their records are read again: what is wrong with them is found again, and is one letter.
    const letters = await api.rows(
      'SELECT id, state, reason FROM waybill.dead_letter WHERE run_id = $1 ORDER BY id',
      [run],
    );
    assert.deepEqual(letters, [
      { id: 'dl_open', state: 'discarded', reason: `Run ${next.id} reads its record again.` },
      { id: 'dl_resolved', state: 'resolved', reason: null },
    ]);
    assert.ok((await eventsOf(next.id)).includes('dead-letter.discarded'));
    const response = await api.call('/v1/runs/cancel', json({}));
    assert.equal(await codeOf(response), 'InvalidRequest');
  });

  it('stall their schedule, which says so and says behind which', async () => {
    const terms = { cron: '0 6 * * *', source: { path: 'a.ndjson' } };
    const saved = await api.call('/v1/schedules', json({ id: 'daily', pipeline: 'files', terms }));
    assert.ok(saved.ok, await saved.clone().text());
    const show = async () => {
      const one = (await (await api.call('/v1/schedules/daily')).json()) as Schedule;
      const { items } = (await (await api.call('/v1/schedules')).json()) as { items: Schedule[] };
      assert.equal(items[0]!.state, one.state);
      return [one.state, one.reason?.code ?? null, one.stalledBehind];
    };
    assert.deepEqual(await show(), ['active', null, null]);
    const run = await accepted('suspended', 'gone', 'files');
    await api.rows(
      `INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
       VALUES ('acme', 'daily', now(), 'fired', $1, 'w', 'f')`,
      [run],
    );
    assert.deepEqual(await show(), ['stalled', 'DefinitionUnavailable', run]);
    await ask('cancel');
    assert.deepEqual(await show(), ['active', null, null]);
  });
});
