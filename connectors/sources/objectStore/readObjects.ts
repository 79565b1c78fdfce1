import type { SourceReader, SourceSettings } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { ListedSource, OpenOptions, OpenSource } from '../../../domain/ports/sources.ts';
import { compressions } from '../../../domain/sources/compression.ts';
import type { AcceptedSource } from '../../../domain/sources/source.ts';
import type { ObjectsMark } from '../../../domain/sources/watermark.ts';
import { checkBucket, connectBucket, type NamedBucket } from '../../s3/connectBucket.ts';
import { getObject, listObjects } from '../../s3/s3Objects.ts';
import { S3Error, type S3Requests } from '../../s3/s3Requests.ts';
import { globExpression, parseS3Url } from '../../s3/s3Url.ts';
import type { BucketEntry } from '../../s3/s3Xml.ts';

/** What one run reads; what is left is for the next run, or too much where there is none. */
const objectsMax = 100_000;
/** What one run looks at. */
const listedMax = 2_000_000;

export const objectReader: SourceReader = {
  async check(source, settings) {
    checkBucket(bucketOf(source), settings, 'SourceRefused');
  },

  async open(source, settings, options) {
    const { key } = urlOf(options.object?.url ?? source.url!);
    const version = options.object?.version ?? options.version ?? undefined;
    const requests = connect(source, settings);
    try {
      return await openObject(requests, key, { ...options, version });
    } catch (error) {
      await requests.close();
      throw failure(error, version !== undefined);
    }
  },

  async list(source, settings, since, signal) {
    const requests = connect(source, settings);
    try {
      return await list(requests, source, since, signal);
    } catch (error) {
      throw failure(error, false);
    } finally {
      await requests.close();
    }
  },
};

async function list(
  requests: S3Requests,
  source: AcceptedSource,
  since: ObjectsMark | undefined,
  signal: AbortSignal | undefined,
): Promise<ListedSource> {
  const { bucket, key: prefix } = urlOf(source.url!);
  const startAfter = source.order === 'key' ? since?.value : undefined;
  const isWanted = wanted(source, prefix, since);
  let found: BucketEntry[] = [];
  let looked = 0;
  for await (const object of listObjects(requests, { prefix, signal, ...(startAfter && { startAfter }) })) {
    if (++looked > listedMax) throw tooMany(`more than ${listedMax} objects`);
    if (isWanted(object)) found.push(object);
    if (source.order === 'key' && found.length === objectsMax) break;
  }
  if (source.order === 'lastModified') found = earliest(found);
  else if (found.length > objectsMax)
    throw tooMany(`more than ${objectsMax} objects that it would read in one run`);
  const through = markOf(source, found, since);
  return {
    objects: found.map(({ key, etag, sizeBytes }) => ({
      url: `s3://${bucket}/${key}`,
      version: etag,
      sizeBytes,
    })),
    ...(through && { through }),
  };
}

function wanted(source: AcceptedSource, prefix: string, since: ObjectsMark | undefined) {
  const isOne = prefix !== '' && !prefix.endsWith('/');
  const glob = source.glob === undefined ? undefined : globExpression(source.glob);
  const below = urlOf(source.below ?? source.url!).key.length;
  const seen = new Set(since?.seen);
  return (object: BucketEntry): boolean => {
    const { key, lastModified } = object;
    if (isOne) return key === prefix;
    // Tools write an empty object of this name to show a folder.
    if (key.endsWith('/') || (glob && !glob.test(key.slice(below)))) return false;
    if (source.order !== 'lastModified' || !since) return true;
    const at = instantOf(lastModified);
    return at > since.value || (at === since.value && !seen.has(nameOf(object)));
  };
}

/** Objects of one instant stay together, for a mark cannot lie between them. */
function earliest(found: BucketEntry[]): BucketEntry[] {
  const sorted = found.sort(
    (a, b) => compare(instantOf(a.lastModified), instantOf(b.lastModified)) || compare(a.key, b.key),
  );
  if (sorted.length <= objectsMax) return sorted;
  const last = instantOf(sorted[objectsMax - 1]!.lastModified);
  return sorted.filter(({ lastModified }, at) => at < objectsMax || instantOf(lastModified) === last);
}

function markOf(
  { order }: AcceptedSource,
  found: readonly BucketEntry[],
  since: ObjectsMark | undefined,
): ObjectsMark | undefined {
  const last = found.at(-1);
  if (!order || !last) return undefined;
  if (order === 'key') return { kind: 'objects', value: last.key };
  const value = instantOf(last.lastModified);
  const now = found.filter(({ lastModified }) => instantOf(lastModified) === value).map(nameOf);
  return { kind: 'objects', value, seen: since?.value === value ? [...(since.seen ?? []), ...now] : now };
}

/** Of an object that was modified again within the second, the new version is another one. */
function nameOf({ key, etag }: BucketEntry): string {
  return `${etag} ${key}`;
}

function instantOf(lastModified: string): string {
  return new Date(lastModified).toISOString();
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function openObject(
  requests: S3Requests,
  key: string,
  { fromByte = 0, version, signal }: OpenOptions,
): Promise<OpenSource> {
  try {
    const { statusCode, headers, body } = await getObject(requests, key, {
      signal,
      ...(fromByte > 0 && { range: `bytes=${fromByte}-` }),
      ...(version != null && { ifMatch: version }),
    });
    const found = typeof headers.etag === 'string' ? headers.etag : null;
    if (version != null && found !== version) throw new WaybillError('SourceChanged', { detail: key });
    const isRest = String(headers['content-range'] ?? '').startsWith(`bytes ${fromByte}-`);
    if (fromByte > 0 && (statusCode !== 206 || !isRest))
      throw new WaybillError('SourceUnavailable', {
        publicDetail: 'The object store answered with another range than the one requested.',
      });
    const encoding = compressions.find((one) => one === headers['content-encoding']);
    return { version: found, stream: read(requests, body, signal), ...(encoding && { encoding }) };
  } catch (error) {
    // Nothing is left of the object. Without a version the rest might be of another one.
    if (!(error instanceof S3Error) || error.status !== 416 || version == null) throw error;
    await requests.close();
    return { version, stream: (async function* () {})() };
  }
}

async function* read(
  requests: S3Requests,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* body;
  } catch (error) {
    signal?.throwIfAborted();
    throw new WaybillError('SourceUnavailable', {
      publicDetail: 'The answer of the object store broke off.',
      detail: String(error),
      cause: error,
    });
  } finally {
    await requests.close();
  }
}

/** Throws `SourceRefused`, `SourceUnavailable`. */
function connect(source: AcceptedSource, settings: SourceSettings): S3Requests {
  return connectBucket(bucketOf(source), settings, {
    refused: 'SourceRefused',
    unavailable: 'SourceUnavailable',
  });
}

function bucketOf({ url, endpoint, region, credentials }: AcceptedSource): NamedBucket {
  return { url: url!, endpoint, region, credentials };
}

function urlOf(text: string) {
  const url = parseS3Url(text);
  if (!url) throw new WaybillError('SourceRefused', { detail: 'not a URL of an object store' });
  return url;
}

function tooMany(what: string): WaybillError {
  return new WaybillError('SourceRejected', {
    publicDetail: `The source has ${what}. Name a smaller folder, or set a cursor.`,
  });
}

function failure(error: unknown, isPinned: boolean): unknown {
  if (!(error instanceof S3Error)) {
    if (error instanceof WaybillError || (error as Error).name === 'AbortError') return error;
    // The keys cannot be read, or are none.
    return new WaybillError('SourceUnavailable', { detail: String(error), cause: error });
  }
  const { status, code, message } = error;
  if (isPinned && (status === 412 || status === 404))
    return new WaybillError('SourceChanged', { detail: message });
  const publicDetail = `The object store: ${message}.`;
  // Rights may be given while the run waits, but an object or a bucket that is not there will hardly come.
  const isFinal = status >= 400 && status < 500 && status !== 403 && status !== 408 && status !== 429;
  return new WaybillError(isFinal || code === 'PermanentRedirect' ? 'SourceRejected' : 'SourceUnavailable', {
    publicDetail,
    cause: error,
  });
}
