/** What a project imports from `waybill` to define its pipelines. */

export type { IngestSummary, PublishSummary } from '../domain/approvals/approvalTerms.ts';
export { DefinitionError } from '../domain/pipelines/definitionError.ts';
export { defaultLimits, type Limits, type Manifest } from '../domain/pipelines/manifest.ts';
export { type Reject, reject, type Skip, skip } from '../domain/pipelines/outcome.ts';
export {
  definePipeline,
  type Pipeline,
  type Transform,
  type TransformContext,
} from '../domain/pipelines/pipeline.ts';
export { postgres, rowDigest } from '../domain/pipelines/target.ts';
export { csv, file, http, inline, ndjson, upload } from '../domain/sources/source.ts';
