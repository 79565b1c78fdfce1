import type { Manifest } from '../pipelines/manifest.ts';
import { isPulled } from '../sources/source.ts';

/** What the workflow of a run is told of its definition, whoever starts it. */
export function startOf({ id, version, source, approval, limits, deadlineMs }: StartingManifest) {
  return {
    pipeline: id,
    version,
    pulled: isPulled(source),
    ...(approval && { gate: approval.before }),
    concurrency: limits.concurrency,
    deadlineMs,
  };
}

export type StartingManifest = Pick<
  Manifest,
  'id' | 'version' | 'source' | 'approval' | 'limits' | 'deadlineMs'
>;
