import { hasEnded } from '../domain/runs/run.ts';
import type { Approval, Rejections, Run, WaybillClient } from '../sdk/client.ts';
import { asOption, type GlobalOptions } from './connect.ts';
import { CliError, exitCode } from './context.ts';
import { people } from './embedded/people.ts';
import { approvedBy } from './output/approvalText.ts';
import { openProgress } from './output/progress.ts';
import { count, localTime } from './output/quantities.ts';
import { approvalOf, endLines } from './output/runText.ts';
import { plain, printResult, tell } from './output/terminal.ts';

interface FollowOptions {
  /** Is told of every change. */
  onChange?: (run: Run) => void;
  indent?: string;
  /** The person of the embedded stack who watches: other people of it may have something to do. */
  as?: string | undefined;
}

/**
 * Shows on standard error how far a run is, until it has ended, and what it waits for. Ctrl-C ends the watching and not the run,
 * which is said, with exit code 6.
 */
export async function followToEnd(
  client: WaybillClient,
  id: string,
  { onChange = () => {}, indent = '', as }: FollowOptions = {},
): Promise<Run> {
  const left = new AbortController();
  const leave = () => left.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave);
  const progress = openProgress(process.stderr, indent);
  let waited: string | undefined;
  try {
    for await (const run of client.followRun(id, { signal: left.signal })) {
      onChange(run);
      if (hasEnded(run.state)) return run;
      const waits = `${run.state} ${run.links.approval ?? run.reason?.code}`;
      if (waits !== waited) for (const line of await waitingLines(client, run, as)) progress.say(line);
      waited = waits;
      progress.show(progressText(run));
    }
    throw left.signal.reason;
  } catch (error) {
    if (left.signal.aborted)
      throw new CliError(
        `${id} goes on. npx waybill runs watch ${id}${asOption({ as })} shows it again.`,
        'incomplete',
      );
    throw error;
  } finally {
    progress.end();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, leave);
  }
}

/** Why records of a run were refused, where some were; what became of it is known without that too. */
export async function refusalsOf(client: WaybillClient, run: Run): Promise<Rejections | undefined> {
  return run.counts.rejected > 0 ? client.countRejections(run.id).catch(() => undefined) : undefined;
}

/** The command that waits for a run fails if the run does. */
export function exitCodeOf(run: Run): number {
  return run.state === 'completed' ? exitCode.fine : exitCode.runFailed;
}

/** Why nothing happens, and what would help: said once, with and without a terminal. */
async function waitingLines(client: WaybillClient, run: Run, as: string | undefined): Promise<string[]> {
  const { id, state, reason } = run;
  if (state === 'suspended')
    return [
      `Suspended: ${reason ? plain(`${reason.code}: ${reason.message}`) : 'its requester may not go on.'}`,
    ];
  const waitsFor = approvalOf(run);
  if (waitsFor === undefined) return [];
  // An error here costs a line about the approval, not the command.
  const approval = await client.getApproval(waitsFor).catch(() => undefined);
  if (!approval) return [`Waits for an approval: npx waybill approvals get ${id}${asOption({ as })}`];
  const { by, quorum, expiresAt } = approval;
  const more = quorum > 1 ? `, ${approvedBy(approval)} of ${quorum} so far` : '';
  return [
    `Waits until ${localTime(expiresAt)} for approval by ${plain(by.join(' or '))}${more}. The requester cannot decide:`,
    `  npx waybill approvals approve ${approval.id}${as === undefined ? '' : asOther(approval)}`,
  ];
}

/** The first person of the embedded stack who may decide. */
function asOther({ by, tenant, requestedBy }: Approval): string {
  const other = Object.entries(people).find(
    ([, one]) =>
      one.tenant === tenant &&
      !one.act &&
      one.subject !== requestedBy.subject &&
      one.roles.some((role) => by.includes(role)),
  );
  return other ? ` --as ${other[0]}` : '';
}

const waiting: Partial<Record<Run['state'], string>> = {
  accepted: 'accepted; waiting for a worker',
  'awaiting-approval': 'waiting for an approval',
  suspended: 'suspended until its requester may go on',
};

function progressText({
  state,
  counts: { read, passed, stored, unchanged, deduplicated, rejected },
}: Run): string {
  const done = stored + unchanged + deduplicated;
  const parts = [
    `read ${count(read)}`,
    ...(done > 0 || passed > 0 ? [`passed ${count(passed)}`, `stored ${count(done)}`] : []),
    ...(rejected > 0 ? [`rejected ${count(rejected)}`] : []),
  ];
  return `${waiting[state] ?? state}${read > 0 ? `: ${parts.join(', ')}` : ''}`;
}

/** `--wait` of whatever begins a run: follows it to its end and shows that, with the exit code that says how it ended. */
export async function waitForEnd(
  client: WaybillClient,
  accepted: Run,
  { json, as }: GlobalOptions,
): Promise<void> {
  tell(`Accepted as ${accepted.id}.`);
  const run = await followToEnd(client, accepted.id, { as });
  const rejections = await refusalsOf(client, run);
  printResult(json, run, () => endLines(run, rejections));
  process.exitCode = exitCodeOf(run);
}
