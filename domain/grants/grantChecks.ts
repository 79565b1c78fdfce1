import type { ErrorCode } from '../errors.ts';
import type { Authorizer } from '../ports/authorizer.ts';
import type { CheckOutcome } from './attemptRejection.ts';
import type { VerifiedGrant } from './grant.ts';
import { type GrantClaims, isHousekeeping, type WorkflowGrantClaims } from './grant.ts';
import { callerActivity } from './grantHeader.ts';

/** What Temporal itself says of the activity attempt at hand. */
export interface AttemptInfo {
  namespace: string;
  workflowId: string;
  workflowType: string;
  activityType: string;
  /** What its workflow found wrong with how the grant came to it (`BindingFault`). */
  fault?: string;
}

export interface Evidence<Claims extends AnyClaims = GrantClaims> {
  grant: VerifiedGrant<Claims>;
  attempt: AttemptInfo;
  nowS: number;
  authorizer: Authorizer<Claims>;
}

type AnyClaims = WorkflowGrantClaims | GrantClaims;

interface Check {
  name: string;
  code: ErrorCode;
  outcome: CheckOutcome;
  /** Of housekeeping only signature and binding are asked. */
  always: boolean;
  passes<Claims extends AnyClaims>(evidence: Evidence<Claims>): boolean;
}

/**
 * The checks between a verified signature and the first effect of a step, in their order. Claims are compared
 * with `===` only, and an absent claim never gets this far (the schema of claims is strict). Before them, the verifier
 * has checked form, algorithm, type, key, signature and issuer (all *invalid*; without keys *unavailable*); after
 * them, the digest of a batch is compared where its bytes are read, and store and publish ask for revocations once more in
 * their own transaction.
 */
export const grantChecks: readonly Check[] = [
  {
    name: 'namespace',
    code: 'GrantMismatch',
    outcome: 'invalid',
    always: true,
    passes: ({ grant, attempt }) => grant.claims.tctx.namespace === attempt.namespace,
  },
  {
    name: 'workflow',
    code: 'GrantMismatch',
    outcome: 'invalid',
    always: true,
    passes: ({ grant, attempt }) => isOf(grant.claims.tctx, attempt),
  },
  {
    name: 'start or message',
    code: 'GrantMismatch',
    outcome: 'invalid',
    always: true,
    passes: ({ attempt }) => attempt.fault === undefined,
  },
  {
    name: 'step',
    code: 'StepNotGranted',
    outcome: 'invalid',
    always: true,
    passes: ({ grant, attempt }) => grant.claims.tctx.steps.some((step) => step === attempt.activityType),
  },
  {
    name: 'definition digest',
    code: 'DefinitionUnavailable',
    outcome: 'unavailable',
    always: false,
    passes: ({ grant, authorizer }) => authorizer.hasDefinition(grant.claims),
  },
  {
    name: 'time',
    code: 'GrantExpired',
    outcome: 'revoked',
    always: false,
    passes: ({ grant, nowS }) => nowS < grant.claims.exp,
  },
  {
    name: 'revocation',
    code: 'GrantRevoked',
    outcome: 'revoked',
    always: false,
    passes: ({ grant, authorizer }) => !authorizer.isRevoked(grant),
  },
  {
    name: 'policy',
    code: 'PolicyDenied',
    outcome: 'revoked',
    always: false,
    passes: ({ grant, attempt, authorizer }) =>
      asksNoPolicy(attempt) || authorizer.decide(grant.claims, attempt.activityType).allowed,
  },
];

/** To be told who is there needs a grant that holds, but is nothing that a policy would decide about. */
export function asksNoPolicy({ activityType }: AttemptInfo): boolean {
  return isHousekeeping(activityType) || activityType === callerActivity;
}

/**
 * The first check that fails, or `undefined`. Throws what `Authorizer` throws. Processes hear of a change one after another. So a
 * right counts as revoked, and a run resumes, only by what is known after the call: a run that one process lets resume is not
 * suspended again by another one that has not heard of it.
 */
export async function failedCheck<Claims extends AnyClaims>(
  evidence: Evidence<Claims>,
): Promise<Check | undefined> {
  const { authorizer, attempt } = evidence;
  const failed = attempt.activityType === 'resume' ? undefined : failedByNow(evidence);
  if (attempt.activityType !== 'resume' && failed?.outcome !== 'revoked') return failed;
  await authorizer.refresh?.();
  return failedByNow(evidence);
}

function failedByNow<Claims extends AnyClaims>(evidence: Evidence<Claims>): Check | undefined {
  const housekeeping = isHousekeeping(evidence.attempt.activityType);
  return grantChecks.find((check) => (check.always || !housekeeping) && !check.passes(evidence));
}

/** The very workflow of the grant, or a child that it names: of a granted type, and under the id of its parent. */
function isOf(tctx: AnyClaims['tctx'], { workflowId, workflowType }: AttemptInfo): boolean {
  if (workflowId === tctx.workflowId) return workflowType === tctx.workflowType;
  if (!('children' in tctx) || !tctx.children) return false;
  return workflowId.startsWith(`${tctx.workflowId}/`) && tctx.children.some((type) => type === workflowType);
}
