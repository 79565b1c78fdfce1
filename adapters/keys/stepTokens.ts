import { z } from 'zod';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import { tokenKinds } from '../../domain/grants/stepToken.ts';
import type { StepTokens } from '../../domain/ports/stepTokens.ts';
import { assertClient, type WorkloadKey } from './clientAssertion.ts';

const timeoutMs = 5_000;

export interface StepTokensOptions {
  /** The token endpoint of the API. */
  url: URL;
  /** The name of this Waybill, `urn:waybill:<instance>`: the audience of what proves who asks. */
  issuer: string;
  /** Who this worker is. */
  workload: WorkloadKey | undefined;
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
        client_assertion: await assertClient(workload, issuer).catch((error) => {
          throw unavailable('the key of this worker cannot be used', error);
        }),
      });
      return request(url, body);
    },
  };
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
