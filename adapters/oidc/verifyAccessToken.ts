import { createHash } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { Authenticator, Identified } from '../../domain/ports/authenticator.ts';
import type { Principal } from '../../domain/principal.ts';
import { createIssuerKeys, type IssuerKeys } from './issuerKeys.ts';

/** Verifies JWT access tokens (RFC 9068) of one issuer; everything that a token could choose is pinned here. */
export function createAuthenticator(options: {
  /** Compared with `===` to the claim `iss` and to what discovery says. */
  issuer: string;
  audience: string;
}): Authenticator {
  const keys = createIssuerKeys(options.issuer);
  return {
    async authenticate(accessToken) {
      return identify(await verify(accessToken, keys, options));
    },
  };
}

async function verify(token: string, keys: IssuerKeys, options: { issuer: string; audience: string }) {
  try {
    const { payload } = await jwtVerify(token, keys, {
      ...options,
      algorithms: ['RS256', 'ES256', 'PS256', 'EdDSA'],
      typ: 'at+jwt',
      requiredClaims: ['iss', 'sub', 'aud', 'iat', 'exp'],
      clockTolerance: 5,
    });
    return Claims.parse(payload);
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const code = error instanceof errors.JWTExpired ? 'TokenExpired' : 'Unauthenticated';
    throw new WaybillError(code, { detail: error instanceof Error ? `${error.name}: ${error.message}` : '' });
  }
}

const kind = z.enum(['person', 'service', 'agent']);

const Claims = z.object({
  iss: z.string().min(1),
  sub: z.string().min(1).max(255),
  kind,
  tenant: z.unknown().optional(),
  roles: z.unknown().optional(),
  /** Who acts for the subject (RFC 8693, section 4.1); of the same issuer unless it says otherwise. */
  act: z
    .object({
      sub: z.string().min(1).max(255),
      iss: z.string().min(1).optional(),
      kind: kind.default('agent'),
    })
    .optional(),
});

/** A tenant becomes part of keys and names everywhere, so it is kept to characters that mean nothing anywhere. */
const Tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
const Roles = z.array(z.string().min(1).max(100)).min(1).max(100);

function identify(claims: z.infer<typeof Claims>): Identified {
  const { iss: issuer, sub: subject, kind, act } = claims;
  const id = principalId(issuer, subject);
  const tenant = Tenant.safeParse(claims.tenant);
  if (!tenant.success) return { outcome: 'unplaced', who: { id, kind }, missing: 'tenant' };
  const roles = Roles.safeParse(claims.roles);
  if (!roles.success) return { outcome: 'unplaced', who: { id, kind }, missing: 'roles' };
  const actor = act && actorOf(act, issuer);
  return {
    outcome: 'placed',
    principal: { id, issuer, subject, kind, tenant: tenant.data, roles: roles.data, ...(actor && { actor }) },
  };
}

function actorOf(act: NonNullable<z.infer<typeof Claims>['act']>, ofIssuer: string): Principal['actor'] {
  const issuer = act.iss ?? ofIssuer;
  return { id: principalId(issuer, act.sub), issuer, subject: act.sub, kind: act.kind };
}

/** Subjects are unique within their issuer only, and the zero byte keeps `a` + `bc` apart from `ab` + `c`. */
function principalId(issuer: string, subject: string): string {
  const digest = createHash('sha256').update(`${issuer}\0${subject}`).digest('base64url');
  return `prn_${digest.slice(0, 22)}`;
}
