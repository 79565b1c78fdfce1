import { canonicalJson } from '../canonicalJson.ts';
import type { RunFacts } from '../runs/runFacts.ts';
import { isPulled } from './source.ts';

/**
 * What a grant says about the input of its run, as text for a digest: for a file or URL its description; for bytes
 * that were complete at acceptance the digests of their batches in order; for an upload in progress the run id.
 */
export function describeSource(
  { runId, source }: Pick<RunFacts, 'runId' | 'source'>,
  batchDigests?: readonly string[],
): string {
  if (isPulled(source)) return canonicalJson(source);
  return canonicalJson(batchDigests ? { batches: batchDigests } : { upload: runId });
}
