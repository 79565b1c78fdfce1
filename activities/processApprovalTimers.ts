import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { StandingApproval } from '../domain/ports/approvals.ts';
import { breachedRules } from '../domain/quality/quality.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, runOf } from './run.ts';

/** Sends due reminders, escalates or expires the approval of the run, by the clock of the database. The timer is the actor: no principal. */
export async function processApprovalTimersStep(deps: Dependencies): Promise<ApprovalStatus | null> {
  const run = await runOf(deps);
  const approval = await deps.approvals.processTimers(run, (action, detail) => ({
    ...audited(deps, action, detail),
    actor: null,
  }));
  return approval ? approvalStatusOf(approval) : null;
}

/** An approval as its workflow sees it: enough to wait, and to show what it waits for. */
export interface ApprovalStatus {
  id: string;
  /** Counts from 1. */
  round: number;
  state: ApprovalState;
  by: readonly string[];
  quorum: number;
  /** RFC 3339 */
  expiresAt: string;
  /** Until the next reminder, escalation or expiry; 0 once the approval has ended. */
  dueInMs: number;
  /** Names of the quality rules that the rows break. */
  breached?: string[];
}

export function approvalStatusOf(approval: StandingApproval): ApprovalStatus {
  const { id, round, state, by, terms, expiresAt, dueInMs, shown } = approval;
  const breached = shown.quality ? breachedRules(shown.quality) : [];
  return {
    ...{ id, round, state, by, quorum: terms.quorum, expiresAt, dueInMs },
    ...(breached.length > 0 && { breached }),
  };
}
