import type { Principal } from '../principal.ts';
import type { WorkflowGrantClaims } from './grant.ts';
import { digestOfArguments } from './grantBinding.ts';
import { callerActivity } from './grantHeader.ts';

/** What one workflow may do for a principal, without pipelines. What is not named is not granted. */
export interface GrantTerms {
  /** The verified principal that it acts for, such as from `createAuthenticator`. */
  principal: Principal;
  workflowType: string;
  /** Names no other workflow. Its children are called `<workflowId>/…`. */
  workflowId: string;
  /** Default: `default`. */
  namespace?: string;
  /** Names of the activities that it may run. */
  activities: readonly string[];
  /** Types of the workflows that may run under the same grant as its children. Default: none. */
  children?: readonly string[];
  /**
   * The arguments with which it may be started, as JSON has them. Without them, a client that can copy the header from
   * Temporal’s history and start workflows, can start this one with arguments of their own once it has ended.
   */
  args?: readonly unknown[];
  /**
   * The one message (signal or update) that may carry the grant, and once. Such a grant starts nothing, unless it has
   * `args` too, as signalWithStart and updateWithStart need.
   */
  message?: { name: string; args: readonly unknown[] };
  /** When the token of the principal was issued, in seconds since 1970. Default: now. */
  issuedAtS?: number;
  /** How long it is good for. Default: one hour. */
  lifetimeMs?: number;
  /** W3C trace id (32 lower-case hex digits) for the audit. Default: a new one. */
  traceId?: string;
}

export function claimsOf(
  terms: GrantTerms,
  issue: { issuer: string; nowS: number; jti: string; traceId: string },
): WorkflowGrantClaims {
  const { principal, activities, children, args, message } = terms;
  const { id, issuer: iss, subject, kind, roles, tenant, actor } = principal;
  return {
    iss: issue.issuer,
    aud: 'waybill',
    iat: issue.nowS,
    exp: issue.nowS + Math.ceil((terms.lifetimeMs ?? 3_600_000) / 1000),
    jti: issue.jti,
    txn: terms.traceId ?? issue.traceId,
    sub: id,
    scope: activities.join(' '),
    req: { iss, sub: subject, iat: Math.floor(terms.issuedAtS ?? issue.nowS), kind, roles: [...roles] },
    ...(actor && { act: { id: actor.id, iss: actor.issuer, sub: actor.subject, kind: actor.kind } }),
    tctx: {
      tenant,
      namespace: terms.namespace ?? 'default',
      workflowId: terms.workflowId,
      workflowType: terms.workflowType,
      steps: [...activities, callerActivity],
      ...(children && { children: [...children] }),
      ...(args && { argumentsDigest: signedDigest(args) }),
      ...(message && { message: { name: message.name, argumentsDigest: signedDigest(message.args) } }),
    },
  };
}

function signedDigest(args: readonly unknown[]): string {
  const digest = digestOfArguments(args);
  if (digest === undefined) throw new TypeError('A grant binds only arguments that JSON can say.');
  return digest;
}
