import { createHash, randomUUID } from 'node:crypto';
import {
  abortUpload,
  copyObject,
  listUploads,
  type MultipartUpload,
  partBytesMin,
  startMultipart,
} from '../../connectors/s3/s3Multipart.ts';
import { deleteObjects, getObject, listObjects, putNewObject } from '../../connectors/s3/s3Objects.ts';
import { S3Error, type S3Requests } from '../../connectors/s3/s3Requests.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { ObjectStore, ObjectWriter, StoredObject } from '../../domain/ports/objects.ts';
import { objectNamedBy, objectNameOf, sha256 } from './fileObjectStore.ts';

export interface S3ObjectStoreOptions {
  /** What every key begins with, without a slash at its end. `''`: nothing. */
  prefix: string;
  /** An object of up to this size is gathered in memory and sent by one request. Default 32 MiB. */
  singlePutBytesMax?: number;
  /** Of all writers together; above it each sends what it has as soon as a part may be that small. Default 256 MiB. */
  memoryBytesMax?: number;
  /** What the server copies by one request. Default 5 GiB, the limit of AWS. */
  copyBytesMax?: number;
}

/**
 * Objects of an S3 bucket, for any number of machines.
 *
 * Most objects are written by one conditional request (`If-None-Match: *`), which carries their SHA-256: the server
 * compares it with the bytes that arrived, and an object that is there stays. A large object has no digest before its end,
 * so its parts go to `tmp/<uuid>`, which no reader looks at; `finish` completes it and lets the server copy it to
 * its name. A crash leaves nothing but such an upload or object, which a later start sweeps.
 * Throws `StorageUnavailable` where the bucket cannot be listed.
 */
export async function openS3ObjectStore(
  requests: S3Requests,
  options: S3ObjectStoreOptions,
): Promise<ObjectStore> {
  const {
    singlePutBytesMax = 32 * mebibyte,
    memoryBytesMax = 256 * mebibyte,
    copyBytesMax = 5120 * mebibyte,
  } = options;
  const base = options.prefix === '' ? '' : `${options.prefix}/`;
  const keyOf = (...named: Parameters<typeof objectNameOf>) => base + objectNameOf(...named);
  const memory = { usedBytes: 0, maxBytes: memoryBytesMax };
  await storing(() => sweep(requests, `${base}tmp/`));

  return {
    put: (scope, bytes) =>
      storing(async () => {
        const digest = sha256(bytes);
        await putNewObject(requests, keyOf(scope, digest), bytes, digest);
        return digest;
      }),

    create: async (scope) => {
      // Rejects a run id that is no name before anything is written.
      keyOf(scope, sha256(''));
      return writerTo({
        requests,
        temporaryKey: `${base}tmp/${randomUUID()}`,
        keyOf: (digest) => keyOf(scope, digest),
        memory,
        singlePutBytesMax,
        copyBytesMax,
      });
    },

    get: (scope, digest) =>
      storing(async () => {
        const bytes = await read(requests, keyOf(scope, digest));
        if (sha256(bytes) !== digest) throw new WaybillError('BatchCorrupt', { detail: `object ${digest}` });
        return bytes;
      }),

    getRange: (scope, digest, offset, lengthBytes) =>
      storing(async () => {
        const key = keyOf(scope, digest);
        if (lengthBytes === 0) return new Uint8Array();
        try {
          return await read(requests, key, `bytes=${offset}-${offset + lengthBytes - 1}`);
        } catch (error) {
          // Nothing of the object lies there.
          if (error instanceof S3Error && error.status === 416) return new Uint8Array();
          throw error;
        }
      }),

    remove: (scope, digests) =>
      storing(() =>
        deleteObjects(
          requests,
          digests.map((digest) => keyOf(scope, digest)),
        ),
      ),

    list: (after, max) =>
      storing(async () => {
        const found: StoredObject[] = [];
        const from = after && { startAfter: base + after };
        for await (const { key, sizeBytes, lastModified } of listObjects(requests, {
          prefix: base,
          ...from,
        })) {
          const named = objectNamedBy(key.slice(base.length));
          if (!named) continue;
          const writtenAtMs = Date.parse(lastModified);
          found.push({ key: key.slice(base.length), ...named, sizeBytes, writtenAtMs });
          if (found.length === max) break;
        }
        return found;
      }),

    removeListed: (keys) =>
      storing(() =>
        deleteObjects(
          requests,
          keys.filter((key) => objectNamedBy(key)).map((key) => base + key),
        ),
      ),
  };
}

const mebibyte = 1024 * 1024;
const readAttemptsMax = 3;

/** An answer that breaks off after its headers is asked for again. */
async function read(requests: S3Requests, key: string, range?: string): Promise<Buffer> {
  for (let attempt = 1; ; attempt++) {
    const { headers, body } = await getObject(requests, key, range === undefined ? {} : { range });
    try {
      return await readBody(body, Number(headers['content-length']));
    } catch (error) {
      if (attempt === readAttemptsMax) throw error;
    }
  }
}

async function readBody(body: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(sizeBytes);
  let used = 0;
  for await (const chunk of body) {
    whole.set(chunk, used);
    used += chunk.length;
  }
  if (used !== sizeBytes) throw new Error(`${used} of ${sizeBytes} bytes`);
  return whole;
}

/** How small chunks are gathered. */
const blockBytes = 256 * 1024;

interface WriterOptions {
  requests: S3Requests;
  temporaryKey: string;
  keyOf(digest: string): string;
  memory: { usedBytes: number; readonly maxBytes: number };
  singlePutBytesMax: number;
  copyBytesMax: number;
}

/** Gathers in memory until the object is too large for that; from then on one part is on its way while the next is gathered. */
function writerTo({ requests, temporaryKey, keyOf, memory, ...limits }: WriterOptions): ObjectWriter {
  const hash = createHash('sha256');
  let gathered: Buffer[] = [];
  let gatheredBytes = 0;
  let block = Buffer.alloc(0);
  let blockUsed = 0;
  let sizeBytes = 0;
  let parts = 0;
  let upload: MultipartUpload | undefined;
  let sending: Promise<void> = Promise.resolve();
  let state: 'open' | 'finished' | 'aborted' = 'open';

  function isPartDue(): boolean {
    if (gatheredBytes < partBytesMin) return false;
    if (upload) return gatheredBytes >= partBytesOf(parts + 1);
    return gatheredBytes > limits.singlePutBytesMax || memory.usedBytes > memory.maxBytes;
  }

  /** The caller’s buffer is its own again after `write`. Small chunks share a block, so that a body of single bytes costs no object a byte. */
  function gather(chunk: Uint8Array): void {
    if (chunk.length > blockBytes / 4) {
      gathered.push(block.subarray(0, blockUsed), Buffer.from(chunk));
      block = block.subarray(blockUsed);
      blockUsed = 0;
      return;
    }
    if (blockUsed + chunk.length > block.length) {
      gathered.push(block.subarray(0, blockUsed));
      block = Buffer.allocUnsafeSlow(blockBytes);
      blockUsed = 0;
    }
    block.set(chunk, blockUsed);
    blockUsed += chunk.length;
  }

  async function sendPart(): Promise<void> {
    const body = take();
    upload ??= await startMultipart(requests, temporaryKey);
    await sending;
    sending = upload.put(++parts, body, sha256(body)).finally(() => release(body.length));
    // The next call that waits for it throws.
    sending.catch(() => {});
  }

  function take(): Buffer {
    gathered.push(block.subarray(0, blockUsed));
    const body = Buffer.concat(gathered, gatheredBytes);
    gathered = [];
    block = Buffer.alloc(0);
    blockUsed = 0;
    gatheredBytes = 0;
    return body;
  }

  function release(bytes: number): void {
    memory.usedBytes -= bytes;
  }

  async function finishParts(digest: string): Promise<void> {
    if (gatheredBytes > 0) await sendPart();
    await sending;
    await upload!.complete();
    await copyTo(keyOf(digest));
    await deleteObjects(requests, [temporaryKey]);
  }

  async function copyTo(key: string): Promise<void> {
    if (sizeBytes <= limits.copyBytesMax) return copyObject(requests, temporaryKey, key);
    const copying = await startMultipart(requests, key);
    try {
      for (let at = 0, part = 1; at < sizeBytes; at += limits.copyBytesMax, part++)
        await copying.copy(part, temporaryKey, at, Math.min(at + limits.copyBytesMax, sizeBytes) - 1);
      await copying.complete();
    } catch (error) {
      await copying.abort().catch(() => {});
      throw error;
    }
  }

  return {
    write: (chunk) =>
      storing(async () => {
        hash.update(chunk);
        gather(chunk);
        sizeBytes += chunk.length;
        gatheredBytes += chunk.length;
        memory.usedBytes += chunk.length;
        if (isPartDue()) await sendPart();
      }),

    finish: () =>
      storing(async () => {
        const digest = hash.digest('hex');
        if (upload) await finishParts(digest);
        else {
          const body = take();
          try {
            await putNewObject(requests, keyOf(digest), body, digest);
          } finally {
            release(body.length);
          }
        }
        state = 'finished';
        return { digest, sizeBytes };
      }),

    async abort() {
      if (state !== 'open') return;
      state = 'aborted';
      release(gatheredBytes);
      gathered = [];
      gatheredBytes = 0;
      if (!upload) return;
      await sending.catch(() => {});
      await upload.abort().catch(() => {});
      await deleteObjects(requests, [temporaryKey]).catch(() => {});
    },
  };
}

/** An object has 10,000 parts at most: later ones are larger, so that half a terabyte fits. */
function partBytesOf(number: number): number {
  return 8 * mebibyte * 2 ** Math.min(3, Math.floor(number / 1_000));
}

/** No write takes a day: what is older was left by a process that died. */
const abandonedAfterMs = 24 * 60 * 60 * 1000;

/** Its first request shows, too, whether bucket and keys are usable. */
async function sweep(requests: S3Requests, prefix: string): Promise<void> {
  const isAbandoned = (at: string) => Date.now() - Date.parse(at) > abandonedAfterMs;
  const abandoned: string[] = [];
  for await (const { key, lastModified } of listObjects(requests, { prefix }))
    if (isAbandoned(lastModified)) abandoned.push(key);
  await deleteObjects(requests, abandoned);
  for (const upload of await listUploads(requests, prefix))
    if (isAbandoned(upload.initiated)) await abortUpload(requests, upload);
}

/** Runs requests; whatever a server answers but that there is no such object is `StorageUnavailable`. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const isAbsent = error instanceof S3Error && error.status === 404 && error.code !== 'NoSuchBucket';
    throw new WaybillError(isAbsent ? 'BatchNotFound' : 'StorageUnavailable', {
      detail: `object store: ${(error as Error).message}`,
      cause: error,
    });
  }
}
