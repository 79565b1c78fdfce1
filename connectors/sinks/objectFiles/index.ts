import { z } from 'zod';
import type { SinkKind } from '../../../domain/connectors/sinkKind.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { Sink } from '../../../domain/pipelines/pipeline.ts';
import { bucketOptions, parseS3Url } from '../../s3/s3Url.ts';
import { createNdjsonEncoder } from './ndjsonRows.ts';
import { createParquetEncoder } from './parquetRows.ts';

export interface ObjectFilesOptions {
  /** `s3://bucket/folder/`, with a slash at its end. */
  url: string;
  format: 'parquet' | 'ndjson';
  /** The URL of an S3-compatible server. Default: AWS. */
  endpoint?: string;
  /** Default `us-east-1`. */
  region?: string;
  /** The name of the keys in the folder `WAYBILL_CREDENTIALS` of the workers. */
  credentials: string;
}

/**
 * The rows of each batch become a file in an S3 bucket, and a manifest, written last, names the files of the run. So a reader of
 * manifests sees each run once or not at all. Every row is kept.
 * @example objectFiles({ url: 's3://lake/orders/', format: 'parquet', credentials: 'lake' })
 */
export function objectFiles(options: ObjectFilesOptions): Sink<never> & ObjectFilesOptions {
  return { kind: 'objectFiles', ...options };
}

export const objectFilesSink: SinkKind = {
  kind: 'objectFiles',
  summary: 'rows become files in an S3 bucket, with a manifest for each run',
  options: z.object({
    url: z
      .string()
      .max(1_024)
      .refine(
        (url) => parseS3Url(url) !== undefined && url.endsWith('/'),
        'must be s3://bucket/folder/, with a slash at its end',
      ),
    format: z.enum(['parquet', 'ndjson'], 'can only be “parquet” or “ndjson”'),
    ...bucketOptions,
  }),
  describe(options, columns) {
    const { kind, ...given } = options as unknown as { kind: string } & ObjectFilesOptions;
    if (columns.length > 2_000)
      throw new DefinitionError('output', [{ path: '', message: 'has more than 2,000 columns' }]);
    return { kind, table: given.url, ...given, columns, atEnd: 'append' };
  },
  // Each pipeline has a folder of its own below the URL.
  conflict: () => undefined,
  encoder: (sink) => (sink.format === 'parquet' ? createParquetEncoder(sink) : createNdjsonEncoder(sink)),
  load: async () => (await import('./writeFiles.ts')).fileWriter,
};
