import { WaybillError } from '../../domain/errors.ts';
import type { KnownKey } from '../../domain/ports/acceptance.ts';
import type { Run } from '../../domain/runs/run.ts';
import { sha256 } from '../sha256.ts';
import type { Draft } from './draft.ts';

/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII characters.
 * Throws `IdempotencyKeyInvalid`.
 */
export function parseIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new WaybillError('IdempotencyKeyInvalid');
}

/** What makes two requests the same: where they went, what they say they are, their parameters and their bytes. */
export function requestDigestOf(
  { pipeline }: Draft,
  mediaType: string,
  parameters: unknown,
  bodyDigest: string,
): string {
  return sha256(JSON.stringify(['createRun', pipeline.manifest.id, mediaType, parameters, bodyDigest]));
}

/** The run that the key already stands for. Throws `IdempotencyKeyInUse` or `IdempotencyKeyReused`. */
export function sameRun(known: KnownKey, requestDigest: string): Run {
  if (known.state === 'receiving') throw new WaybillError('IdempotencyKeyInUse');
  if (known.requestDigest !== requestDigest) throw new WaybillError('IdempotencyKeyReused');
  return known.run;
}
