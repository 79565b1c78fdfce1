import { isSamePerson, type Principal, type Requester } from '../principal.ts';
import type { QualityResult } from '../quality/quality.ts';
import type { Counts } from '../runs/run.ts';
import type { Gate } from './gate.ts';

/**
 * `pending` until one of the others, which are ends: `approved` or `rejected` by decisions, `expired` by its deadline,
 * `void` where what was shown is no longer what would be published (another approval takes its place), `cancelled` where the run
 * ended before. `waived` was never asked: the definition’s `when` says that this run need not wait.
 */
export const approvalStates = [
  'pending',
  'approved',
  'rejected',
  'expired',
  'void',
  'cancelled',
  'waived',
] as const;
export type ApprovalState = (typeof approvalStates)[number];

/** How publishing would change the stored rows, in rows. */
export interface Changes {
  /** Rows with a new key, and rows that would replace a different one. */
  added: number;
  changed: number;
  unchanged: number;
  deduplicated: number;
  /** Where the rows replace all that are there: those that would be there no more. */
  removed?: number;
}

export function addChanges(a: Changes, b: Changes): Changes {
  const removed =
    a.removed === undefined && b.removed === undefined ? undefined : (a.removed ?? 0) + (b.removed ?? 0);
  return {
    added: a.added + b.added,
    changed: a.changed + b.changed,
    unchanged: a.unchanged + b.unchanged,
    deduplicated: a.deduplicated + b.deduplicated,
    ...(removed !== undefined && { removed }),
  };
}

/** What an approver sees, except for the sample. The approver signs its digest. */
export interface ApprovalSubject {
  gate: Gate;
  run: string;
  pipeline: string;
  version: number;
  definitionDigest: string;
  sourceDigest: string;
  parametersDigest: string;
  /** Digests of the rows of each batch, in their order; before `ingest` there are none. */
  stages: readonly string[];
  /** How often rows have been written to the table of the tenant, as the sink counts it; 0 before `ingest`. */
  baseVersion: number;
  counts: Counts;
  changes: Changes | null;
  /** The same for each of several outputs; absent where there is one. */
  changesByOutput?: Readonly<Record<string, Changes>>;
  /** Records by the code with which they were refused. */
  rejectedByCode: Readonly<Record<string, number>>;
  /** What the quality rules found, where the pipeline has some; before `ingest` it is absent. */
  quality?: QualityResult;
}

/** An approval, as each reader of its run sees it. Times are RFC 3339. */
export interface Approval {
  /** `apr_<uuidv7>` */
  id: string;
  runId: string;
  tenant: string;
  pipeline: string;
  gate: Gate;
  state: ApprovalState;
  /** From 1. When the data changes, approval is requested again with the next round. */
  round: number;
  /** Lower-case hex SHA-256 of `shown` as canonical JSON. */
  digest: string;
  shown: ApprovalSubject;
  /** Whether a sample of the rows was kept, for those who may see values (`reveal`). */
  sample: { digest: string; rows: number } | null;
  requestedBy: Requester;
  /** Roles that may decide now. */
  by: readonly string[];
  quorum: number;
  form: Readonly<Record<string, unknown>> | null;
  createdAt: string;
  expiresAt: string;
  escalatedAt: string | null;
  endedAt: string | null;
  decisions: readonly RecordedDecision[];
}

type Vote = 'approve' | 'reject';

/** The decision of an approver. */
export interface RecordedDecision {
  /** `jti` of the signed decision, and id of the update that carries it. */
  id: string;
  vote: Vote;
  by: Requester;
  comment: string | null;
  form: Readonly<Record<string, unknown>> | null;
  at: string;
  /** `true`: a worker has verified and counted it; `null`: pending; otherwise the error code. */
  counted: true | null | string;
}

export type Ineligible =
  | 'ApproverNotHuman'
  | 'ApproverIsRequester'
  | 'ApproverLacksRole'
  | 'ApproverHasDecided';

/**
 * Who may decide, in addition to the policy, on every path: a human acting directly; not the requester, nor the human behind or the
 * actor for the requester; with one of the roles in `by`; once. `undefined`: may decide.
 */
export function ineligible(
  approval: Pick<Approval, 'requestedBy' | 'by' | 'decisions'>,
  principal: Principal,
): Ineligible | undefined {
  const { id, kind, actor, roles } = principal;
  if (kind !== 'person' || actor) return 'ApproverNotHuman';
  const { requestedBy } = approval;
  if (isSamePerson(principal, requestedBy) || id === requestedBy.actor?.id) return 'ApproverIsRequester';
  if (!approval.by.some((role) => roles.some((one) => one === role))) return 'ApproverLacksRole';
  const decided = approval.decisions.some(
    ({ by, counted }) => isSamePerson(principal, by) && typeof counted !== 'string',
  );
  return decided ? 'ApproverHasDecided' : undefined;
}

/**
 * Why a decision does not count, or `undefined`. Every path asks in this order, so that each gives the same answer. `allowed`: whether
 * the current policy allows `approve` on the run. Revoked callers are rejected before.
 */
export function refusalOf(
  approval: Pick<Approval, 'requestedBy' | 'by' | 'decisions' | 'state' | 'digest'>,
  { principal, allowed, digest }: { principal: Principal; allowed: boolean; digest: string },
): Ineligible | 'Forbidden' | 'ApprovalChanged' | 'ApprovalEnded' | undefined {
  const unfit = ineligible({ ...approval, decisions: [] }, principal);
  if (unfit) return unfit;
  if (!allowed) return 'Forbidden';
  if (approval.state === 'void') return 'ApprovalChanged';
  if (approval.state !== 'pending') return 'ApprovalEnded';
  if (approval.digest !== digest) return 'ApprovalChanged';
  return ineligible(approval, principal);
}

/** The result of the counted decisions. One rejection rejects; approvals count by distinct humans. */
export function tally(
  decisions: readonly Pick<RecordedDecision, 'vote' | 'by' | 'counted'>[],
  quorum: number,
): 'approved' | 'rejected' | 'pending' {
  const counted = decisions.filter((one) => one.counted === true);
  if (counted.some(({ vote }) => vote === 'reject')) return 'rejected';
  const people = counted.filter(({ by }, i) => !counted.slice(0, i).some((one) => isSamePerson(one.by, by)));
  return people.length >= quorum ? 'approved' : 'pending';
}
