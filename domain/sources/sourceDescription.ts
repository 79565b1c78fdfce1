import { canonicalJson } from '../canonicalJson.ts';
import type { RunFacts } from '../runs/runFacts.ts';
import { isPulled } from './source.ts';

/**
 * What a grant says of the input of its run, as text to be digested: for a source that Waybill reads itself its description; for bytes
 * that were all there at acceptance the digests of their batches in order; for an upload still under way its id, which
 * is that of the run.
 */
export function describeSource(
  { runId, source }: Pick<RunFacts, 'runId' | 'source'>,
  batchDigests?: readonly string[],
): string {
  if (isPulled(source)) return canonicalJson(source);
  return canonicalJson(batchDigests ? { batches: batchDigests } : { upload: runId });
}
