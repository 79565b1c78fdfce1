import type { AuditEvent } from '../audit.ts';
import type { QualityFindings } from '../quality/assessQuality.ts';
import type { QualityResult } from '../quality/quality.ts';
import type { Run } from '../runs/run.ts';
import type { RunFacts } from '../runs/runFacts.ts';

/** What quality rules find in runs. All of it throws `DatabaseUnavailable`. */
export interface Quality {
  /** The recorded result of a run. */
  find(run: Pick<RunFacts, 'tenant' | 'runId'>): Promise<QualityResult | undefined>;
  /**
   * Adds up what was measured of the batches of a run: of those that are stored, as they were stored.
   * @param need how many earlier runs are compared with, and whether keys are counted
   */
  measure(
    run: RunFacts,
    need: { earlierRuns: number; countsKeys: boolean },
  ): Promise<Pick<QualityFindings, 'counts' | 'measures' | 'distinct' | 'earlierRows'>>;
  /** The first result of a run stands; resolves with the one that stands. */
  record(run: RunFacts, result: QualityResult, audit: AuditEvent): Promise<QualityResult>;
}

/** A result as it is recorded with its run. */
export interface RecordedQuality extends QualityResult {
  run: Pick<Run, 'id' | 'tenant' | 'requestedBy' | 'definition'>;
  version: number;
  /** RFC 3339. */
  measuredAt: string;
}

/** The results as the API lists them. All of it throws `DatabaseUnavailable`. */
export interface QualityResults {
  /** Of one pipeline, the newest run first. `cursor` is the `nextCursor` of the page before. */
  list(
    tenant: string,
    filter: { pipeline: string; limit: number; cursor?: string },
  ): Promise<{ items: RecordedQuality[]; nextCursor: string | null }>;
}
