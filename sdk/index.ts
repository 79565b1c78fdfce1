/** What a project imports from `waybill` to define its pipelines. */

export type { IngestSummary, PublishSummary } from '../domain/approvalTerms.ts';
export { DefinitionError } from '../domain/definitionError.ts';
export { defaultLimits, type Limits, type Manifest } from '../domain/manifest.ts';
export { type Reject, reject, type Skip, skip } from '../domain/outcome.ts';
export { definePipeline, type Pipeline, type Transform, type TransformContext } from '../domain/pipeline.ts';
export { csv, file, http, inline, ndjson, upload } from '../domain/source.ts';
export { postgres, rowDigest } from '../domain/target.ts';
