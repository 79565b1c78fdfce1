/*
 * What an application on Temporal imports to know, in every activity and workflow, who asked for it. Nothing here needs
 * pipelines, PostgreSQL or Waybill’s API. docs/temporal-plugin.md shows it whole.
 */
import type { JWK } from 'jose';
import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { staticTrustAnchors } from '../adapters/keys/keyRoots.ts';
import { knownKeys } from '../adapters/keys/knownKeys.ts';
import { currentClaims } from '../adapters/temporal/activityInterceptor.ts';
import { principalOf, WorkflowGrantClaims } from '../domain/grants/grant.ts';
import type { Authorizer } from '../domain/ports/authorizer.ts';
import type { GrantVerifier } from '../domain/ports/grants.ts';
import type { Principal } from '../domain/principal.ts';

export { createGrantMinter, type GrantMinter } from '../adapters/keys/grantMinter.ts';
export { createCallerAuthenticator } from '../adapters/oidc/callerAuthenticator.ts';
export { currentClaims, recheckGrant } from '../adapters/temporal/activityInterceptor.ts';
export { carryingGrant } from '../adapters/temporal/clientInterceptors.ts';
export { identityPlugin } from '../adapters/temporal/identityPlugin.ts';
export type { AuditEvent } from '../domain/audit.ts';
export type { WorkflowGrantClaims } from '../domain/grants/grant.ts';
export type { GrantTerms } from '../domain/grants/workflowGrant.ts';
export type { AuditLog } from '../domain/ports/audit.ts';
export type { Authorizer, GrantVerifier, Principal };

/** Who the activity that asks acts for, as its grant verifiably says. Throws `GrantMissing` outside of an activity. */
export function currentCaller(): Principal {
  return principalOf(currentClaims());
}

/**
 * Verifies grants by public keys alone.
 * @param options.issuer `iss` of the grants, compared with `===`
 * @param options.keys where the minter’s `publicKeys` are published, or the set itself
 * @param options.roots thumbprints (RFC 7638) of roots: a key at the URL counts where it is one of them, or one of them has endorsed it
 *   (docs/keys.md); default: whatever is published there counts
 */
export function createVerifier(options: {
  issuer: string;
  keys: URL | { keys: readonly JWK[] };
  roots?: readonly string[];
}): GrantVerifier<WorkflowGrantClaims> {
  const keys = options.keys instanceof URL ? options.keys : knownKeys(options.keys);
  const roots = options.roots && staticTrustAnchors(options.roots);
  return createGrantVerifier({ issuer: options.issuer, keys, roots, schema: WorkflowGrantClaims });
}

/**
 * What a grant names is allowed for as long as it lasts: nothing is revoked, no policy decides. Spread it and replace
 * what you can answer: `{ ...allowAll, isRevoked: ({ claims }) => blocked.has(claims.sub) }`.
 */
export const allowAll: Authorizer<WorkflowGrantClaims> = Object.freeze({
  hasDefinition: () => true,
  isRevoked: () => false,
  decide: () => ({ allowed: true, policies: [], digest: null }),
});
