import { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import type { SourceReader, SourceSettings } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { OpenOptions, OpenSource } from '../../../domain/ports/sources.ts';
import { type Compression, compressions } from '../../../domain/sources/compression.ts';
import { linkToNext } from '../../../domain/sources/pages.ts';
import { parseRetryAfter } from '../../../domain/webhooks/webhookAnswer.ts';
import { checkUrl, type Egress, mayPass, ownErrorIn, publicLookup, retryAfter } from '../../egress.ts';
import { credentialHeaders } from './httpCredential.ts';
import { readPageBody } from './pageBody.ts';

const redirectsMax = 5;
const connectTimeoutMs = 10_000;
/** Silence that counts as stalled, before the headers and between two chunks. */
const stallTimeoutMs = 30_000;

export const urlReader: SourceReader = {
  open({ url, credentials }, settings, options) {
    const { token } = options;
    const obtain = token
      ? async (origin: string) => ({ authorization: `Bearer ${await token(origin)}` })
      : credentials === undefined
        ? undefined
        : () => credentialHeaders(credentials, settings.credentials?.(credentials));
    const { page } = options;
    const target = page?.url ?? url!;
    const secret = secretOf(parse(url!).origin, page?.foreign ? undefined : obtain);
    return openUrl(
      options.since ? sinceUrl(target, options.since) : target,
      egressOf(settings),
      { ...options, source: url! },
      secret,
    );
  },
  async check({ url, auth, credentials }, settings) {
    const isSecret = auth === 'caller' || credentials !== undefined;
    checkUrl(new URL(url!), egressOf(settings), isSecret);
  },
};

function sinceUrl(text: string, { parameter, value }: NonNullable<OpenOptions['since']>): string {
  const url = new URL(text);
  url.searchParams.set(parameter, value);
  return url.href;
}

function egressOf({ egressAllow, lookup }: SourceSettings): Egress {
  return { allow: egressAllow, lookup: lookup as Egress['lookup'] };
}

/**
 * Reads a URL by GET, without proxies, decompression or any credential but those of its origin. Throws as
 * `Sources.open` says.
 */
async function openUrl(
  text: string,
  egress: Egress,
  options: OpenOptions & { source: string },
  secret: Secret,
): Promise<OpenSource> {
  let url = parse(text);
  for (let redirects = 0; redirects <= redirectsMax; redirects++) {
    const { response, agent } = await get(url, egress, options, secret);
    try {
      if (response.statusCode !== 401 || !secret.renew()) {
        const location = redirectOf(response);
        if (location === undefined) {
          const opened = answer(response, agent, options);
          return options.pages ? await answerPage(opened, response, url, options) : opened;
        }
        url = parse(location, url);
      }
    } catch (error) {
      await agent.destroy();
      throw error;
    }
    await agent.destroy();
  }
  throw new WaybillError('SourceRefused', { detail: `more than ${redirectsMax} redirects` });
}

function parse(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (!url) throw new WaybillError('SourceRefused', { detail: 'not a URL' });
  return url;
}

/** Gives what says who asks, to an origin: a new token, or the credential as it is now. */
type ObtainHeaders = (origin: string) => Promise<Record<string, string>>;

interface Secret {
  isFor(url: URL): boolean;
  headers(): Promise<Record<string, string>>;
  /** Whether it makes sense to ask once more, with headers that are newer than those before. */
  renew(): boolean;
}

/**
 * The headers of one origin. A redirect to another origin ends it for good: another server would choose the way
 * back. They are renewed once, for a server that rejects a token because what came before took so long, or a credential that was rotated.
 */
function secretOf(origin: string, obtain: ObtainHeaders | undefined): Secret {
  let current: Record<string, string> | undefined;
  let ended = obtain === undefined;
  let renewed = false;
  return {
    isFor(url) {
      ended ||= url.origin !== origin;
      return !ended;
    },
    async headers() {
      current ??= await obtain!(origin);
      return current;
    },
    renew() {
      if (ended || renewed) return false;
      current = undefined;
      renewed = true;
      return true;
    },
  };
}

/** One request on a connection of its own, which ends with the stream: nothing is kept, nothing is shared. */
async function get(url: URL, egress: Egress, options: OpenOptions, secret: Secret) {
  const withSecret = secret.isFor(url);
  const lookup = checkUrl(url, egress, withSecret) === 'named' ? egress.lookup : publicLookup(egress);
  const headers = withSecret ? await secret.headers() : {};
  const agent = new Agent({
    connect: { timeout: connectTimeoutMs, ...(lookup && { lookup }) },
    headersTimeout: stallTimeoutMs,
    bodyTimeout: stallTimeoutMs,
  });
  const { fromByte = 0, signal, version, compression } = options;
  try {
    const response = await request(url, {
      dispatcher: agent,
      headers: {
        ...headers,
        accept: '*/*',
        'accept-encoding': compression ? `${compression}, identity;q=0.5` : 'identity',
        'user-agent': 'waybill',
        ...(fromByte > 0 && { range: `bytes=${fromByte}-` }),
        // The server sends the rest only if it is the rest of the same bytes, else all of the new ones.
        ...(fromByte > 0 && version?.startsWith('"') && { 'if-range': version }),
      },
      signal,
    });
    return { response, agent };
  } catch (error) {
    await agent.destroy();
    throw failure(error, signal);
  }
}

function redirectOf({ statusCode, headers }: Dispatcher.ResponseData): string | undefined {
  const { location } = headers;
  return [301, 302, 303, 307, 308].includes(statusCode) && typeof location === 'string'
    ? location
    : undefined;
}

function answer(response: Dispatcher.ResponseData, agent: Agent, options: OpenOptions): OpenSource {
  const { statusCode, headers } = response;
  const { fromByte = 0 } = options;
  const range = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(String(headers['content-range'] ?? ''));
  const atEnd = statusCode === 416 && fromByte > 0 && range?.[3] === String(fromByte);
  const nothing = statusCode === 204;
  if (statusCode !== 200 && statusCode !== 206 && !nothing && !atEnd)
    throw statusError(statusCode, fromByte, parseRetryAfter(headers['retry-after'], Date.now()));
  // Less than the rest would be taken for all of it.
  const isRest = Number(range?.[1]) === fromByte && Number(range?.[2]) + 1 === Number(range?.[3]);
  if (statusCode === 206 && !isRest)
    throw unavailable('It answered with another range than the one requested.');
  const encoding = encodingOf(headers);
  // The end of the connection would be taken for the end of the data, also between two members of compressed data.
  const delimited =
    headers['content-length'] !== undefined || /\bchunked$/i.test(String(headers['transfer-encoding']));
  if (!delimited && !nothing && !atEnd)
    throw rejected(
      'It answered without Content-Length and not in chunks, so Waybill cannot tell whether the data is whole.',
    );
  // What was read before was not compressed, and its positions mean nothing in this.
  if (encoding && fromByte > 0) throw new WaybillError('SourceChanged');
  const version = versionOf(headers, statusCode === 200 ? String(headers['content-length']) : range?.[3]);
  if (options.version != null && options.version !== version) throw new WaybillError('SourceChanged');
  const skipBytes = statusCode === 200 ? fromByte : 0;
  return {
    version,
    encoding,
    stream: read(response.body, agent, { skipBytes, empty: atEnd || nothing, signal: options.signal }),
  };
}

/** Its records, and where the next page is. A page with its records in a member is read as a whole. */
async function answerPage(
  opened: OpenSource,
  { headers }: Dispatcher.ResponseData,
  url: URL,
  { pages, source }: OpenOptions & { source: string },
): Promise<OpenSource> {
  const { items } = pages!;
  let { stream } = opened;
  let next = pages!.by === 'link' ? linkToNext([headers.link ?? []].flat().join(', ')) : undefined;
  if (items !== undefined) {
    if (opened.encoding) throw rejected(`It answered with the content encoding ${opened.encoding}, unasked.`);
    const body = await readPageBody(stream, { ...pages!, items }, source);
    stream = Readable.from([body.bytes]);
    next ??= body.next;
  }
  return { ...opened, stream, url: url.href, next: next === undefined ? undefined : parse(next, url).href };
}

function encodingOf({
  'content-encoding': named,
}: Dispatcher.ResponseData['headers']): Compression | undefined {
  const encoding = String(named ?? '')
    .toLowerCase()
    .replace(/^x-/, '');
  if (encoding === '' || encoding === 'identity') return undefined;
  const known = compressions.find((one) => one === encoding);
  if (known) return known;
  throw rejected(`It answered with the content encoding ${named}, which was not requested.`);
}

/** A strong entity tag, else date and length. A weak tag promises the same meaning, not the same bytes. */
function versionOf(
  headers: Dispatcher.ResponseData['headers'],
  sizeBytes: string | undefined,
): string | null {
  const { etag, 'last-modified': modified } = headers;
  if (typeof etag === 'string' && /^"[^"]*"$/.test(etag)) return etag;
  return typeof modified === 'string' && sizeBytes && /^\d+$/.test(sizeBytes)
    ? `${modified} ${sizeBytes}`
    : null;
}

async function* read(
  body: AsyncIterable<Uint8Array>,
  agent: Agent,
  { skipBytes, empty, signal }: { skipBytes: number; empty: boolean; signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void, void> {
  let toSkip = skipBytes;
  try {
    if (empty) return;
    for await (const chunk of body) {
      if (toSkip >= chunk.length) toSkip -= chunk.length;
      else {
        yield toSkip > 0 ? chunk.subarray(toSkip) : chunk;
        toSkip = 0;
      }
    }
  } catch (error) {
    throw failure(error, signal);
  } finally {
    await agent.destroy();
  }
}

/** What undici threw, as one of our codes. The guard’s refusal arrives as it is, or wrapped as a cause. */
function failure(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  return ownErrorIn(error) ?? new WaybillError('SourceUnavailable', { cause: error });
}

function statusError(statusCode: number, fromByte: number, retryAfterMs: number | undefined): WaybillError {
  // What is left of the source begins behind its end.
  if (statusCode === 416 && fromByte > 0) return new WaybillError('SourceChanged');
  if (statusCode < 400 || mayPass(statusCode)) return unavailable(`It answered ${statusCode}.`, retryAfterMs);
  return rejected(`It answered ${statusCode}.`);
}

function rejected(publicDetail: string): WaybillError {
  return new WaybillError('SourceRejected', { publicDetail });
}

function unavailable(publicDetail: string, retryAfterMs?: number): WaybillError {
  return new WaybillError('SourceUnavailable', { publicDetail, ...retryAfter(retryAfterMs) });
}
