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
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block!);

describe('docs/approvals.md', () => {
  let project: string;
  let module: string;
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
    const [, name, text] = /```ts\n\/\/ (\S+)\n([\s\S]*?)```/.exec(page)!;
    module = join(project, name!);
    await mkdir(dirname(module));
    await writeFile(module, text!);
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
    const program = ts.createProgram([module], options);
    const wrong = program.getSemanticDiagnostics(program.getSourceFile(module));
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
