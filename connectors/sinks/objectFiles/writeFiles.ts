import { createHash } from 'node:crypto';
import type { FileWriter, SinkSettings } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { DestinationRun } from '../../../domain/ports/destinations.ts';
import { connectBucket, type NamedBucket } from '../../s3/connectBucket.ts';
import { getObject, putNewObject } from '../../s3/s3Objects.ts';
import { S3Error, type S3Requests } from '../../s3/s3Requests.ts';
import { parseS3Url } from '../../s3/s3Url.ts';

/**
 * `<folder>/<tenant>/<pipeline>/<run>/00000000.parquet`, a file a batch, and `_manifest.json` beside them, which is written last. Run and
 * batch give the key and, since stages are pure, the bytes too. So every write is conditional (`If-None-Match: *`): what a retry or a
 * worker that Temporal has given up writes is there already.
 */
export const fileWriter: FileWriter = {
  write: (run, file, settings, signal) =>
    withBucket(run, settings, async (requests) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of file.chunks()) chunks.push(chunk);
      await putOnce(requests, fileKey(run, file.seq), Buffer.concat(chunks), file.sha256, signal);
    }),

  complete: (run, files, settings) =>
    withBucket(run, settings, async (requests) => {
      const { tenant, runId, pipeline, version, definitionDigest, sink } = run;
      const manifest = {
        format: sink.format,
        ...{ run: runId, tenant, pipeline, version, definitionDigest },
        columns: sink.columns,
        rows: files.reduce((sum, { rows }) => sum + rows, 0),
        files: files.map(({ seq, rows, sizeBytes, sha256 }) => ({
          key: fileKey(run, seq),
          ...{ rows, sizeBytes, sha256 },
        })),
      };
      const body = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
      await putOnce(requests, `${folderOf(run)}_manifest.json`, body, digestOf(body));
    }),
};

function folderOf({ sink, tenant, pipeline, runId }: DestinationRun): string {
  return `${parseS3Url(bucketOf(sink).url)!.key}${tenant}/${pipeline}/${runId}/`;
}

function fileKey(run: DestinationRun, seq: number): string {
  return `${folderOf(run)}${String(seq).padStart(8, '0')}.${run.sink.format}`;
}

function bucketOf(sink: DestinationRun['sink']): NamedBucket {
  return sink as unknown as NamedBucket;
}

/** Throws `SinkRejected` where another object has the key. */
async function putOnce(
  requests: S3Requests,
  key: string,
  bytes: Uint8Array,
  sha256: string,
  signal?: AbortSignal,
): Promise<void> {
  if ((await putNewObject(requests, key, bytes, sha256)) === 'written') return;
  const { body } = await getObject(requests, key, { signal });
  const seen = createHash('sha256');
  for await (const chunk of body) seen.update(chunk);
  if (seen.digest('hex') === sha256) return;
  throw new WaybillError('SinkRejected', { detail: `another object has the key ${key}` });
}

async function withBucket(
  { sink }: DestinationRun,
  settings: SinkSettings,
  work: (requests: S3Requests) => Promise<void>,
): Promise<void> {
  let requests: S3Requests | undefined;
  try {
    requests = connectBucket(bucketOf(sink), settings, {
      refused: 'SinkRefused',
      unavailable: 'SinkUnavailable',
    });
    await work(requests);
  } catch (error) {
    throw failure(error);
  } finally {
    await requests?.close();
  }
}

function failure(error: unknown): unknown {
  if (error instanceof WaybillError || (error as Error).name === 'AbortError') return error;
  const publicDetail = error instanceof S3Error ? `The object store: ${error.message}.` : undefined;
  return new WaybillError('SinkUnavailable', {
    ...(publicDetail && { publicDetail }),
    detail: String(error),
    cause: error,
  });
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
