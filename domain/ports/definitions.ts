import type { z } from 'zod';
import type { ApprovalCode } from '../approvals/approvalTerms.ts';
import type { EnrichCode } from '../pipelines/enrich.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { QualityCode } from '../quality/quality.ts';
import type { DefinitionRef } from './compute.ts';

/** The pipelines of the project that this process serves. */
export interface Definitions {
  list(): readonly LoadedPipeline[];
  /** The digests of all definitions that this process can run, those that were served before too. */
  listDigests(): readonly string[];
  /** The newest definition of a pipeline, or exactly the one of a digest, which may be one that was served before. */
  find(id: string, digest?: string): LoadedPipeline | undefined;
  /** Exactly the definition that a run was accepted with. Throws `DefinitionUnavailable`. */
  require(id: string, digest: string): LoadedPipeline;
}

export interface LoadedPipeline extends DefinitionRef {
  manifest: Manifest;
  parameters: z.ZodType;
  input: z.ZodType;
  output: z.ZodType;
  /** The code that looks values up; `undefined` where the pipeline does not enrich. */
  enrich?: EnrichCode | undefined;
  /** Code and schema of its gate; empty where there is none. */
  approval: ApprovalCode;
  /** The checks of its custom quality rules. */
  quality: QualityCode;
}
