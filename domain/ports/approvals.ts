import type { Approval, ApprovalState, ApprovalSubject, RecordedDecision } from '../approvals/approval.ts';
import type { DecisionClaims } from '../approvals/decision.ts';
import type { ApprovalManifest } from '../approvals/gate.ts';
import type { AuditEvent } from '../audit.ts';
import type { Requester } from '../principal.ts';
import type { Run } from '../runs/run.ts';
import type { RunFacts } from '../runs/runFacts.ts';

/** What the API asks of approvals. All of it throws `DatabaseUnavailable`. */
export interface Approvals {
  find(tenant: string, id: string): Promise<ShownApproval | undefined>;
  /** Newest first. `cursor` is what `nextCursor` of the page before said. */
  list(
    tenant: string,
    filter: {
      state?: ApprovalState;
      /** Pending, and not past their deadline by the clock of the database: no approver can decide the others. */
      open?: boolean;
      runId?: string;
      /** Of runs that this principal requested, or an agent or a schedule for them. */
      requestedBy?: string;
      /** That this principal has decided on, whatever came of that. */
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

/**
 * What the steps of a run ask of its gate. Every change is one transaction that holds the run, so that an approval has exactly one
 * outcome, and commits with its audit events and with what is to be told. All of it throws `DatabaseUnavailable`.
 */
export interface RunApprovals {
  /** The newest approval of the run; `undefined` where it was never asked. */
  find(run: RunFacts): Promise<StandingApproval | undefined>;
  /**
   * Requests approval; the run becomes `awaiting-approval`. A standing approval of a later round than `after` with the same digest, or
   * one that was rejected or has expired, is the answer; any other becomes `void`. Throws `RunEnded`.
   */
  open(run: RunFacts, asked: Asked, audit: GateAudit): Promise<StandingApproval>;
  /**
   * Counts a verified decision, once however often it comes, and ends the approval where it suffices. `undefined`: the run has
   * no approval of that id.
   */
  decide(
    run: RunFacts,
    decision: DecisionMade,
    audit: GateAudit,
  ): Promise<{ counted: true | string; approval: StandingApproval } | undefined>;
  /** What time has brought by the clock of the database: a reminder, an escalation, the end. Early, it changes nothing. */
  processTimers(run: RunFacts, audit: GateAudit): Promise<StandingApproval | undefined>;
}

/** Names the event, such as `approval.requested`; the caller adds the actor and the grant. */
export type GateAudit = (
  action: string,
  detail: AuditEvent['detail'],
  outcome?: AuditEvent['outcome'],
) => AuditEvent;

export interface Asked {
  shown: ApprovalSubject;
  digest: string;
  terms: ApprovalManifest;
  /** An object of the run: a JSON array of rows, each an object of texts by column as PostgreSQL reads them, `null` for NULL. */
  sample: { digest: string; rows: number } | null;
  /** Not asked at all: `when` said so. */
  waived: boolean;
  /** The round that does not stand any more, whatever its record says; 0: none. */
  after: number;
}

export interface DecisionMade {
  claims: DecisionClaims;
  jws: string;
  by: Requester;
  comment: string | null;
  form: Readonly<Record<string, unknown>> | null;
  /** Why it counts for nothing, given the approval as it stands and what others have decided. */
  refusal(approval: StandingApproval): string | undefined;
}

/** An approval as its run waits for it. */
export interface StandingApproval {
  id: string;
  round: number;
  state: ApprovalState;
  digest: string;
  shown: ApprovalSubject;
  terms: ApprovalManifest;
  /** Roles that may decide now. */
  by: readonly string[];
  escalated: boolean;
  expiresAt: string;
  decisions: readonly (RecordedDecision & { jws: string })[];
  /** Until the next of its times: a reminder, an escalation or the end; 0 once it has ended. */
  dueInMs: number;
}
