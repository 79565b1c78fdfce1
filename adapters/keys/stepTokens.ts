import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { importJWK, type JWK, SignJWT } from 'jose';
import { z } from 'zod';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import type { StepTokens } from '../../domain/ports/stepTokens.ts';
import { tokenKinds } from '../../domain/stepToken.ts';

const timeoutMs = 5_000;
const assertionLifetimeS = 30;

export interface StepTokensOptions {
  /** The token endpoint of the API. */
  url: URL;
  /** The name of this Waybill, `urn:waybill:<instance>`: the audience of what proves who asks. */
  issuer: string;
  /** Who this worker is, and the file with its private key (a JWK), which is read each time, so that it may be exchanged. */
  workload: { id: string; keyFile: string } | undefined;
  /** The grant of the attempt that asks. */
  grant(): string;
}

/** Asks the token endpoint (RFC 8693) as a workload that proves itself by its key (`private_key_jwt`). Keeps nothing. */
export function createStepTokens(options: StepTokensOptions): StepTokens {
  return {
    async obtain(step, origin) {
      const { url, issuer, workload, grant } = options;
      if (!workload) throw unavailable('this worker has no key of its own: set WAYBILL_WORKLOAD_KEY');
      const body = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: grant(),
        subject_token_type: tokenKinds.grant,
        requested_token_type: tokenKinds.stepToken,
        audience: origin,
        scope: step,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await assert(workload, issuer),
      });
      return request(url, body);
    },
  };
}

/** RFC 7523, section 3. */
async function assert({ id, keyFile }: { id: string; keyFile: string }, audience: string): Promise<string> {
  try {
    const jwk = JSON.parse(await readFile(keyFile, 'utf8')) as JWK;
    const alg = jwk.kty === 'EC' ? 'ES256' : 'EdDSA';
    const header = { alg, typ: 'client-authentication+jwt', ...(jwk.kid && { kid: jwk.kid }) };
    return await new SignJWT({})
      .setProtectedHeader(header)
      .setIssuer(id)
      .setSubject(id)
      .setAudience(audience)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${assertionLifetimeS} s`)
      .sign(await importJWK(jwk, alg));
  } catch (error) {
    throw unavailable('the key of this worker cannot be used', error);
  }
}

const Issued = z.object({ access_token: z.string().min(1) });
const Refused = z.object({ code: z.string() });

async function request(url: URL, body: URLSearchParams): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error) => {
    throw unavailable('no answer', error);
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw refusalOf(Refused.safeParse(answer).data?.code, response.status);
  const issued = Issued.safeParse(answer);
  if (issued.success) return issued.data.access_token;
  throw unavailable('the answer holds no token');
}

/**
 * What is wrong with the grant is wrong with the attempt. Everything else, such as a key that the API does not know, is
 * for an operator to mend, and the run waits for that.
 */
function refusalOf(code: string | undefined, status: number): WaybillError {
  const known = code !== undefined && Object.hasOwn(errors, code) ? (code as ErrorCode) : undefined;
  if (known && (errors[known].retryable || ofGrant.test(known)))
    return new WaybillError(known, { detail: 'said the token endpoint' });
  return unavailable(`answered ${status} ${code ?? ''}`);
}

const ofGrant = /^(Grant|PolicyDenied$|StepNotGranted$|TokenAudienceRefused$)/;

function unavailable(detail: string, cause?: unknown): WaybillError {
  return new WaybillError('TokenUnavailable', { detail, cause });
}
