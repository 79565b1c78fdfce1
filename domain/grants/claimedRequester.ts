import { z } from 'zod';
import { type Principal, principalKinds } from '../principal.ts';
import type { Credential } from '../revocation.ts';

/** PostgreSQL stores no text with a zero byte, so the audit could not record such a claim. */
export const claimText = z.string().regex(/^[^\0]+$/);
export const claimedKind = z.enum(principalKinds);

/** Claims of everything that the API signs. Times are seconds since 1970; `sub` is the `prn_…` of the principal. */
export const issuedClaims = {
  iss: claimText,
  aud: z.literal('waybill'),
  iat: z.int(),
  exp: z.int(),
  jti: claimText,
  sub: claimText,
};

/** W3C trace id. */
export const claimedTrace = z.string().regex(/^[0-9a-f]{32}$/);

/**
 * The claims of the requester by which policies decide, and when the token was issued that carried them: what a
 * sign-out makes void is also whatever was asked for later with a token from before it.
 */
export const claimedRequester = z.strictObject({
  iss: claimText,
  sub: claimText,
  iat: z.int(),
  kind: claimedKind,
  roles: z.array(claimText),
  /** Which human it is, where the issuer says. */
  person: claimText.optional(),
});

type ClaimedRequester = z.infer<typeof claimedRequester>;

/**
 * Claims of a caller with a verified token. `roles` are those that can decide anything (what the policy declares, what an approval asks
 * for): a token may list hundreds of others, and each header of a workflow would carry them.
 */
export function claimsOfRequester(
  { issuer, subject, kind, roles, person }: Principal,
  { issuedAtS }: Credential,
  effectiveRoles: readonly string[],
): ClaimedRequester {
  return {
    iss: issuer,
    sub: subject,
    iat: Math.floor(issuedAtS),
    kind,
    roles: roles.filter((role) => effectiveRoles.includes(role)),
    ...(person !== undefined && { person }),
  };
}

/** The principal of verified claims. */
export function claimedPrincipal(
  { sub, req }: { sub: string; req: ClaimedRequester },
  tenant: string,
): Principal {
  const { iss: issuer, sub: subject, kind, roles, person } = req;
  return { id: sub, issuer, subject, kind, tenant, roles, ...(person !== undefined && { person }) };
}
