import { z } from 'zod';
import type { PulledSourceKind } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { FormatManifest, SourceManifest } from '../../../domain/pipelines/manifest.ts';
import { type Compression, compressions } from '../../../domain/sources/compression.ts';
import { bucketOptions, parseS3Url } from '../../s3/s3Url.ts';

export interface ObjectStoreOptions {
  /** `s3://bucket/key` is one object; `s3://bucket/folder/`, with a slash at its end, is every object below it. */
  url: string;
  /** Which keys below the folder are read: `*` and `?` within a name, `**` across names, `{a,b}`. Default: all. */
  glob?: string;
  /**
   * Each run reads the objects that came since the run before: those with a later key, or those that were modified later.
   * Default: each run reads all of them.
   */
  cursor?: 'key' | 'lastModified';
  /** Default: as an object’s `Content-Encoding` says, else as its suffix does, `.gz` or `.zst`. */
  compression?: Compression | 'none';
  /** The URL of an S3-compatible server. Default: AWS. */
  endpoint?: string;
  /** Default `us-east-1`. */
  region?: string;
  /** The name of the keys in the folder `WAYBILL_CREDENTIALS` of the workers. Default: requests are not signed. */
  credentials?: string;
}

/**
 * Waybill reads objects of an S3 bucket, in the order of their keys. What a run reads is fixed when it begins, with the entity tag of each
 * object: one that changes or vanishes before it is read ends the run as `SourceChanged`.
 * A caller may name a part of it: `{ "source": { "url": "s3://bucket/folder/2026/" } }`.
 * @example objectStore(ndjson(), { url: 's3://lake/orders/', glob: '**' + '/*.ndjson', cursor: 'key', credentials: 'lake' })
 */
export function objectStore<F extends FormatManifest>(
  format: F,
  options: ObjectStoreOptions,
): { kind: 'objectStore'; format: F } & ObjectStoreOptions {
  return { kind: 'objectStore', format, ...options };
}

const S3Url = z
  .string()
  .max(2_048)
  .refine((url) => parseS3Url(url) !== undefined, 'must be s3://bucket/key or s3://bucket/folder/');

export const objectStoreSource: PulledSourceKind = {
  kind: 'objectStore',
  summary: 'Waybill reads objects of an S3 bucket',
  delivery: 'pulled',
  format: 'chosen',
  reference: 'url',
  ranged: true,
  listed: true,
  cursors: ['key', 'lastModified'],
  options: z.object({
    url: S3Url,
    glob: z.string().min(1).max(1_024).optional(),
    compression: z.enum([...compressions, 'none']).optional(),
    cursor: z.enum(['key', 'lastModified'], 'can only be “key” or “lastModified”').optional(),
    ...bucketOptions,
    credentials: bucketOptions.credentials.optional(),
  }),
  describe(source) {
    for (const option of ['glob', 'cursor'] as const)
      if (source[option] !== undefined && !isFolder(source.url!)) {
        const message = `needs a url that ends with “/”: ${source.url} is one object`;
        throw new DefinitionError('source', [{ path: option, message }]);
      }
    return source;
  },
  accept(defined: SourceManifest, accepted) {
    const { url, glob, cursor, endpoint, region, credentials } = defined as ObjectStoreOptions &
      SourceManifest;
    // The keys that the author named are for what the author named.
    if (accepted.url !== url && !(isFolder(url) && accepted.url!.startsWith(url)))
      throw invalid(`Name objects below ${url}.`);
    if (parseS3Url(accepted.url!) === undefined)
      throw invalid('Name s3://bucket/key or s3://bucket/folder/.');
    return {
      ...accepted,
      ...(glob !== undefined && { glob, below: url }),
      ...(cursor !== undefined && { order: cursor as 'key' | 'lastModified' }),
      ...(endpoint !== undefined && { endpoint }),
      ...(region !== undefined && { region }),
      ...(credentials !== undefined && { credentials }),
    };
  },
  load: async () => (await import('./readObjects.ts')).objectReader,
};

function isFolder(url: string): boolean {
  return url.endsWith('/');
}

function invalid(message: string): WaybillError {
  return new WaybillError('SourceInvalid', { issues: [{ path: '/source/url', message }] });
}
