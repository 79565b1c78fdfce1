import { WaybillError } from '../../domain/errors.ts';
import type { KnownKey } from '../../domain/ports/acceptance.ts';
import type { Run } from '../../domain/runs/run.ts';
import { sha256 } from '../sha256.ts';
import type { RunDraft } from './runDraft.ts';

/** What makes two requests the same: where they went, what they say they are, their parameters and their bytes. */
export function requestDigestOf(
  { pipeline }: RunDraft,
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
