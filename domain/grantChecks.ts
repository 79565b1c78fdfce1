import type { ErrorCode } from './errors.ts';
import type { GrantClaims } from './grant.ts';

/** What Temporal itself says of the activity attempt at hand. */
export interface AttemptInfo {
  namespace: string;
  workflowId: string;
  workflowType: string;
  activityType: string;
}

/**
 * What follows from a check that fails. *forged*: the attempt ends for good; *withdrawn*: the run is to be
 * suspended; *undecidable*: this attempt is refused and asked again.
 */
type Refusal = 'forged' | 'withdrawn' | 'undecidable';

interface Check {
  name: string;
  code: ErrorCode;
  refusal: Refusal;
  passes(claims: GrantClaims, attempt: AttemptInfo, nowS: number): boolean;
}

/**
 * The checks between a verified signature and the first effect of a step, in their order. Claims are compared
 * with `===` only, and an absent claim never gets this far (`GrantClaims` is strict).
 */
const grantChecks: readonly Check[] = [
  {
    name: 'namespace',
    code: 'GrantMismatch',
    refusal: 'forged',
    passes: ({ tctx }, attempt) => tctx.namespace === attempt.namespace,
  },
  {
    name: 'workflow id',
    code: 'GrantMismatch',
    refusal: 'forged',
    passes: ({ tctx }, attempt) => tctx.workflowId === attempt.workflowId,
  },
  {
    name: 'workflow type',
    code: 'GrantMismatch',
    refusal: 'forged',
    passes: ({ tctx }, attempt) => tctx.workflowType === attempt.workflowType,
  },
  {
    name: 'step',
    code: 'GrantMismatch',
    refusal: 'forged',
    passes: ({ tctx }, attempt) => tctx.steps.some((step) => step === attempt.activityType),
  },
  {
    // Recording how a run ended touches no business row, so it needs a right binding but not a current right.
    name: 'time',
    code: 'GrantExpired',
    refusal: 'withdrawn',
    passes: ({ exp }, attempt, nowS) => attempt.activityType === 'finalize' || nowS < exp,
  },
];

/** The first check that fails, or `undefined`. */
export function failedCheck(claims: GrantClaims, attempt: AttemptInfo, nowS: number): Check | undefined {
  return grantChecks.find((check) => !check.passes(claims, attempt, nowS));
}
