import { headObject } from './s3Objects.ts';
import { S3Error, type S3Requests } from './s3Requests.ts';
import { elementOf, encodeXml, type ListedUpload, readUploads } from './s3Xml.ts';

/** What an S3 server takes: no part but the last is smaller. */
export const partBytesMin = 5 * 1024 * 1024;

/** An object that is written in parts. It exists only once `complete` resolves. */
export interface MultipartUpload {
  /** Parts count from 1. `sha256`: of the bytes, in hex. */
  put(number: number, body: Uint8Array, sha256: string): Promise<void>;
  /** A part that is a range of another object of the bucket; both bytes belong to it. */
  copy(number: number, fromKey: string, firstByte: number, lastByte: number): Promise<void>;
  complete(): Promise<void>;
  abort(): Promise<void>;
}

export async function startMultipart(requests: S3Requests, key: string): Promise<MultipartUpload> {
  const answer = await requests.sendForText({
    method: 'POST',
    key,
    query: { uploads: '' },
    headers: { 'content-type': 'application/octet-stream' },
  });
  const uploadId = elementOf(answer, 'UploadId');
  if (!uploadId) throw new S3Error(200, '', 'the server gave no upload id');
  const parts = new Map<number, string>();

  function keep(number: number, etag: unknown): void {
    if (typeof etag !== 'string') throw new S3Error(200, '', 'the server gave no entity tag for a part');
    parts.set(number, etag);
  }

  return {
    async put(number, body, sha256) {
      const query = { partNumber: String(number), uploadId };
      const { headers, body: rest } = await requests.send({ method: 'PUT', key, query, body, sha256 });
      await rest.dump();
      keep(number, headers.etag);
    },

    async copy(number, fromKey, firstByte, lastByte) {
      const text = await requests.sendForText({
        method: 'PUT',
        key,
        query: { partNumber: String(number), uploadId },
        headers: {
          'x-amz-copy-source': copySource(requests.bucket, fromKey),
          'x-amz-copy-source-range': `bytes=${firstByte}-${lastByte}`,
        },
      });
      keep(number, elementOf(text, 'ETag'));
    },

    async complete() {
      const entries = [...parts]
        .sort(([a], [b]) => a - b)
        .map(([n, tag]) => `<Part><PartNumber>${n}</PartNumber><ETag>${encodeXml(tag)}</ETag></Part>`);
      const body = Buffer.from(`<CompleteMultipartUpload>${entries.join('')}</CompleteMultipartUpload>`);
      try {
        await requests.sendForText({ method: 'POST', key, query: { uploadId }, body });
      } catch (error) {
        // The upload is gone and the object is there: an answer was lost, and this is the repetition.
        if (!(error instanceof S3Error) || error.code !== 'NoSuchUpload') throw error;
        if (!(await headObject(requests, key))) throw error;
      }
    },

    abort: () => abortUpload(requests, { key, uploadId }),
  };
}

/** Copies within the bucket. */
export async function copyObject(requests: S3Requests, fromKey: string, key: string): Promise<void> {
  await requests.sendForText({
    method: 'PUT',
    key,
    headers: { 'x-amz-copy-source': copySource(requests.bucket, fromKey) },
  });
}

/** The uploads below a prefix that were neither completed nor aborted; of many, the first thousand. */
export async function listUploads(requests: S3Requests, prefix: string): Promise<ListedUpload[]> {
  return readUploads(await requests.sendForText({ method: 'GET', query: { uploads: '', prefix } }));
}

export async function abortUpload(
  requests: S3Requests,
  { key, uploadId }: Pick<ListedUpload, 'key' | 'uploadId'>,
): Promise<void> {
  try {
    await (await requests.send({ method: 'DELETE', key, query: { uploadId } })).body.dump();
  } catch (error) {
    if (!(error instanceof S3Error) || error.status !== 404) throw error;
  }
}

function copySource(bucket: string, key: string): string {
  return `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
}
