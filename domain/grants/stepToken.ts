import type { GrantClaims } from './grant.ts';

/** `typ` of the protected header, as the Transaction Tokens draft has it (oauth-wg/oauth-transaction-tokens). */
export const stepTokenType = 'txntoken+jwt';

/** Names of kinds of tokens in a token exchange (RFC 8693, section 3). */
export const tokenKinds = {
  grant: 'urn:waybill:oauth:token-type:grant',
  stepToken: 'urn:ietf:params:oauth:token-type:txn_token',
} as const;

/** A step token lives no longer than this, and never longer than its grant. */
const lifetimeMaxS = 300;

/** Claims for another system that a step calls as the principal of its run. Times are seconds since 1970. */
export interface StepTokenClaims {
  iss: string;
  /** The origin that the step calls. Any other server must reject the token. */
  aud: string;
  iat: number;
  exp: number;
  jti: string;
  /** W3C trace id of the request that began the run. */
  txn: string;
  /** `prn_…` of the person; `sub_id` says who that is at their identity provider (RFC 9493). */
  sub: string;
  sub_id: { format: 'iss_sub'; iss: string; sub: string };
  /** The step. */
  scope: string;
  act?: NonNullable<GrantClaims['act']>;
  /** The workload that asked. */
  req_wl: string;
  tctx: { tenant: string; run: string; pipeline: string };
}

export function stepTokenClaims(
  { iss, exp, txn, sub, req, act, tctx }: GrantClaims,
  asked: { audience: string; step: string; workload: string; jti: string; nowS: number },
): StepTokenClaims {
  const { audience, step, workload, jti, nowS } = asked;
  return {
    iss,
    aud: audience,
    iat: nowS,
    exp: Math.min(nowS + lifetimeMaxS, exp),
    jti,
    txn,
    sub,
    sub_id: { format: 'iss_sub', iss: req.iss, sub: req.sub },
    scope: step,
    ...(act && { act }),
    req_wl: workload,
    tctx: { tenant: tctx.tenant, run: tctx.workflowId, pipeline: tctx.pipeline },
  };
}
