import type { Approval, ApprovalManifest, ApprovalState, RecordedDecision, Shown } from '../approval.ts';
import type { AuditEvent } from '../audit.ts';
import type { DecisionClaims } from '../decision.ts';
import type { Run } from '../run.ts';
import type { RunFacts } from './progress.ts';

/** What the API asks of approvals. All of it throws `DatabaseUnavailable`. */
export interface Approvals {
  find(tenant: string, id: string): Promise<ShownApproval | undefined>;
  /** Newest first. `cursor` is what `nextCursor` of the page before said. */
  list(
    tenant: string,
    filter: {
      state?: ApprovalState;
      runId?: string;
      /** Of runs that this principal asked for, or somebody for them. */
      requestedBy?: string;
      /** That this principal has decided on. */
      decidedBy?: string;
      limit: number;
      cursor?: string;
    },
  ): Promise<{ items: ShownApproval[]; nextCursor: string | null }>;
  /**
   * One transaction: the signed decision, its audit event, and the outbox entry by which the relay carries it to the run. Throws
   * `ApprovalEnded` where it is not pending any more, `ApprovalChanged` where the digest is another by now, and `ApproverHasDecided`.
   */
  submit(decision: Submission, audit: AuditEvent): Promise<RecordedDecision>;
  /** A decision as it was signed. */
  findSigned(tenant: string, decision: string): Promise<string>;
}

/** An approval and its run, by which the policy decides who may see it. */
export interface ShownApproval {
  approval: Approval;
  run: Run;
}

export interface Submission {
  tenant: string;
  approval: string;
  runId: string;
  digest: string;
  decision: Omit<RecordedDecision, 'at' | 'counted'>;
  jws: string;
}

/** What the steps of a run ask of its gate. All of it throws `DatabaseUnavailable`. */
export interface Gates {
  /** The newest approval of the run at that gate; `undefined` where it was never asked. */
  find(run: RunFacts): Promise<StandingApproval | undefined>;
  /**
   * Asks: one transaction records the approval, the run as `awaiting-approval`, the audit event and what is to be told. One that is
   * pending with another digest becomes `void` in it. The same digest again changes nothing. Throws `RunEnded`.
   */
  open(run: RunFacts, asked: Asked, audit: AuditEvent): Promise<StandingApproval>;
  /**
   * Counts a verified decision, once however often it comes, and ends the approval where it suffices; all in one transaction
   * that holds the approval, so that there is exactly one outcome. `refused`: a code; then it counts for nothing.
   */
  decide(
    run: RunFacts,
    decision: { claims: DecisionClaims; jws: string; comment: string | null; refused?: string },
    audit: AuditEvent,
  ): Promise<StandingApproval>;
  /** What time has brought by the clock of the database: a reminder, an escalation, the end. Early, it changes nothing. */
  lapse(
    run: RunFacts,
    audit: (what: 'reminded' | 'escalated' | 'expired') => AuditEvent,
  ): Promise<StandingApproval>;
}

export interface Asked {
  shown: Shown;
  digest: string;
  terms: ApprovalManifest;
  sample: { digest: string; rows: number } | null;
  /** Not asked at all: `when` said so. */
  waived: boolean;
}

/** An approval as its run waits for it. */
export interface StandingApproval {
  id: string;
  state: ApprovalState;
  digest: string;
  shown: Shown;
  terms: ApprovalManifest;
  decisions: readonly (RecordedDecision & { jws: string })[];
  /** Until the next of its times: a reminder, an escalation or the end; 0 once it has ended. */
  dueInMs: number;
}
