import { CliError } from '../../cli/context.ts';
import { count } from '../../cli/output/quantities.ts';
import { approvalOf } from '../../cli/output/runText.ts';
import type { ApprovalDetail, Run, WaybillClient } from '../../sdk/client.ts';
import { followUntil, rejectionCodeOf } from './followUntil.ts';

/** How a run was approved. */
export interface Approved {
  approval: string;
  /** The code with which the requester’s own decision was rejected; `undefined` if it was not. */
  byRequester: string | undefined;
  /** The signed decision of the other person. */
  decision: string;
  ended: Run;
}

/**
 * Waits until the run awaits approval, has its requester try to approve it, then has `steward` look at what it would do
 * and approve exactly that. Reports each step to `say`.
 */
export async function approve(
  requester: WaybillClient,
  steward: WaybillClient,
  runId: string,
  say: (line: string) => void,
): Promise<Approved> {
  const run = await followUntil(requester, runId, ({ state }) => state === 'awaiting-approval');
  const id = approvalOf(run);
  if (id === undefined) throw new CliError(`${runId} ended without an approval.`);
  const approval = await steward.getApproval(id);
  say(
    `All of it is read and checked, and no row is visible yet: the run waits for a ${approval.by.join(' or ')}.`,
  );
  const { digest } = approval;
  const byRequester = await rejectionCodeOf(requester.decide(id, { decision: 'approve', digest }));
  say(`alice tries to approve it herself: ${byRequester ?? 'and may'}.`);
  const { rows } = await steward.approvalSample(id);
  for (const line of shownLines(approval, rows.length)) say(line);
  const { id: decision } = await steward.decide(id, { decision: 'approve', digest, comment: 'waybill demo' });
  say(`bob approves (${decision}): signed, over the digest ${digest.slice(0, 12)}… of what he was shown.`);
  return { approval: id, byRequester, decision, ended: await followUntil(requester, runId, () => false) };
}

function shownLines({ changes }: ApprovalDetail, sampled: number): string[] {
  const { added, changed, unchanged } = changes!;
  const would = `${count(added)} rows would be added, ${count(changed)} changed, ${count(unchanged)} are there already`;
  return [
    `bob finds it in his inbox (npx waybill approvals --as bob): ${would}; he looks at ${sampled} of them.`,
  ];
}
