import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Approval, ApprovalDetail, Decision, Page, Run } from '../../sdk/client.ts';
import { type Api, json, startApi, tokensToDecide } from '../api/startApi.ts';
import { documents, runWaybill, startCommand, startWaybill } from './waybillProcess.ts';

type Who = 'alice' | 'bob' | 'erin';

describe('waybill approvals', () => {
  let api: Api;
  let of: Record<Who, string>;

  before(async () => {
    api = await startApi();
    of = await tokensToDecide(api);
  });
  after(() => api?.stop());

  async function wait(changes: Parameters<Api['addApproval']>[1] = {}) {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const run = (await response.json()) as Run;
    return { run: run.id, ...(await api.addApproval(run, changes)) };
  }

  const settingsOf = (who: Who) => ({ WAYBILL_API_URL: api.url, WAYBILL_TOKEN: of[who] });
  const start = (who: Who, ...args: string[]) => startWaybill(args, settingsOf(who));
  const waybill = (who: Who, ...args: string[]) => runWaybill(['approvals', ...args], settingsOf(who));
  async function printed<T>(code: number, who: Who, ...args: string[]): Promise<T> {
    const ended = await waybill(who, ...args, '--json');
    assert.equal(ended.code, code, ended.stderr);
    return documents<T>(ended)[0]!;
  }
  const codeOf = async (code: number, who: Who, ...args: string[]) =>
    (await printed<{ error: { code: string } }>(code, who, ...args)).error.code;

  it('lists what waits for each approver, and says so where nothing waits', async () => {
    const { id, run } = await wait();
    const inbox = await printed<Page<Approval>>(0, 'bob');
    assert.equal(inbox.items[0]!.id, id);
    assert.match(
      (await waybill('bob', '--run', run)).stdout,
      new RegExp(`^APPROVAL .*\n${id} +pending +few +alice`),
    );
    assert.equal((await waybill('alice')).stdout, 'Nothing waits for you.\n');
    const mine = await printed<Page<Approval>>(0, 'alice', 'list', '--view', 'mine', '--limit', '1');
    assert.equal(mine.items[0]!.id, id);
    const all = await printed<Page<Approval>>(0, 'alice', '--view', 'all', '--state', 'expired');
    assert.deepEqual(all.items, []);
  });

  it('says of a run whether it has a gate, and has not come there yet', async () => {
    const begin = async (pipeline: string, body: object) => {
      const response = await api.call(`/v1/pipelines/${pipeline}/runs`, json(body));
      return ((await response.json()) as Run).id;
    };
    const early = await begin('kept', {});
    const { code, stderr } = await waybill('bob', 'get', early);
    assert.deepEqual(
      [code, stderr.startsWith(`No approval is requested yet: ${early} is accepted`)],
      [1, true],
    );
    const free = await begin('few', { records: [{ id: 'a' }] });
    assert.match(
      (await waybill('bob', 'approve', free, '--yes')).stderr,
      /waits for no approval: .* no gate/,
    );
    // What was asked and answered can still be looked at.
    const { id, run } = await wait({ state: 'rejected' });
    assert.equal((await printed<ApprovalDetail>(0, 'bob', 'get', run)).id, id);

    const { stdout } = await start('bob', 'pipelines', 'kept').ended;
    assert.match(
      stdout,
      / waits +before publish for 2 people of data-steward\n +within 2 h 00 min; then also operator\n/,
    );
    assert.match(stdout, / schedule +kept: 0 6 \* \* \* Europe\/Vienna, once applied; /);
    assert.doesNotMatch(stdout, /hooks\.example/);
  });

  it('says of a run of which every record was refused why that is', async () => {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const { id } = (await response.json()) as Run;
    await api.refuseRecords(id, ['SchemaMismatch', 'TestOrder', 'SchemaMismatch']);
    for (const command of ['get', 'watch'])
      assert.match(
        (await start('alice', 'runs', command, id).ended).stdout,
        /3 of 3 records were rejected: SchemaMismatch 2, TestOrder 1\n.*waybill\.dead_letter/,
        command,
      );
  });

  it('shows one by its id, or by that of its run, and rows where that is allowed', async () => {
    const { id, run, digest } = await wait();
    const rows = [{ id: 'a', n: '1' }];
    const bytes = Buffer.from(JSON.stringify(rows));
    const sample = { digest: await api.ports.objects.put({ tenant: 'acme', runId: run }, bytes), rows: 1 };
    await api.rows('UPDATE waybill.approval SET sample = $2 WHERE id = $1', [id, JSON.stringify(sample)]);
    const { stdout } = await waybill('bob', 'get', run, '--sample');
    assert.match(stdout, new RegExp(`^${id}\n +state +pending\n`));
    for (const line of [
      /read +10 = passed 8 \+ filtered +0 \+ rejected 2/,
      /rows +5 added, 2 changed, 1 unchanged, 0 deduplicated/,
      /rejected +TooShort 2/,
      /by +data-steward; 0 of 1 has approved/,
      new RegExp(`digest +${digest}`),
      /\n {2}id {2}n\n {2}a {3}1\n$/,
    ])
      assert.match(stdout, line);
    assert.deepEqual((await printed<{ sample: unknown }>(0, 'bob', 'get', id, '--sample')).sample, rows);
    assert.equal(await codeOf(3, 'alice', 'get', id, '--sample'), 'Forbidden');
    assert.equal((await printed<ApprovalDetail>(0, 'alice', 'get', id)).digest, digest);
  });

  it('asks nothing without a terminal: the decision must be in the options', async () => {
    const { id, digest } = await wait();
    for (const vote of ['approve', 'reject']) {
      const { code, stderr } = await waybill('bob', vote, id);
      assert.equal(code, 2);
      assert.match(stderr, /--digest .* --yes/);
    }
    assert.equal(await codeOf(1, 'bob', 'approve', id, '--digest', '0'.repeat(64)), 'ApprovalChanged');
    const decided = await printed<Decision>(0, 'bob', 'approve', id, '--digest', digest, '--comment', 'fine');
    assert.deepEqual([decided.decision, decided.comment, decided.counted], ['approve', 'fine', null]);
    assert.equal(
      (await printed<Decision>(0, 'bob', 'approve', id, '--yes', '--comment', 'fine')).id,
      decided.id,
    );
    assert.equal(await codeOf(3, 'bob', 'reject', id, '--yes'), 'ApproverHasDecided');
  });

  it('asks the user at a terminal, and decides only after a yes', async (t) => {
    if (spawnSync('script', ['--version']).status !== 0)
      return t.skip('there is no script(1) to be a terminal');
    const { id, digest } = await wait();
    const command = [process.execPath, 'cli/bin.js', 'approvals', 'approve', id].join(' ');
    for (const [answer, code, decisions] of [
      ['n\n', 1, 0],
      ['\n', 1, 0],
      ['\x03', 1, 0],
      ['\x04', 1, 0],
      ['y\n', 0, 1],
    ] as const) {
      const terminal = startCommand('script', ['-qec', command, '/dev/null'], {
        WAYBILL_API_URL: api.url,
        WAYBILL_TOKEN: of.bob,
      });
      await terminal.says(new RegExp(`${digest}[\\s\\S]*Do you approve this\\? \\[y/N\\]`));
      terminal.child.stdin!.write(answer);
      assert.equal((await terminal.ended).code, code, terminal.so.stdout);
      const made = await api.rows('SELECT FROM waybill.decision WHERE approval_id = $1', [id]);
      assert.equal(made.length, decisions, JSON.stringify(answer));
    }
  });

  it('shows what is decided before it is, and only then', async () => {
    const { id, run, digest } = await wait();
    const { code, stdout, stderr } = await waybill('bob', 'reject', run, '--yes');
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`digest +${digest}`));
    assert.match(stdout, /^Rejected \(dec_\S+\)\. It is signed and on its way to the run\./);
    assert.match(
      (await waybill('bob', 'get', id)).stdout,
      /✗ bob decided to reject .*, on its way to the run/,
    );
  });

  it('is denied to the requester of the run', async () => {
    const { id } = await wait({ by: ['data-engineer'] });
    assert.equal(await codeOf(3, 'alice', 'approve', id, '--yes'), 'ApproverIsRequester');
    assert.equal(await codeOf(3, 'alice', 'approve', 'apr_none', '--yes'), 'ApprovalNotFound');
    assert.equal(await codeOf(3, 'bob', 'approve', 'few-none', '--yes'), 'RunNotFound');
  });

  it('fills in a form by what its schema asks for', async () => {
    const schema = z.strictObject({ ticket: z.string(), rows: z.number() });
    const { id } = await wait({ form: z.toJSONSchema(schema, { io: 'input' }) });
    assert.match((await waybill('bob', 'get', id)).stdout, /form +rows \(number\), ticket \(string\)/);
    assert.equal(await codeOf(1, 'bob', 'approve', id, '--yes', '--form', 'ticket=T-1'), 'FormInvalid');
    const decided = await printed<Decision>(
      0,
      'bob',
      'approve',
      id,
      '--yes',
      '--form',
      'ticket=1',
      '--form',
      'rows=2',
    );
    assert.deepEqual(decided.form, { ticket: '1', rows: 2 });
  });

  it('waits, when asked to, until the run has counted the decision or refused it', async () => {
    for (const [refused, code, says] of [
      [null, 0, /^Approved .* The run has counted it\./],
      ['Forbidden', 3, /^The run does not count it: Forbidden\.\n$/],
    ] as const) {
      const { id } = await wait();
      const command = start('bob', 'approvals', 'approve', id, '--yes', '--wait');
      // As a worker would, once the relay has brought the decision.
      let counted = 0;
      while (counted === 0)
        counted = (
          await api.rows(
            `UPDATE waybill.decision SET counted = $2::text IS NULL, refused = $2 WHERE approval_id = $1 RETURNING id`,
            [id, refused],
          )
        ).length;
      const ended = await command.ended;
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stdout, says);
    }
  });

  it('ends with 5 where the digest is not that of what is shown', async () => {
    const { id, digest } = await wait();
    await api.rows(
      `UPDATE waybill.approval SET shown = jsonb_set(shown, '{changes,changed}', '0') WHERE id = $1`,
      [id],
    );
    assert.equal(await codeOf(5, 'bob', 'get', id), 'ApprovalTampered');
    assert.equal(await codeOf(5, 'bob', 'approve', id, '--yes'), 'ApprovalTampered');
    assert.equal(await codeOf(5, 'bob', 'approve', id, '--digest', digest), 'ApprovalTampered');
    assert.deepEqual(await api.rows('SELECT FROM waybill.decision WHERE approval_id = $1', [id]), []);
  });

  it('is what `runs watch` tells its user to do, also without a terminal', async () => {
    const { id, run } = await wait({ quorum: 2 });
    const watch = start('alice', 'runs', 'watch', run);
    const [said] = await watch.says(
      /Waits until .* for approval by data-steward, 0 of 2 so far\..*\n.*approve apr_\S+/,
    );
    assert.ok(said.endsWith(id));
    await api.rows(`UPDATE waybill.run SET state = 'suspended', reason = $2 WHERE id = $1`, [
      run,
      JSON.stringify({ code: 'GrantRevoked', message: 'The right is withdrawn.' }),
    ]);
    await api.rows(`SELECT pg_notify('waybill_run', $1)`, [run]);
    await watch.says(/Suspended: GrantRevoked: The right is withdrawn\./);
    await api.rows(
      `UPDATE waybill.run SET state = 'cancelled', ended_at = now(), reason = $2 WHERE id = $1`,
      [run, JSON.stringify({ code: 'ApprovalRejected', message: 'No.' })],
    );
    await api.rows(`SELECT pg_notify('waybill_run', $1)`, [run]);
    const { code, stdout } = await watch.ended;
    assert.equal(code, 4);
    assert.match(stdout, /cancelled after .*: ApprovalRejected/);
  });
});
