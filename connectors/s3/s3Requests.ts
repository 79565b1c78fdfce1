import { createHash } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { AwsV4Signer } from 'aws4fetch';
import { Agent, type Dispatcher, request } from 'undici';
import type { RotatingKeys, S3Keys } from './s3Keys.ts';
import { elementOf } from './s3Xml.ts';

/** Where a bucket is. */
export interface S3Bucket {
  bucket: string;
  region: string;
  /** Of a server other than AWS, which then is asked for `/bucket/key`. */
  endpoint?: string | undefined;
}

export interface S3Request {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  key?: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array;
  /** Lower-case hex SHA-256 of the body, where the caller knows it. The server compares it with what arrives. */
  sha256?: string;
  signal?: AbortSignal | undefined;
}

export type S3Response = Dispatcher.ResponseData;

/** Sends requests to one bucket. */
export interface S3Requests {
  readonly bucket: string;
  /** Resolves with an answer below 300, or 304. Throws `S3Error` for every other answer, and for none. */
  send(request: S3Request): Promise<S3Response>;
  /** Resolves with the small document of an answer. Throws also for an error behind the status 200. */
  sendForText(request: S3Request): Promise<string>;
  close(): Promise<void>;
}

/** The server’s answer, or `status` 0 where there was none. `message` holds no secret and no signature. */
export class S3Error extends Error {
  override readonly name = 'S3Error';
  readonly status: number;
  /** As the server names it: `NoSuchKey`, `AccessDenied`. Empty where it gave none. */
  readonly code: string;

  constructor(status: number, code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.code = code;
  }
}

export interface S3RequestOptions {
  /** Without keys requests are not signed, as buckets that everyone may read take them. */
  keys?: RotatingKeys | undefined;
  /** Default: the system’s resolver. */
  lookup?: LookupFunction | undefined;
  /** Silence that counts as a lost answer. Default 30,000. */
  stallTimeoutMs?: number;
}

const connectTimeoutMs = 10_000;
const connectionsMax = 64;
/** In all about 3 s; what takes longer is a matter of the caller’s own retries. */
const attemptsMax = 5;
const firstDelayMs = 100;
const errorBytesMax = 64 * 1024;
const textBytesMax = 16 * 1024 * 1024;

/**
 * Signs each request with the keys as they are then (AWS Signature Version 4) and repeats what may pass: no answer, 5xx, 429,
 * and keys that the server rejects, which are read again first. Every request of ours may be repeated. No redirect is
 * followed.
 */
export function createS3Requests(at: S3Bucket, options: S3RequestOptions): S3Requests {
  const { keys, lookup, stallTimeoutMs = 30_000 } = options;
  const agent = new Agent({
    connect: { timeout: connectTimeoutMs, ...(lookup && { lookup }) },
    headersTimeout: stallTimeoutMs,
    bodyTimeout: stallTimeoutMs,
    connections: connectionsMax,
  });
  const base = baseUrlOf(at);
  const derivedKeys = new Map<string, ArrayBuffer>();

  async function attempt(one: S3Request, using: S3Keys | undefined): Promise<S3Response> {
    const url = urlOf(base, one);
    const headers = { ...one.headers, 'x-amz-content-sha256': one.sha256 ?? sha256(one.body ?? '') };
    const response = await request(url, {
      dispatcher: agent,
      method: one.method,
      headers: using ? await sign(one.method, url, headers, using) : headers,
      body: one.body ?? null,
      signal: one.signal,
    }).catch((error: Error) => {
      one.signal?.throwIfAborted();
      // A name that leads to a forbidden address, and the like, is not a matter of the network.
      throw error.name === 'WaybillError' ? error : new S3Error(0, '', `no answer: ${error.message}`, error);
    });
    if (response.statusCode < 300 || response.statusCode === 304) return response;
    throw await errorOf(response);
  }

  async function sign(method: string, url: URL, headers: Record<string, string>, using: S3Keys) {
    // Else every pair of keys that ever was stays in memory.
    if (derivedKeys.size > 8) derivedKeys.clear();
    const signer = new AwsV4Signer({
      ...using,
      service: 's3',
      region: at.region,
      method,
      url: url.href,
      headers,
      cache: derivedKeys,
    });
    return Object.fromEntries((await signer.sign()).headers);
  }

  async function repeat<T>(one: S3Request, work: (using: S3Keys | undefined) => Promise<T>): Promise<T> {
    let using = await keys?.current();
    for (let attempts = 1; ; attempts++) {
      try {
        return await work(using);
      } catch (error) {
        if (!(error instanceof S3Error) || attempts === attemptsMax) throw error;
        const isRejected = rejectedKeys.has(error.code);
        if (!isRejected && !mayPass(error)) throw error;
        await pause(firstDelayMs * 2 ** (attempts - 1) * (0.5 + Math.random() / 2), undefined, {
          signal: one.signal,
        });
        // A server may reject the old keys a moment before the file has the new ones.
        if (isRejected && keys && using) using = await keys.renew(using).catch(() => using);
      }
    }
  }

  return {
    bucket: at.bucket,
    send: (one) => repeat(one, (using) => attempt(one, using)),
    sendForText: (one) =>
      repeat(one, async (using) => {
        const { statusCode, body } = await attempt(one, using);
        const text = await textOf(body, textBytesMax);
        if (/^\s*(<\?xml[^>]*>)?\s*<Error>/.test(text)) throw readError(text, statusCode);
        return text;
      }),
    close: () => agent.destroy(),
  };
}

/** Codes that say: not with these keys. */
const rejectedKeys = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
  'InvalidClientTokenId',
]);

const passing = new Set([0, 408, 425, 429, 500, 502, 503, 504]);
const passingCodes = new Set([
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeout',
  'SlowDown',
]);

function mayPass({ status, code }: S3Error): boolean {
  return passing.has(status) || passingCodes.has(code) || code === 'InternalError';
}

/** A bucket with a dot in its name does not fit a certificate of the form `*.s3.…`. */
export function baseUrlOf({ bucket, region, endpoint }: S3Bucket): string {
  if (endpoint) return `${endpoint.replace(/\/+$/, '')}/${encodeURIComponent(bucket)}`;
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return bucket.includes('.')
    ? `https://s3.${region}.${domain}/${bucket}`
    : `https://${bucket}.s3.${region}.${domain}`;
}

function urlOf(base: string, { key, query = {} }: S3Request): URL {
  if (key !== undefined && !isAddressable(key))
    throw new S3Error(400, 'InvalidKey', 'A key with “.” or “..” between slashes cannot stand in a URL.');
  const path = key === undefined ? '' : `/${key.split('/').map(encodeURIComponent).join('/')}`;
  const url = new URL(`${base}${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/** A URL loses `.` and `..` on its way, so that it would name another object. */
function isAddressable(key: string): boolean {
  return key !== '' && !key.split('/').some((part) => part === '.' || part === '..');
}

async function errorOf({ statusCode, headers, body }: S3Response): Promise<S3Error> {
  const text = await textOf(body, errorBytesMax).catch(() => '');
  const region = headers['x-amz-bucket-region'];
  if (statusCode === 301 && region)
    return new S3Error(statusCode, 'PermanentRedirect', `The bucket is in the region ${region}.`);
  return readError(text, statusCode);
}

function readError(xml: string, status: number): S3Error {
  // An answer to HEAD has no body.
  const code = elementOf(xml, 'Code') ?? (status === 404 ? 'NotFound' : '');
  return new S3Error(status, code, `the server answered ${status} ${code}`.trimEnd());
}

async function textOf(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of body) {
      sizeBytes += chunk.length;
      if (sizeBytes > bytesMax) throw new S3Error(0, '', `an answer of more than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof S3Error) throw error;
    throw new S3Error(0, '', `the answer broke off: ${(error as Error).message}`, error);
  }
  return Buffer.concat(chunks).toString();
}

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
