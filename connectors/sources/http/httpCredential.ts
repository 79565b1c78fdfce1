import { z } from 'zod';
import { WaybillError } from '../../../domain/errors.ts';
import type { CredentialProvider } from '../../../domain/ports/credentials.ts';

/** Headers that Waybill sets itself, and those of the connection. */
const ownHeaders = new Set([
  ...[
    'accept',
    'accept-encoding',
    'connection',
    'content-length',
    'expect',
    'host',
    'if-range',
    'keep-alive',
  ],
  ...['proxy-authorization', 'range', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent'],
]);

const Credential = z.union([
  z.strictObject({ username: z.string().regex(/^[^:]*$/), password: z.string() }),
  z.strictObject({
    headers: z.record(
      z
        .string()
        .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)
        .refine((name) => !ownHeaders.has(name.toLowerCase())),
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these end a header
      z.string().regex(/^[^\x00-\x08\x0a-\x1f\x7f]*$/),
    ),
  }),
]);

/**
 * The headers that a credential is sent as: `{ "username", "password" }` as HTTP Basic (RFC 7617), or `{ "headers": { … } }`
 * as they are. Throws `SourceUnavailable`, which names the credential and holds no value of it: a rotation may be under way.
 */
export async function credentialHeaders(
  name: string,
  provider: CredentialProvider | undefined,
): Promise<Record<string, string>> {
  const parsed = Credential.safeParse(
    await (provider?.current() ?? Promise.resolve('')).then(JSON.parse).catch(() => undefined),
  );
  if (!parsed.success)
    throw new WaybillError('SourceUnavailable', {
      publicDetail: `The worker cannot read the credential “${name}”.`,
      detail: 'It must be a file in WAYBILL_CREDENTIALS: JSON with username and password, or with headers.',
    });
  if ('headers' in parsed.data) return parsed.data.headers;
  const { username, password } = parsed.data;
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}
