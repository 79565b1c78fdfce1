import { condition, setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/approvalStatus.ts';
import { suspends } from '../domain/grants/refusal.ts';
import { addCounts } from '../domain/runs/run.ts';
import type { Interruption } from './batchScheduler.ts';
import { describeProgress } from './details.ts';
import { reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

/** People have said no, or nothing in time. */
export type Declined = { cause: 'declined'; code: 'ApprovalRejected' | 'ApprovalExpired' };

type Outcome = { cause: 'passed' } | Declined | Interruption;

/**
 * Lifecycle of a gate: asked for by `gate`, then asleep, without a slot, a connection or an activity, until somebody has decided or
 * its next time has come: a reminder, an escalation, its end. How the approval stands only `gate`, `decide` and `lapse` say, by the
 * record of it and the clock of the database; and what comes after the gate asks again, so that nothing here can let a run through.
 */
export function passGate(input: RunInput, cursor: Cursor): Promise<Outcome> {
  const steps = stepsOf(input);
  return untilWithdrawn(async () => {
    if (!cursor.approval) noteApproval(input, cursor, await steps.gate({ after: 0 }));
    // In a history that continues another nobody knows how long ago its times were said.
    else if (cursor.approval.state === 'pending') noteApproval(input, cursor, await steps.lapse());
    return untilDecided(input, cursor);
  });
}

/** Publishes all rows, and asks anew as often as what was approved is not what would be published any more. */
export function publish(input: RunInput, cursor: Cursor): Promise<Outcome> {
  const steps = stepsOf(input);
  return untilWithdrawn(async () => {
    for (;;) {
      const published = await steps.publish();
      if (published.outcome === 'published') {
        cursor.stored = cursor.known;
        cursor.counts = addCounts(cursor.counts, published.counts);
        return { cause: 'passed' };
      }
      noteApproval(input, cursor, await steps.gate({ after: cursor.approval!.round }));
      const outcome = await untilDecided(input, cursor);
      if (outcome.cause !== 'passed') return outcome;
    }
  });
}

/** Several say how an approval stands, and may say it late: what has ended stays so, and a later round counts. */
export function noteApproval(input: RunInput, cursor: Cursor, approval: ApprovalStatus | null): void {
  const before = cursor.approval;
  if (!approval || (before && !follows(approval, before))) return;
  cursor.approval = approval;
  // Its run has ended, and says so.
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
    if (standing.state === 'rejected') return { cause: 'declined', code: 'ApprovalRejected' };
    if (standing.state === 'expired') return { cause: 'declined', code: 'ApprovalExpired' };
    if (standing.state !== 'pending') return { cause: 'passed' };
    if (isHistoryLong()) return { cause: 'history' };
    const heard = () => cursor.approval !== standing;
    const early = standing.dueInMs > 0 && (await condition(heard, standing.dueInMs));
    if (!early) noteApproval(input, cursor, await stepsOf(input).lapse());
  }
}

async function untilWithdrawn(work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    const reason = reasonOf(error);
    if (!suspends(reason.code)) throw error;
    return { cause: 'withdrawn', reason };
  }
}
