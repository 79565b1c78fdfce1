import { type Command, Option } from 'commander';
import { approvalStates } from '../../domain/approvals/approval.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { hasEnded } from '../../domain/runs/run.ts';
import { sha256 } from '../../domain/sha256.ts';
import {
  type Approval,
  type ApprovalDetail,
  type ApprovalFilter,
  type Decision,
  ProblemError,
  type Sample,
  type WaybillClient,
} from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError, exitCode } from '../context.ts';
import { paged } from '../options.ts';
import { approvalLines, approvalTable } from '../output/approvalText.ts';
import { approvalOf } from '../output/runText.ts';
import { pageLines } from '../output/table.ts';
import { canAsk, confirmed, printResult, tell } from '../output/terminal.ts';
import { rawParameters, typedParameters } from '../parameters.ts';

/** `waybill approvals [list|get|approve|reject]` */
export const addApprovals: AddCommand = (program, context) => {
  const approvals = program.command('approvals').description('list, show and decide approvals');

  const list = approvals
    .command('list', { isDefault: true })
    .description('list the approvals that wait for you, newest first')
    .addOption(
      new Option('--view <view>', 'what you may decide, of your own runs, what you have decided, or all')
        .choices(['to-decide', 'mine', 'decided', 'all'])
        .default('to-decide'),
    )
    .addOption(new Option('--state <state>', 'only approvals in this state').choices(approvalStates))
    .option('--run <id>', 'only approvals of this run');
  paged(list).action(async ({ view, ...filter }: ListOptions, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listApprovals(view === 'all' ? filter : { ...filter, view });
    const nothing = view === 'to-decide' ? 'Nothing waits for you.' : 'There are no such approvals.';
    printResult(options.json, page, () => pageLines(page, approvalTable, nothing));
  });

  byId(approvals, 'get', 'show one approval')
    .option('--sample', 'also show sample rows, if you may see values; each look is audited')
    .action(async (id: string, given: { sample?: true }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const approval = await find(client, id);
      const sample = given.sample && (await client.approvalSample(approval.id));
      printResult(options.json, { ...approval, ...(sample && { sample: sample.rows }) }, () =>
        approvalLines(approval, sample, Date.now()),
      );
    });

  for (const vote of ['approve', 'reject'] as const) {
    byId(approvals, vote, `${vote} what is shown, in your own name`)
      .option('--comment <text>', 'the reason; signed with the decision')
      .option('--form <name=value>', 'a field of the form; may be repeated', collect)
      .option(
        '--digest <digest>',
        'the digest that you were shown; if the data has changed, nothing is decided',
      )
      .option('--yes', 'do not ask; decide on what is shown now')
      .option('--wait', 'wait until the run has counted the decision; exit code 3 if it does not')
      .action((id: string, _, command: Command) => decide(vote, id, command.optsWithGlobals(), context));
  }
};

interface ListOptions extends Omit<ApprovalFilter, 'view'> {
  view: NonNullable<ApprovalFilter['view']> | 'all';
}

interface DecideOptions extends GlobalOptions {
  comment?: string;
  form?: string[];
  digest?: string;
  yes?: boolean;
  wait?: boolean;
}

/** A decision names the digest of what was shown. Without `--digest` the command reads and shows it first. */
async function decide(vote: Vote, id: string, options: DecideOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const raw = rawParameters(options.form ?? [], '--form');
  const asks = options.digest === undefined && !options.yes;
  if (asks && !canAsk(options.json))
    throw new CliError(
      'There is no terminal to ask on. Add --digest with what you were shown, or --yes for what is shown now.',
      'usage',
    );
  const named = options.digest !== undefined && !options.form && id.startsWith('apr_');
  const approval = named ? undefined : await find(client, id);
  if (approval && options.digest === undefined) await show(client, approval, asks);
  if (asks && !(await confirmed(`Do you ${vote} this?`))) throw new CliError('Nothing was decided.');
  const approvalId = approval?.id ?? id;
  const decision = await client.decide(approvalId, {
    decision: vote,
    digest: options.digest ?? approval!.digest,
    ...(options.comment !== undefined && { comment: options.comment }),
    ...(options.form && { form: typedParameters(raw, approval?.form ?? {}) }),
  });
  const after = options.wait ? await untilCounted(client, approvalId, decision) : decision;
  printResult(options.json, after, () => decidedLines(after, approvalId, options));
  if (after.code !== null) process.exitCode = exitCode.denied;
}

type Vote = Decision['decision'];

/** By its own id, or by that of the run that waits. The digest must be that of what is shown. */
async function find(client: WaybillClient, id: string): Promise<ApprovalDetail> {
  const approval = await client.getApproval(id.startsWith('apr_') ? id : await askedOf(client, id));
  if (sha256(Buffer.from(canonicalJson(approval.shown))) === approval.digest) return approval;
  throw new CliError(`The digest of ${approval.id} is not that of what it shows.`, 'tampered');
}

/** Of the run what it waits for, or else what was asked about it last. */
async function askedOf(client: WaybillClient, runId: string): Promise<string> {
  const run = await client.getRun(runId);
  const id = approvalOf(run) ?? (await client.listApprovals({ run: run.id, limit: 1 })).items[0]?.id;
  if (id !== undefined) return id;
  if (!run.gate) throw new CliError(`${run.id} waits for no approval: its pipeline has no gate.`);
  if (hasEnded(run.state)) throw new CliError(`${run.id} is ${run.state}; no approval was requested.`);
  throw new CliError(
    `No approval is requested yet: ${run.id} is ${run.state} and comes to its gate before ${run.gate}. npx waybill runs watch ${run.id} says when.`,
  );
}

/** On standard error, since the answer is what was decided. Rows are for a person who looks, and not for a log. */
async function show(client: WaybillClient, approval: ApprovalDetail, asks: boolean): Promise<void> {
  const sample = asks && approval.links.sample ? await sampleIfAllowed(client, approval) : undefined;
  for (const line of approvalLines(approval, sample, Date.now())) tell(line);
}

async function sampleIfAllowed(client: WaybillClient, { id }: Approval): Promise<Sample | undefined> {
  return client.approvalSample(id).catch((error) => {
    if (error instanceof ProblemError && error.status < 500) return undefined;
    throw error;
  });
}

const lookEveryMs = 250;
const waitMaxMs = 60_000;

async function untilCounted(client: WaybillClient, id: string, decision: Decision): Promise<Decision> {
  const start = performance.now();
  for (;;) {
    const { decisions } = await client.getApproval(id);
    const now = decisions.find((one) => one.id === decision.id);
    if (now && now.counted !== null) return now;
    if (performance.now() - start > waitMaxMs)
      throw new CliError(`${decision.id} is recorded, and still on its way to the run.`, 'incomplete');
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

function decidedLines(
  { id, decision, counted, code }: Decision,
  approvalId: string,
  options: GlobalOptions,
): string[] {
  if (code !== null) return [`The run does not count it: ${code}.`];
  const what = decision === 'approve' ? 'Approved' : 'Rejected';
  const where = counted ? 'The run has counted it.' : 'It is signed and on its way to the run.';
  return [
    `${what} (${id}). ${where} npx waybill approvals get ${approvalId}${asOption(options)} shows its state.`,
  ];
}

function byId(approvals: Command, name: string, description: string): Command {
  return approvals
    .command(name)
    .description(description)
    .argument('<id>', 'the id of the approval, or of the run that waits');
}

function collect(one: string, all: string[] = []): string[] {
  return [...all, one];
}
