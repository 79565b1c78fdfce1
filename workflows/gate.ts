import { condition, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/processApprovalTimers.ts';
import { suspends } from '../domain/grants/attemptRejection.ts';
import { addCounts } from '../domain/runs/run.ts';
import type { Interruption } from './batchScheduler.ts';
import { describeProgress } from './details.ts';
import { invalidResult, reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';
import { approvalCheckMaxMs } from './timeouts.ts';

/** An approver rejected the run, or the approval expired. */
export type Rejected = { cause: 'rejected'; code: 'ApprovalRejected' | 'ApprovalExpired' };

type Outcome = { cause: 'passed' } | Rejected | Interruption;

/**
 * Lifecycle of a gate: `gate` requests approval, then the run sleeps, without a slot, a connection or an activity, until a decision or
 * the next due time: a reminder, an escalation, the expiry. Only `gate`, `decide` and `processApprovalTimers` report the approval’s state,
 * from its record and the clock of the database. The steps behind the gate check again, so this workflow code cannot approve a run.
 */
export function passGate(input: RunInput, cursor: Cursor): Promise<Outcome> {
  const steps = stepsOf(input);
  return untilRevoked(async () => {
    if (!cursor.approval) updateApproval(input, cursor, await steps.gate({ after: 0 }));
    // After continue-as-new the due time in the cursor is stale.
    else if (cursor.approval.state === 'pending')
      updateApproval(input, cursor, await steps.processApprovalTimers());
    return untilDecided(input, cursor);
  });
}

/** Publishes all rows, and requests approval again whenever the approved preview is stale. */
export function publish(input: RunInput, cursor: Cursor): Promise<Outcome> {
  const steps = stepsOf(input);
  return untilRevoked(async () => {
    for (;;) {
      const published = await steps.publish();
      if (published.outcome === 'published') {
        cursor.stored = cursor.received;
        cursor.counts = addCounts(cursor.counts, published.counts);
        return { cause: 'passed' };
      }
      updateApproval(input, cursor, await steps.gate({ after: cursor.approval!.round }));
      const outcome = await untilDecided(input, cursor);
      if (outcome.cause !== 'passed') return outcome;
    }
  });
}

/** Several steps report the approval’s state, some late: an ended round stays ended, and a later round counts. */
export function updateApproval(input: RunInput, cursor: Cursor, approval: ApprovalStatus | null): void {
  const before = cursor.approval;
  if (!approval || (before && !follows(approval, before))) return;
  cursor.approval = approval;
  // The end of the run reports itself.
  if (approval.state === 'cancelled') return;
  if (approval.state !== before?.state || approval.round !== before.round)
    upsertSearchAttributes({
      WaybillState: [approval.state === 'pending' ? 'awaiting-approval' : 'running'],
    });
  setCurrentDetails(describeProgress(input, cursor));
}

function follows(approval: ApprovalStatus, before: ApprovalStatus): boolean {
  return approval.round > before.round || (approval.round === before.round && before.state === 'pending');
}

async function untilDecided(input: RunInput, cursor: Cursor): Promise<Outcome> {
  for (;;) {
    const standing = cursor.approval!;
    if (standing.state === 'rejected') return { cause: 'rejected', code: 'ApprovalRejected' };
    if (standing.state === 'expired') return { cause: 'rejected', code: 'ApprovalExpired' };
    if (standing.state !== 'pending') return { cause: 'passed' };
    if (isHistoryLong()) return { cause: 'history' };
    const heard = () => cursor.approval !== standing;
    const waitMs = Math.min(Number(standing.dueInMs) || 0, approvalCheckMaxMs);
    if (waitMs > 0 && (await condition(heard, waitMs))) continue;
    const status = await stepsOf(input).processApprovalTimers();
    if (!status) throw invalidResult('gate');
    updateApproval(input, cursor, status);
  }
}

async function untilRevoked(work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    const reason = reasonOf(error);
    if (!suspends(reason.code)) throw error;
    return { cause: 'revoked', reason };
  }
}
