import { errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { LogoutTokens } from '../../domain/ports/logouts.ts';
import { principalId } from '../../domain/principal.ts';
import { Subject } from './trustedIssuers.ts';
import { clockToleranceS, type Issuer, issuerOf } from './verifyAccessToken.ts';

/** An issuer that could not reach us tries again, but not for ever; older ones may have been seen and forgotten. */
const ageMaxS = 600;

/** Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6) by the keys of the trusted issuers. */
export function createLogoutTokens(issuers: readonly Issuer[]): LogoutTokens {
  return {
    async verify(logoutToken) {
      try {
        const issuer = issuerOf(issuers, logoutToken);
        const { sub, iat, jti } = await verify(logoutToken, issuer);
        if (sub === undefined) throw new WaybillError('LogoutSubjectMissing');
        return {
          issuer: issuer.issuer,
          principal: principalId(issuer.issuer, sub),
          issuedAtS: iat,
          tokenId: jti,
        };
      } catch (error) {
        if (error instanceof WaybillError) throw error;
        throw new WaybillError('LogoutTokenInvalid', {
          detail: error instanceof Error ? `${error.name}: ${error.message}` : '',
        });
      }
    },
  };
}

async function verify(token: string, { keys, issuer, clients, algorithms }: Issuer) {
  // Without clients there is no audience, which jose would take for any.
  if (clients.length === 0) throw new Error('no client of this issuer signs in to Waybill');
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer,
    audience: clients,
    algorithms,
    requiredClaims: ['iss', 'aud', 'iat', 'jti', 'events'],
    clockTolerance: clockToleranceS,
    // With an age, one of the future is refused too.
    maxTokenAge: ageMaxS,
  });
  // Older providers give it no type of its own; that of an access token or another thing is never right.
  if (!logoutTypes.some((type) => type === protectedHeader.typ?.toLowerCase()))
    throw new errors.JWTInvalid('of another type');
  return Claims.parse(payload);
}

const logoutTypes = ['logout+jwt', 'application/logout+jwt', 'jwt', undefined];
const event = 'http://schemas.openid.net/event/backchannel-logout';

const Claims = z.object({
  sub: Subject.optional(),
  iat: z.number(),
  jti: z.string().min(1).max(255),
  events: z.object({ [event]: z.record(z.string(), z.unknown()) }),
  /** What has one is an id token. */
  nonce: z.undefined().optional(),
});
