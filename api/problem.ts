import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type ErrorCode, errors, type Issue, WaybillError } from '../domain/errors.ts';

/** Problem details (RFC 9457), the body of every rejection, with content type `application/problem+json`. */
export const Problem = z.object({
  type: z.string().describe('Where the code is explained.'),
  title: z.string().describe('What happened and what to do next.'),
  status: z.int(),
  code: z.string().describe('Stable; see docs/errors.md.'),
  traceId: z.string().describe('Quote it when you ask for help.'),
  issues: z
    .array(z.object({ path: z.string(), message: z.string() }))
    .optional()
    .describe('At most 100.'),
  issueCount: z.int().optional().describe('How many issues there are, where `issues` are the first of them.'),
  denied: z
    .object({
      action: z.string(),
      resource: z.string(),
      ask: z.string().describe('Who can help.'),
    })
    .optional()
    .describe('What today’s policy does not let you do, with `Forbidden`.'),
  'expected-offset': z
    .int()
    .optional()
    .describe('The byte at which the upload continues, with `UploadOffsetMismatch`.'),
  'provided-offset': z.int().optional().describe('The byte that the request named.'),
});

export function problemOf(
  { code, issues, issueCount = issues?.length ?? 0, denied, offsets }: WaybillError,
  traceId: string,
): z.infer<typeof Problem> {
  const { status, message } = errors[code];
  return {
    type: `urn:waybill:error:${code}`,
    title: message,
    status,
    code,
    traceId,
    ...(issues?.length && { issues: issues.slice(0, issuesMax).map(shortened) }),
    ...(issueCount > issuesMax && { issueCount }),
    ...(denied && { denied }),
    ...(offsets && { 'expected-offset': offsets.expected, 'provided-offset': offsets.provided }),
  };
}

/** A request can be wrong in more ways than its caller wants to read at once. */
const issuesMax = 100;

/** Keys of the request are part of paths and messages, and a key may be as long as a body. */
function shortened({ path, message }: Issue): Issue {
  return { path: cut(path), message: cut(message) };
}

function cut(text: string): string {
  return text.length > textMax ? `${text.slice(0, textMax).toWellFormed()}…` : text;
}

const textMax = 500;

/** The failure that anything thrown on the way of a request means. What is not foreseen is `Internal`. */
export function toWaybillError(error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map(({ instancePath, message }) => ({
      path: instancePath,
      message: message ?? '',
    }));
    return new WaybillError('InvalidRequest', { issues });
  }
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message?: string };
  const known = code === undefined ? undefined : fastifyCodes[code];
  if (known) return new WaybillError(known, { detail: message ?? '' });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new WaybillError('InvalidRequest', { detail: message ?? '' });
  return new WaybillError('Internal', { detail: message ?? String(error), cause: error });
}

const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UnsupportedMediaType',
  FST_ERR_CTP_BODY_TOO_LARGE: 'RequestTooLarge',
  FST_ERR_BAD_URL: 'InvalidRequest',
  FST_ERR_NOT_FOUND: 'NotFound',
};
