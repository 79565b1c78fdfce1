import { z } from 'zod';
import type { AuditEvent } from './audit.ts';

/** The steps a grant may name: one for each activity that a run needs. */
export const steps = ['fetch', 'ingest', 'validate', 'transform', 'store', 'finalize'] as const;

/** `typ` of the protected header. */
export const grantType = 'grant+jwt';

const actor = z.strictObject({
  iss: z.string().min(1),
  sub: z.string().min(1),
  kind: z.enum(['person', 'service', 'agent']),
});

/**
 * Claims of a grant: the signed permission of one run.
 * After the Transaction Tokens draft (oauth-wg/oauth-transaction-tokens) and RFC 8693; times are seconds since 1970.
 */
export const GrantClaims = z.strictObject({
  iss: z.string().min(1),
  aud: z.literal('waybill'),
  iat: z.int(),
  exp: z.int(),
  jti: z.string().min(1),
  /** W3C trace id of the request that was accepted. */
  txn: z.string().regex(/^[0-9a-f]{32}$/),
  /** `prn_…` of the principal on whose behalf the run acts. */
  sub: z.string().min(1),
  scope: z.string(),
  /** The claims of the requester that the run shows; `act` names who acts for them. */
  req: z.strictObject({
    iss: z.string().min(1),
    sub: z.string().min(1),
    kind: z.enum(['person', 'service', 'agent']),
    roles: z.array(z.string()),
  }),
  act: actor.optional(),
  tctx: z.strictObject({
    tenant: z.string().min(1),
    namespace: z.string().min(1),
    workflowId: z.string().min(1),
    workflowType: z.string().min(1),
    pipeline: z.string().min(1),
    version: z.int(),
    definitionDigest: z.string().min(1),
    sourceDigest: z.string().min(1),
    steps: z.array(z.enum(steps)),
    policyDigest: z.string().min(1),
  }),
});
export type GrantClaims = z.infer<typeof GrantClaims>;

/** Who a run acts for, and who acts for them, as audit events name them. */
export function actorOf({ sub, req, act }: GrantClaims): NonNullable<AuditEvent['actor']> {
  return {
    id: sub,
    kind: req.kind,
    ...(act && { actor: { issuer: act.iss, subject: act.sub, kind: act.kind } }),
  };
}
