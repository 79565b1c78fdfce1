import { z } from 'zod';
import { type ErrorCode, errors, type WaybillError } from '../domain/errors.ts';

/** Refusals of the token endpoint, as OAuth has them (RFC 6749, section 5.2); `code` is ours, as everywhere. */
export const OAuthError = z.object({
  error: z.string(),
  error_description: z.string(),
  code: z.string().describe('Stable; see docs/errors.md.'),
  traceId: z.string().describe('Quote it when you ask for help.'),
});

export function oauthErrorOf({ code }: WaybillError, traceId: string): z.infer<typeof OAuthError> {
  return { error: nameOf(code), error_description: errors[code].message, code, traceId };
}

/** Whatever is wrong with a grant is wrong with the request, and no answer to whether its client may ask. */
export function oauthStatusOf({ code }: WaybillError): number {
  const { status } = errors[code];
  return status === 403 ? 400 : status;
}

/** What is wrong with a grant is `invalid_request`, as RFC 8693, section 2.2.2, demands. */
function nameOf(code: ErrorCode): string {
  const known = names[code];
  if (known) return known;
  if (code === 'Internal') return 'server_error';
  return errors[code].retryable ? 'temporarily_unavailable' : 'invalid_request';
}

const names: Partial<Record<ErrorCode, string>> = {
  WorkloadUnauthenticated: 'invalid_client',
  TokenTypeUnsupported: 'unsupported_grant_type',
  TokenAudienceRefused: 'invalid_target',
  StepNotGranted: 'invalid_scope',
};
