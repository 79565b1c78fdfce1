import { z } from 'zod';
import { canonicalJson } from '../canonicalJson.ts';
import { claimedPrincipal, claimedRequester, claimText, issuedClaims } from '../grants/claimedRequester.ts';
import type { Principal } from '../principal.ts';
import type { Credential } from '../revocation.ts';
import type { Schedule } from './schedule.ts';

/** `typ` of the protected header. */
export const delegationType = 'delegation+jwt';

/** An owner consents for this long at most, and by default. */
export const delegationMaxS = 90 * 86_400;

/**
 * A person’s consent, signed by the API from their own token, that a schedule runs a pipeline in their name. It names exactly
 * what they agreed to: whatever changes afterwards needs a new one. Times are seconds since 1970.
 */
export const DelegationClaims = z.strictObject({
  /** Of the owner. */
  ...issuedClaims,
  /** No time before this is due under it. */
  nbf: z.int(),
  /** `dlg_…` */
  jti: z.string().regex(/^dlg_[0-9a-f-]{36}$/),
  /** The owner as their token had them, and when it was issued. */
  req: claimedRequester,
  tenant: claimText,
  schedule: claimText,
  pipeline: claimText,
  definitionDigest: claimText,
  /** Of version, contract, source, sink and labels: other code of the same version is covered, once it is applied. Absent: the code is bound. */
  boundDigest: claimText.optional(),
  /** Of the terms, as canonical JSON: lower-case hex SHA-256. */
  termsDigest: claimText,
  /** Of where events go and the links that they carry; absent: no events are sent. */
  callbackDigest: claimText.optional(),
});
export type DelegationClaims = z.infer<typeof DelegationClaims>;

/** The text of which a consent holds the digest. */
export function describeTerms({ terms }: Pick<Schedule, 'terms'>): string {
  return canonicalJson(terms);
}

/** Who acts for the owner when a schedule fires: Waybill itself, by a name of its own. */
export interface SchedulerActor {
  id: string;
  issuer: string;
  subject: 'scheduler';
  kind: 'service';
}

/** The owner as the consent has them, with the scheduler acting for them. */
export function principalUnder(claims: DelegationClaims, actor: SchedulerActor): Principal {
  return { ...claimedPrincipal(claims, claims.tenant), actor };
}

/** What may have been revoked of it: the owner, the scheduler, the consent itself, the key that signed it. */
export function credentialUnder(
  { sub, req, tenant, jti }: DelegationClaims,
  actor: SchedulerActor,
  key: string,
): Credential {
  const principals = [sub, actor.id];
  return { tenant, principals, issuedAtS: req.iat, outlastsSession: true, delegation: jti, key };
}
