import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { StandingApproval } from '../domain/ports/approvals.ts';

/** An approval as its workflow knows it: enough to wait, and to say for whom. */
export interface ApprovalStatus {
  id: string;
  /** Counts from 1. */
  round: number;
  state: ApprovalState;
  by: readonly string[];
  quorum: number;
  /** RFC 3339 */
  expiresAt: string;
  /** Until it is worth asking what time has brought; 0 once it has ended. */
  dueInMs: number;
}

export function approvalStatusOf({
  id,
  round,
  state,
  by,
  terms,
  expiresAt,
  dueInMs,
}: StandingApproval): ApprovalStatus {
  return { id, round, state, by, quorum: terms.quorum, expiresAt, dueInMs };
}
