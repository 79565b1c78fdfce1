/** What a project imports from `waybill` to define its pipelines. */

export { csv, tsv } from '../connectors/formats/csv/index.ts';
export { json } from '../connectors/formats/json/index.ts';
export { ndjson } from '../connectors/formats/ndjson/index.ts';
export { parquet } from '../connectors/formats/parquet/index.ts';
export { objectFiles } from '../connectors/sinks/objectFiles/index.ts';
export { postgres, rowDigest } from '../connectors/sinks/postgres/index.ts';
export { file } from '../connectors/sources/file/index.ts';
export { http } from '../connectors/sources/http/index.ts';
export { inline } from '../connectors/sources/inline/index.ts';
export { objectStore } from '../connectors/sources/objectStore/index.ts';
export { upload } from '../connectors/sources/upload/index.ts';
export type { IngestSummary, PublishSummary } from '../domain/approvals/approvalTerms.ts';
export { decimal } from '../domain/pipelines/decimal.ts';
export { DefinitionError } from '../domain/pipelines/definitionError.ts';
export { defaultLimits, type Limits, type Manifest } from '../domain/pipelines/manifest.ts';
export { type Reject, reject, type Skip, skip } from '../domain/pipelines/outcome.ts';
export type { Pipeline, Transform, TransformContext } from '../domain/pipelines/pipeline.ts';
export { text } from '../domain/pipelines/textSchemas.ts';
export type { QualityCounts, QualityRule, QualityTerms } from '../domain/quality/qualityTerms.ts';
export { definePipeline } from './definePipeline.ts';
