import { z } from 'zod';
import {
  claimedPrincipal,
  claimedRequester,
  claimedTrace,
  claimText,
  issuedClaims,
} from '../grants/claimedRequester.ts';
import type { Principal } from '../principal.ts';

/** `typ` of the protected header of a signed decision. */
export const decisionType = 'decision+jwt';

/**
 * Claims of a decision: what a person decided about exactly what they were shown. Minted by the API from the verified token of the
 * approver; valid for one approval, until the deadline of it (`exp`). Not a bearer credential.
 */
export const DecisionClaims = z.strictObject({
  /** Of the approver. `jti` is also the id of the update that carries it. */
  ...issuedClaims,
  txn: claimedTrace,
  /** The claims by which policies decide about the approver, and when the token was issued that carried them. */
  req: claimedRequester.extend({ kind: z.literal('person') }),
  tctx: z.strictObject({
    tenant: claimText,
    namespace: claimText,
    /** The run that waits. */
    workflowId: claimText,
    approval: claimText,
    /** Of what was shown. */
    shownDigest: z.string().regex(/^[0-9a-f]{64}$/),
    vote: z.enum(['approve', 'reject']),
    /** Of `{ comment, form }` as canonical JSON. */
    detailDigest: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});
export type DecisionClaims = z.infer<typeof DecisionClaims>;

/** Who decided, as the verified claims had them then. */
export function approverOf(claims: DecisionClaims): Principal {
  return claimedPrincipal(claims, claims.tctx.tenant);
}

/** What update and signal `decide` bring. Who reaches Temporal sends what they like, so it is parsed before it is used. */
export const DecisionMessage = z.object({
  /** The signed decision. */
  token: z.string(),
  comment: z.string().nullable().default(null),
  form: z.record(z.string(), z.unknown()).nullable().default(null),
});
export type DecisionMessage = z.infer<typeof DecisionMessage>;
