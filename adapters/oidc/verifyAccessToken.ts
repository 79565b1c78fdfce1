import { decodeJwt, errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { Authenticator } from '../../domain/ports/authenticator.ts';
import { callerOf } from './callerOf.ts';
import { createIssuerKeys, type IssuerKeys } from './issuerKeys.ts';
import { Subject, type TrustedIssuer } from './trustedIssuers.ts';

/** Verifies JWT access tokens (RFC 9068) of the trusted issuers; everything that a token could choose is pinned. */
export function createAuthenticator(issuers: readonly Issuer[]): Authenticator {
  return {
    async authenticate(accessToken) {
      try {
        const issuer = issuerOf(issuers, accessToken);
        return callerOf(issuer, await verify(accessToken, issuer));
      } catch (error) {
        if (error instanceof WaybillError) throw error;
        const code = error instanceof errors.JWTExpired ? 'TokenExpired' : 'Unauthenticated';
        throw new WaybillError(code, {
          detail: error instanceof Error ? `${error.name}: ${error.message}` : '',
        });
      }
    },
  };
}

/** A trusted issuer with its keys, which access tokens and logout tokens share. */
export type Issuer = TrustedIssuer & { keys: IssuerKeys };

export function withKeys(trusted: readonly TrustedIssuer[]): Issuer[] {
  return trusted.map((issuer) => ({ ...issuer, keys: createIssuerKeys(issuer.issuer) }));
}

/** Of an issuer that is not trusted nothing is asked. Throws where there is none, or no token. */
export function issuerOf(issuers: readonly Issuer[], token: string): Issuer {
  const { iss } = decodeJwt(token);
  const issuer = issuers.find((one) => one.issuer === iss);
  if (!issuer) throw new Error('the issuer is not trusted');
  return issuer;
}

export const clockToleranceS = 5;
/**
 * Who signs out makes void what was issued until then, and that is remembered for longer than this. Having an age, a token
 * cannot be of the future either, where it would escape that.
 */
const ageMaxS = 30 * 86_400;

async function verify(token: string, { keys, issuer, audience, algorithms, tokenTypes }: Issuer) {
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer,
    audience,
    algorithms,
    requiredClaims: ['iss', 'sub', 'aud', 'iat', 'exp'],
    clockTolerance: clockToleranceS,
    maxTokenAge: ageMaxS,
  });
  if (!tokenTypes.some((type) => type === typeOf(protectedHeader.typ))) throw new Error('of another type');
  return Claims.parse(payload);
}

/** RFC 7515, section 4.1.9: a media type, of which `application/` may be left out. */
function typeOf(typ: string | undefined): string {
  if (typ === undefined) return 'absent';
  const type = typ.toLowerCase().replace(/^application\//, '');
  return type === 'jwt' ? 'JWT' : type;
}

const Claims = z.looseObject({ sub: Subject, iat: z.number(), exp: z.number() });
