import { perSecondOf } from '../duration.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import { isPulled } from '../sources/source.ts';

/** The part of the definition that the workflow of a run gets as input. */
export function startOf({
  id,
  version,
  source,
  sink,
  enrich,
  approval,
  limits,
  deadlineMs,
}: StartingManifest) {
  return {
    pipeline: id,
    version,
    pulled: isPulled(source),
    ...(enrich && { enriches: true }),
    ...(approval && { gate: approval.before }),
    ...(sink?.atEnd && { atEnd: sink.atEnd }),
    concurrency: limits.concurrency,
    ...(source.throttle !== undefined && { recordsPerSecond: perSecondOf(source.throttle) }),
    deadlineMs,
  };
}

export type StartingManifest = Pick<
  Manifest,
  'id' | 'version' | 'enrich' | 'approval' | 'limits' | 'deadlineMs' | 'priority'
> & {
  /** What the run reads. */
  source: { kind: string; throttle?: string };
  sink?: Pick<Manifest['sink'], 'atEnd'>;
};
