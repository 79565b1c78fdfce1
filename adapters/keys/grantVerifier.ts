import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import { GrantClaims, grantType } from '../../domain/grant.ts';
import type { GrantVerifier, VerifiedGrant } from '../../domain/ports/grants.ts';

/**
 * Verifies by the public keys at `jwksUrl`, which are kept for 10 minutes and asked again for an unknown `kid`
 * at most every 30 s. Expiry is not judged here but by the checks of a step, which know what follows from it.
 * `schema` says which claims a grant has; default: those of a run.
 */
export function createGrantVerifier<Claims = GrantClaims>(options: {
  jwksUrl: URL;
  issuer: string;
  schema?: z.ZodType<Claims>;
}): GrantVerifier<Claims> {
  const keys = createRemoteJWKSet(options.jwksUrl, {
    timeoutDuration: 5_000,
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
  });
  const schema = options.schema ?? (GrantClaims as unknown as z.ZodType<Claims>);
  return { verify: (grant) => verifyGrant(grant, keys, options.issuer, schema) };
}

async function verifyGrant<Claims>(
  grant: string,
  keys: JWTVerifyGetKey,
  issuer: string,
  schema: z.ZodType<Claims>,
): Promise<VerifiedGrant<Claims>> {
  try {
    const { payload, protectedHeader } = await jwtVerify(grant, keys, {
      algorithms: ['EdDSA'],
      typ: grantType,
      issuer,
      audience: 'waybill',
      requiredClaims: ['iat', 'exp', 'jti', 'txn', 'sub', 'scope', 'tctx'],
      // Only expiry is left to the checks; a future `nbf` cannot appear, the claims are strict.
      currentDate: new Date(0),
    });
    const claims = schema.safeParse(payload);
    if (claims.success) return { claims: claims.data, key: protectedHeader.kid! };
    throw new WaybillError('GrantMalformed', {
      detail: claims.error.issues.map((i) => i.path.join('.')).join(', '),
    });
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const undecidable =
      error instanceof errors.JWKSTimeout ||
      error instanceof errors.JWKSInvalid ||
      (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC') ||
      !(error instanceof errors.JOSEError);
    throw new WaybillError(undecidable ? 'KeysUnavailable' : 'GrantInvalid', {
      detail: String(error),
      cause: error,
    });
  }
}
