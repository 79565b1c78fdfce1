import { WaybillError } from '../domain/errors.ts';

/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII characters.
 * Throws `IdempotencyKeyInvalid`.
 */
export function parseIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new WaybillError('IdempotencyKeyInvalid');
}
