import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import ts from 'typescript';
import { errors } from '../../../domain/errors.ts';
import type { ApprovalDetail, Run } from '../../../sdk/client.ts';
import { type Ended, startCommand } from '../../cli/waybillProcess.ts';
import { type DevStack, startDevStack } from '../../support/devStack.ts';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const page = readFileSync('docs/approvals.md', 'utf8');
const qualityPage = readFileSync('docs/quality.md', 'utf8');
const blocks = (language: string, of = page) =>
  [...of.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block!);

/** Completes although a rule is breached. */
const sightings = `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

export default definePipeline({
  id: 'sightings',
  source: inline(),
  input: z.strictObject({ id: z.string(), bird: z.string().nullable() }),
  sink: postgres({ table: 'sightings', key: ['id'] }),
  quality: { rules: [{ kind: 'complete', column: 'bird' }], onBreach: 'warn' },
});
`;

describe('docs/approvals.md and docs/quality.md', () => {
  let project: string;
  const modules: string[] = [];
  let stack: DevStack;
  let database: pg.Client;
  let bob: Awaited<ReturnType<DevStack['as']>>;

  before(async () => {
    project = await mkdtemp(join(tmpdir(), 'waybill-approvals-doc-'));
    await mkdir(join(project, 'node_modules'));
    await writeFile(join(project, 'package.json'), '{ "type": "module" }');
    await symlink(repository, join(project, 'node_modules/waybill'));
    for (const name of ['zod', '@temporalio'])
      await symlink(join(repository, 'node_modules', name), join(project, 'node_modules', name));
    for (const [, name, text] of (page + qualityPage).matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) {
      const module = join(project, name!);
      await mkdir(dirname(module), { recursive: true });
      await writeFile(module, text!);
      modules.push(module);
    }
    await writeFile(join(project, 'pipelines/sightings.ts'), sightings);
    const [, policies] = /`(policies\/\S+\.cedar)`/.exec(page)!;
    await mkdir(join(project, dirname(policies!)));
    await writeFile(join(project, policies!), blocks('cedar')[0]!);
    await writeFile(join(project, 'decide.mjs'), blocks('js')[0]!);
    stack = await startDevStack({ project, workers: 1 });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    bob = await stack.as('bob');
  });
  after(async () => {
    await database?.end();
    await stack?.stop();
    await rm(project, { recursive: true });
  });

  /** As it stands in the page, in the folder of the project. */
  async function shell(text: string, env: Record<string, string> = {}): Promise<Ended> {
    const npx = `npx() { shift; "${process.execPath}" "${repository}cli/bin.js" "$@"; }`;
    return startCommand('sh', ['-e', '-c', `${npx}\n${text}`], { WAYBILL_HOME: stack.home, ...env }, project)
      .ended;
  }

  async function works(text: string, env: Record<string, string> = {}): Promise<string> {
    const { code, stdout, stderr } = await shell(text, env);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  const runOf = async (id: string) => (await (await bob(`/v1/runs/${id}`)).json()) as Run;
  const reached = async (id: string, state: Run['state']) => {
    let run = await runOf(id);
    while (run.state !== state) {
      assert.ok(!run.endedAt, JSON.stringify(run));
      await new Promise((resolve) => setTimeout(resolve, 50));
      run = await runOf(id);
    }
    return run;
  };

  /** The run of another payout, once it waits, as bob would find it. */
  async function another(payoutId: string) {
    const trigger = blocks('sh')[0]!.replace('P-1', payoutId);
    const [, id] = /Accepted as (\S+)\./.exec(await works(trigger))!;
    const { links } = await reached(id!, 'awaiting-approval');
    const approval = (await (
      await bob(new URL(links.approval!, stack.info().apiUrl).pathname)
    ).json()) as ApprovalDetail;
    const { token } = JSON.parse(await works('npx waybill token --as bob --json')) as { token: string };
    return {
      RUN: id!,
      APPROVAL: approval.id,
      DIGEST: approval.digest,
      TOKEN: token,
      WAYBILL_URL: stack.info().apiUrl,
      TEMPORAL_ADDRESS: stack.info().temporalAddress,
    };
  }

  it('compiles', () => {
    const { config } = ts.readConfigFile(join(repository, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository);
    const program = ts.createProgram(modules, options);
    const wrong = modules.flatMap((module) => program.getSemanticDiagnostics(program.getSourceFile(module)));
    assert.deepEqual(
      wrong.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
      [],
    );
  });

  it('names codes that there are', () => {
    const section = page.slice(page.indexOf('## Who may decide'), page.indexOf('## What is signed'));
    const named = [...section.matchAll(/^\| .*$/gm)].flatMap(([row]) => [...row.matchAll(/`([A-Z]\w+)`/g)]);
    assert.ok(named.length > 10);
    for (const [, code] of named) assert.ok(Object.hasOwn(errors, code!), code);
  });

  it('lets alice ask, bob approve, and alice not', async () => {
    const [, inbox, decide] = blocks('sh') as [string, string, string];
    const { RUN } = await another('P-1');
    const shown = await works(inbox, { RUN });
    assert.match(shown, /payouts +alice +data-steward +0 of 1 +1 /);
    assert.match(shown, /rows +1 added, 0 changed, 0 unchanged, 0 deduplicated/);
    assert.match(shown, /AT-7/);

    const [command, said] = blocks('text')[0]!.trimEnd().split('\n') as [string, string];
    const refused = await shell(command.slice('$ '.length), { RUN });
    assert.deepEqual([refused.code, refused.stderr.split('\n').at(-2)], [3, said]);
    assert.deepEqual((await database.query('SELECT FROM payouts')).rowCount, 0, 'nothing is seen before');

    const decided = await works(decide, { RUN });
    assert.match(decided, /^Approved \(dec_\S+\)\. The run has counted it\./);
    assert.match(decided, /✓ payouts-\S+ completed/);
    assert.equal((await database.query('SELECT FROM payouts')).rowCount, 1);
    assert.equal((await runOf(RUN)).counts.stored, 1);
  });

  it('need not wait for what would change nothing', async () => {
    const [, id] = /Accepted as (\S+)\./.exec(await works(blocks('sh')[0]!))!;
    const run = await reached(id!, 'completed');
    assert.equal(run.counts.unchanged, 1);
  });

  it('is rejected over HTTP', async () => {
    const all = await another('P-2');
    const said = await works(blocks('sh')[3]!, all);
    assert.match(said, /"decision":"reject"/);
    const run = await reached(all.RUN, 'cancelled');
    assert.equal(run.reason?.code, 'ApprovalRejected');
    assert.equal((await database.query('SELECT FROM payouts')).rowCount, 1);
  });

  it('may be brought by a signal too, and counts once', async () => {
    const all = await another('P-3');
    await works(`"${process.execPath}" decide.mjs`, all);
    await reached(all.RUN, 'completed');
    const { rows } = await database.query('SELECT counted FROM waybill.decision WHERE approval_id = $1', [
      all.APPROVAL,
    ]);
    assert.deepEqual(rows, [{ counted: true }]);
    const { rowCount } = await database.query(
      `SELECT FROM waybill.audit_event WHERE run_id = $1 AND action = 'decision.counted'`,
      [all.RUN],
    );
    assert.equal(rowCount, 1);
  });

  /** The ids of the runs that an output names, in its order. */
  const acceptedIn = (said: string) => [
    ...new Set(Array.from(said.matchAll(/(?:rates|shipments)-[0-9a-f-]{36}/g), ([id]) => id)),
  ];
  const qualityOf = async (id: string) => {
    const { state, rules } = (await runOf(id)).quality!;
    return [state, rules.filter((one) => one.state === 'breached').map(({ rule }) => rule)];
  };
  const rowsOf = async (table: string) => (await database.query(`SELECT FROM ${table}`)).rowCount;

  it('fails a run that breaks a rule, and stores nothing', async () => {
    const failed = await shell(blocks('sh', qualityPage)[0]!);
    assert.equal(failed.code, 4, failed.stderr);
    const [id] = acceptedIn(failed.stdout + failed.stderr) as [string];
    const { reason, state } = await runOf(id);
    assert.equal(state, 'failed');
    assert.equal(`${reason!.code}: ${reason!.message}`, blocks('text', qualityPage)[0]!.trimEnd());
    assert.deepEqual(await qualityOf(id), ['breached', ['maxRejected']]);
    assert.equal(await rowsOf('rates'), 0);
    const { rowCount } = await database.query('SELECT FROM waybill.dead_letter WHERE run_id = $1', [id]);
    assert.equal(rowCount, 1);
  });

  it('marks a run that breaks a rule, and stores its rows', async () => {
    const records = [{ id: 'a', bird: null }];
    await writeFile(join(project, 'sightings.json'), JSON.stringify({ records }));
    const alice = await stack.as('alice');
    const accepted = await alice('/v1/pipelines/sightings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records }),
    });
    const { id } = (await accepted.json()) as Run;
    await reached(id, 'completed');
    assert.deepEqual(await qualityOf(id), ['breached', ['complete:bird']]);
    assert.equal(await rowsOf('sightings'), 1);
  });

  it('holds a run that breaks a rule until those who may approve have seen the rule and decided', async () => {
    const [, trigger, decide, compare] = blocks('sh', qualityPage) as [string, string, string, string];
    const [passed, held] = acceptedIn(await works(trigger)) as [string, string];
    assert.deepEqual(await qualityOf(passed), ['passed', []]);
    await reached(held, 'awaiting-approval');
    assert.equal(await rowsOf('shipments'), 1);
    const approve = `npx waybill approvals approve $RUN --yes`;
    for (const [who, code] of [
      ['alice', 'ApproverIsRequester'],
      ['carol', 'ApproverLacksRole'],
    ]) {
      const refused = await shell(`${approve} --as ${who}`, { RUN: held });
      assert.deepEqual([refused.code, refused.stderr.includes(code!)], [3, true], refused.stderr);
    }
    const shown = await works(decide, { RUN: held });
    for (const line of blocks('text', qualityPage)[1]!.trimEnd().split('\n'))
      assert.ok(shown.includes(line), shown);
    await reached(held, 'completed');
    assert.equal(await rowsOf('shipments'), 2);

    const [, refused] = acceptedIn(await works(trigger.replaceAll('S-2', 'S-3'))) as [string, string];
    await reached(refused, 'awaiting-approval');
    await works('npx waybill approvals reject $RUN --yes --as bob', { RUN: refused });
    const { reason } = await reached(refused, 'cancelled');
    assert.equal(reason?.code, 'ApprovalRejected');
    assert.equal(await rowsOf('shipments'), 2);

    const table = await works(compare);
    for (const id of [passed, held, refused]) assert.ok(table.includes(id), table);
    assert.match(table, /complete:weight_kg/);
    assert.equal(blocks('sh', qualityPage).length, 4);
  });

  it('asks no role that its policy would deny', async () => {
    const said = await works('npx waybill policy test --json');
    assert.deepEqual((JSON.parse(said) as { powerless: object[] }).powerless, []);
    await rm(join(project, 'policies'), { recursive: true });
    assert.match(await works('npx waybill policy test'), /^! payouts asks "operator" to decide/m);
  });

  it('explains who may', async () => {
    assert.match(await works(blocks('sh')[4]!), /^Allowed: approve on another requester’s run of payouts/);
    assert.equal(blocks('sh').length, 5);
  });
});
