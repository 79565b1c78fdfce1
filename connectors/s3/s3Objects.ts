import { createHash } from 'node:crypto';
import { S3Error, type S3Request, type S3Requests, type S3Response } from './s3Requests.ts';
import { type BucketEntry, encodeXml, readList } from './s3Xml.ts';

/** Reads an object, or a part of it: `range` is as in HTTP, `bytes=0-9`. */
export function getObject(
  requests: S3Requests,
  key: string,
  options: Pick<S3Request, 'signal'> & { range?: string; ifMatch?: string; versionId?: string } = {},
): Promise<S3Response> {
  const { range, ifMatch, versionId, signal } = options;
  return requests.send({
    method: 'GET',
    key,
    query: { ...(versionId && { versionId }) },
    headers: { ...(range && { range }), ...(ifMatch && { 'if-match': ifMatch }) },
    signal,
  });
}

/** Headers of an object, or `undefined` where there is none. */
export async function headObject(
  requests: S3Requests,
  key: string,
  options: Pick<S3Request, 'signal'> = {},
): Promise<S3Response['headers'] | undefined> {
  try {
    const { headers, body } = await requests.send({ method: 'HEAD', key, ...options });
    await body.dump();
    return headers;
  } catch (error) {
    if (error instanceof S3Error && error.status === 404 && error.code !== 'NoSuchBucket') return undefined;
    throw error;
  }
}

/** Writes an object unless there is one of this key, which then stays as it is. `sha256`: of the bytes, in hex. */
export async function putNewObject(
  requests: S3Requests,
  key: string,
  body: Uint8Array,
  sha256?: string,
): Promise<'written' | 'present'> {
  try {
    const { body: answer } = await requests.send({
      method: 'PUT',
      key,
      headers: { 'if-none-match': '*', 'content-type': 'application/octet-stream' },
      body,
      ...(sha256 && { sha256 }),
    });
    await answer.dump();
    return 'written';
  } catch (error) {
    if (error instanceof S3Error && error.status === 412) return 'present';
    throw error;
  }
}

/** Lists objects in the order of their keys’ bytes. */
export async function* listObjects(
  requests: S3Requests,
  options: { prefix: string; startAfter?: string; signal?: AbortSignal | undefined; pageMax?: number },
): AsyncGenerator<BucketEntry, void, void> {
  const { prefix, startAfter, signal, pageMax = 1_000 } = options;
  let next: string | undefined;
  do {
    const page = readList(
      await requests.sendForText({
        method: 'GET',
        query: {
          'list-type': '2',
          'encoding-type': 'url',
          'max-keys': String(pageMax),
          prefix,
          ...(startAfter !== undefined && { 'start-after': startAfter }),
          ...(next !== undefined && { 'continuation-token': next }),
        },
        signal,
      }),
    );
    yield* page.objects;
    next = page.next;
  } while (next !== undefined);
}

const deletionsMax = 1_000;

/** Deletes objects; absent ones are ignored. Throws `S3Error` for the first that stays. */
export async function deleteObjects(requests: S3Requests, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += deletionsMax) {
    const some = keys.slice(at, at + deletionsMax);
    const entries = some.map((key) => `<Object><Key>${encodeXml(key)}</Key></Object>`).join('');
    const body = Buffer.from(`<Delete><Quiet>true</Quiet>${entries}</Delete>`);
    const answer = await requests.sendForText({
      method: 'POST',
      query: { delete: '' },
      // The one checksum that every server takes here.
      headers: { 'content-md5': createHash('md5').update(body).digest('base64') },
      body,
    });
    const failed = /<Error>.*?<Code>([^<]*)<\/Code>/s.exec(answer)?.[1];
    if (failed && failed !== 'NoSuchKey')
      throw new S3Error(200, failed, `the server did not delete: ${failed}`);
  }
}
