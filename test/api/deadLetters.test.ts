import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createPolicyEngine } from '../../adapters/policy/engine.ts';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import type { Policy } from '../../domain/policies/policy.ts';
import { definitions } from './pipelines.ts';
import { type Api, changingPolicy, codeOf, json, startApi } from './startApi.ts';

const few = '/v1/pipelines/few/runs';
const letters = '/v1/dead-letters';
const agent = { sub: 'copilot', kind: 'agent', roles: ['data-steward'] };
/** A rule that applies to no record, and so needs no code of a pipeline. */
const rule = { patch: [{ op: 'remove', path: '/none' }] };

describe('rejected records, and who may do what with them', () => {
  let api: Api;
  let shipped: Awaited<ReturnType<typeof readPolicies>>;
  let inForce: Policy;
  let labels: Record<string, string> = {};
  let serial = 0;

  before(async () => {
    shipped = await readPolicies();
    inForce = createPolicyEngine(shipped);
    const policy = changingPolicy(() => inForce);
    const find = (id: string) => {
      const found = definitions.find(id);
      return found && { ...found, manifest: { ...found.manifest, labels } };
    };
    api = await startApi({ change: () => ({ policy, definitions: { ...definitions, find } }) });
  });
  after(() => api.stop());
  beforeEach(() => {
    inForce = createPolicyEngine(shipped);
    labels = {};
  });

  const add = (policies: Record<string, string>) => {
    inForce = createPolicyEngine({ ...shipped, policies: { ...shipped.policies, ...policies } });
  };
  const as = async (claims: Record<string, unknown>, path: string, init: RequestInit = {}) =>
    api.call(path, { as: await api.issuer.token(claims), ...init });
  const steward = { sub: 'bob', roles: ['data-steward'] };
  const answerOf = async (response: Response) => {
    const { code } = (await response.json()) as { code?: string };
    return code ?? response.status;
  };

  /** A run of alice’s with one rejected record. */
  async function reject(): Promise<{ run: string; id: string }> {
    const response = await api.call(few, json({ records: [{ id: 'a' }] }));
    const { id: run } = (await response.json()) as { id: string };
    const id = await api.addLetter({ id: run, tenant: 'acme' }, `dl_${String(++serial).padStart(22, '0')}`);
    await api.rows(`UPDATE waybill.run SET ended_at = now(), state = 'completed' WHERE id = $1`, [run]);
    return { run, id };
  }

  /** What each request about the letter answers. */
  async function tries(claims: Record<string, unknown>, id: string): Promise<Record<string, unknown>> {
    const patch = { ...json({ record: { id: 'a' }, revision: 7 }), method: 'PATCH' };
    const tried = [
      ['edit', await as(claims, `${letters}/${id}`, patch)],
      ['edit by rule', await as(claims, `${letters}/repair`, json({ ids: [id], rule }))],
      ['redrive', await as(claims, `${letters}/redrive`, json({ ids: [id], dryRun: true }))],
      ['discard', await as(claims, `${letters}/discard`, json({ ids: [id], reason: 'r', dryRun: true }))],
    ] as const;
    return Object.fromEntries(
      await Promise.all(tried.map(async ([name, one]) => [name, await answerOf(one)])),
    );
  }
  const allowed = { edit: 'DeadLettersChanged', 'edit by rule': 200, redrive: 200, discard: 200 };

  it('repair, redrive and discard are rights of their own', async () => {
    const { id } = await reject();
    assert.deepEqual(await tries(steward, id), allowed);
    const of = { repair: ['edit', 'edit by rule'], redrive: ['redrive'], discard: ['discard'] };
    for (const [action, names] of Object.entries(of)) {
      add({ 'test/none': `forbid (principal, action == Waybill::Action::"${action}", resource);` });
      const denied = Object.fromEntries(names.map((name) => [name, 'Forbidden']));
      assert.deepEqual(await tries(steward, id), { ...allowed, ...denied }, action);
    }
    add({ 'test/none': 'forbid (principal, action == Waybill::Action::"store", resource);' });
    const denied = { ...allowed, redrive: 'Forbidden' };
    assert.deepEqual(await tries(steward, id), denied, 'a redrive needs the rights of its steps');
  });

  it('those of another tenant do not exist', async () => {
    const { id, run } = await reject();
    const dave = { sub: 'dave', tenant: 'globex' };
    const none = 'DeadLetterNotFound';
    assert.deepEqual(await tries(dave, id), {
      edit: none,
      'edit by rule': none,
      redrive: none,
      discard: none,
    });
    for (const path of [`${letters}/${id}`, `${letters}/${id}/audit`])
      assert.equal(await answerOf(await as(dave, path)), none);
    const filter = { filter: { run } };
    assert.equal(await answerOf(await as(dave, `${letters}/redrive`, json(filter))), 'RunNotFound');
    for (const query of ['', '?groupBy=run', `?run=${run}`]) {
      const page = (await (await as(dave, `${letters}${query}`)).json()) as { items: []; groups?: [] };
      assert.deepEqual([page.items, page.groups ?? []], [[], []]);
    }
  });

  it('an agent repairs only what the policy of docs/dead-letters.md lets it', async () => {
    const page = await readFile('docs/dead-letters.md', 'utf8');
    const [, text] = /```cedar\n([\s\S]*?)```/.exec(page)!;
    const policies = Object.fromEntries(
      text!.split(/(?=@id)/).map((one) => [`docs/${/@id\("(.*)"\)/.exec(one)![1]}`, one]),
    );
    const { id } = await reject();
    assert.deepEqual(await tries(agent, id), allowed, 'without it, as its role says');
    add(policies);
    const none = 'Forbidden';
    assert.deepEqual(await tries(agent, id), {
      edit: none,
      'edit by rule': none,
      redrive: none,
      discard: none,
    });
    assert.deepEqual(await tries(steward, id), allowed);
    const denied = await api.rows<{ policies: string[] }>(
      `SELECT detail -> 'policies' AS policies FROM waybill.audit_event
       WHERE outcome = 'denied' AND actor ->> 'kind' = 'agent' AND detail ->> 'action' = 'redrive' LIMIT 1`,
    );
    assert.ok(denied[0]?.policies.includes('docs/agents-repair'), JSON.stringify(denied));
    labels = { agents: 'repair' };
    const labelled = await reject();
    assert.deepEqual(await tries(agent, labelled.id), { ...allowed, discard: none });
    assert.equal((await as(agent, `${letters}/${labelled.id}`)).status, 200);
    const { value } = (await (await as(agent, `${letters}/${labelled.id}`)).json()) as { value: unknown };
    assert.equal(value, null, 'it never sees values');
  });

  it('a redrive is a run of its caller, bound to its letters; a letter under way is neither edited nor sent', async () => {
    const { id, run } = await reject();
    const response = await as(steward, `${letters}/redrive`, json({ ids: [id], throttle: '50/s' }));
    const redrive = (await response.json()) as {
      id: string;
      throttle: string;
      requestedBy: { subject: string };
    };
    assert.deepEqual([response.status, redrive.requestedBy.subject, redrive.throttle], [202, 'bob', '50/s']);
    const [row] = await api.rows<{ grant_jws: string; principal: string }>(
      'SELECT grant_jws, principal FROM waybill.run WHERE id = $1',
      [redrive.id],
    );
    const claims = JSON.parse(Buffer.from(row!.grant_jws.split('.')[1]!, 'base64url').toString());
    assert.deepEqual([claims.sub, claims.tctx.workflowId], [row!.principal, redrive.id]);
    const patch = { ...json({ record: { id: 'a' } }), method: 'PATCH' };
    assert.equal(await answerOf(await as(steward, `${letters}/${id}`, patch)), 'DeadLetterNotOpen');
    for (const way of ['redrive', 'repair'])
      assert.equal(
        await answerOf(
          await as(steward, `${letters}/${way}`, json({ ids: [id], ...(way === 'repair' && { rule }) })),
        ),
        'DeadLetterNotOpen',
      );
    // What was approved is the digest of these lines. Another text in the table changes nothing of them.
    const [batch] = await api.rows<{ bytes: Buffer }>('SELECT bytes FROM waybill.batch WHERE run_id = $1', [
      redrive.id,
    ]);
    await api.rows(`UPDATE waybill.dead_letter SET raw = '{"id": "forged"}' WHERE id = $1`, [id]);
    const line = JSON.parse(batch!.bytes.toString()) as { id: string; raw: string };
    assert.deepEqual([line.id, Buffer.from(line.raw, 'base64').toString()], [id, '{"id": 7}']);
    assert.notEqual(run, redrive.id);
  });

  it('a throttle is checked, and a redrive that could not end in time is not begun', async () => {
    const { id } = await reject();
    for (const throttle of ['0/s', '5', '5/d', 50])
      assert.equal(
        await codeOf(await as(steward, `${letters}/redrive`, json({ ids: [id], throttle }))),
        'InvalidRequest',
      );
    const shown = await as(steward, `${letters}/redrive`, json({ ids: [id], throttle: '1/h', dryRun: true }));
    assert.equal(((await shown.json()) as { leastMs: number }).leastMs, 0, 'one record needs no pause');
    const { run, id: first } = await reject();
    // 200 more, at one an hour: the pipeline gives a run seven days.
    await api.rows(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw)
       SELECT 'dl_many' || lpad(i::text, 18, '0'), 'acme', run_id, pipeline, 1, 'prn_1', 0, i, i, 0, 9, 'validate', 'c', '', 'm', raw
       FROM waybill.dead_letter, generate_series(1, 200) i WHERE id = $1`,
      [first],
    );
    for (const dryRun of [true, false]) {
      const slow = await as(
        steward,
        `${letters}/redrive`,
        json({ filter: { run }, throttle: '1/h', dryRun }),
      );
      const { code, issues } = (await slow.json()) as { code: string; issues: { path: string }[] };
      assert.deepEqual([slow.status, code, issues[0]?.path], [400, 'InvalidRequest', '/throttle']);
    }
    const [left] = await api.rows<{ n: number }>(
      `SELECT count(*)::integer AS n FROM waybill.dead_letter WHERE run_id = $1 AND state = 'open'`,
      [run],
    );
    assert.equal(left!.n, 201);
    const fast = await as(steward, `${letters}/redrive`, json({ filter: { run }, throttle: '1/s' }));
    const { id: redrive } = (await fast.json()) as { id: string };
    const batches = await api.rows<{ records: number }>(
      'SELECT records::integer FROM waybill.batch WHERE run_id = $1 ORDER BY seq',
      [redrive],
    );
    assert.deepEqual([batches.length, batches[0]!.records, batches.at(-1)!.records], [41, 5, 1]);
  });

  it('a pipeline that replaces its table sends none of them again, and says so', async () => {
    const response = await api.call('/v1/pipelines/whole/runs', json({ records: [{ id: 'a' }] }));
    const { id: run } = (await response.json()) as { id: string };
    const [letter] = await api.rows<{ id: string }>(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw)
       VALUES ('dl_whole00000000000000000', 'acme', $1, 'whole', 1, 'prn_1', 0, 0, 1, 0, 1, 'validate', 'c', '', 'm', 'x')
       RETURNING id`,
      [run],
    );
    const { id } = letter!;
    for (const dryRun of [true, false])
      assert.equal(
        await codeOf(await as(steward, `${letters}/redrive`, json({ ids: [id], dryRun }))),
        'RedriveUnsupported',
      );
  });
});
