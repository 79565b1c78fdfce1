import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { UploadRequest } from '../application/runs/acceptUpload.ts';
import { connectors } from '../connectors/index.ts';
import { WaybillError } from '../domain/errors.ts';
import { type Compression, compressions } from '../domain/sources/compression.ts';
import { BodyBudget, type HeldBody } from './bodyBudget.ts';
import { type JsonBody, parseJsonBody, readBytes } from './jsonBody.ts';
import type { ApiPorts } from './ports.ts';
import type { Route } from './routeTable.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes of its body, until it is answered. */
    heldBody: HeldBody | undefined;
  }
}

/** What the body of a route becomes that takes JSON or data; `undefined` where there is none. A form becomes its fields. */
export type Body =
  | { kind: 'json'; json: JsonBody }
  | ({ kind: 'upload' } & Pick<UploadRequest, 'compression' | 'stream' | 'sizeBytes'> & {
        /** `undefined`: the format of the pipeline. */
        mediaType: string | undefined;
      });

const readWithinMs = 30_000;

/** JSON and forms are read at once and bounded; data is handed on as the stream it is. Everything else is rejected. */
export function readBodies(app: FastifyInstance, { inputs }: Pick<ApiPorts, 'inputs'>): void {
  const budget = new BodyBudget();
  app.removeAllContentTypeParsers();
  app.decorateRequest('heldBody', undefined);
  app.addHook('onRequest', async ({ raw }) => {
    // Node keeps the first, and a proxy may look at the last.
    if ((raw.headersDistinct['content-type']?.length ?? 0) > 1)
      throw new WaybillError('InvalidRequest', {
        issues: [{ path: 'content-type', message: 'Send one Content-Type.' }],
      });
  });
  app.addHook('onSend', async ({ heldBody }) => heldBody?.release());

  function read(request: FastifyRequest, payload: Payload): Promise<Buffer> {
    const { bodyMaxBytes } = routeOf(request);
    const { tenant = '', id = '' } = request.authorization?.principal ?? {};
    request.heldBody = budget.hold(`${tenant} ${id}`);
    const length = request.headers['content-length'];
    if (length === undefined) return readBytes(payload, bodyMaxBytes, readWithinMs, request.heldBody.grow);
    if (Number(length) > bodyMaxBytes) throw new WaybillError('RequestTooLarge');
    request.heldBody.grow(Number(length));
    return readBytes(payload, bodyMaxBytes, readWithinMs);
  }

  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: Payload) => {
    const { body } = routeOf(request);
    const records = recordsType(request.headers['content-type']);
    if (records && takesData(body)) return uploadOf(request, payload, records);
    if (body === 'data') throw new WaybillError('UnsupportedMediaType');
    rejectCompressed(request);
    if (body === 'form') throw new WaybillError('UnsupportedMediaType');
    const json = parseJsonBody(await read(request, payload));
    // Where there is nothing but JSON, the schema of the route is for its value.
    return body === 'json' ? json?.value : json && ({ kind: 'json', json } satisfies Body);
  });
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    async (request: FastifyRequest, payload: Payload) => {
      if (routeOf(request).body !== 'form') throw new WaybillError('UnsupportedMediaType');
      rejectCompressed(request);
      return fieldsOf(await read(request, payload));
    },
  );
  for (const { mediaType } of connectors.formats)
    if (!mediaType.includes(';'))
      app.addContentTypeParser(mediaType, async (request: FastifyRequest, payload: Payload) =>
        uploadOf(request, payload, mediaType),
      );
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: Payload) => {
    // A part of an upload is in the format of its pipeline, whatever it is called.
    const mediaType = /^[^;\s]*/.exec(request.headers['content-type'] ?? '')![0].toLowerCase();
    if (routeOf(request).body === 'data' && partTypes.includes(mediaType))
      return uploadOf(request, payload, undefined);
    const pipeline = routeOf(request).body === 'json or data' && request.authorization?.pipeline;
    // Throws, and names what the pipeline takes.
    if (pipeline) inputs.format(pipeline.manifest.source, request.headers['content-type'] ?? 'none');
    throw new WaybillError('UnsupportedMediaType');
  });
}

/** `application/partial-upload`: draft-ietf-httpbis-resumable-upload. */
const partTypes = ['', 'application/partial-upload', 'application/octet-stream'];

function takesData(body: Route['body']): boolean {
  return body === 'json or data' || body === 'data';
}

/** By its Content-Encoding; `x-gzip` is the same as `gzip` (RFC 9110, section 8.4.1.3). */
function compressionOf({ headers }: FastifyRequest): Compression | undefined {
  const encoding = headers['content-encoding']?.trim().toLowerCase().replace(/^x-/, '');
  if (encoding === undefined || encoding === 'identity') return undefined;
  const known = compressions.find((one) => one === encoding);
  if (known) return known;
  throw unsupported('content-encoding', `Compress data by ${compressions.join(' or ')}, or not at all.`);
}

/** What is read at once is bounded by the bytes that arrive. */
function rejectCompressed(request: FastifyRequest): void {
  if (request.headers['content-encoding'] !== undefined)
    throw unsupported('content-encoding', 'Only data may be compressed.');
}

const charsets: Readonly<Record<string, RegExp>> = {
  'utf-8': /^(utf-?8|us-ascii)$/i,
  'utf-16le': /^utf-16(le)?$/i,
  'utf-16be': /^utf-16(be)?$/i,
  latin1: /^(iso-8859-1|latin-?1|us-ascii)$/i,
  'windows-1252': /^(windows-1252|cp-?1252|us-ascii)$/i,
};

/** The definition declares in what its data is written; a request that says otherwise contradicts it. */
function checkCharset(request: FastifyRequest): void {
  // A part of an upload has characters that are cut.
  if (routeOf(request).body === 'data') return;
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers['content-type'] ?? '')?.[1];
  const declared = String(request.authorization?.pipeline?.manifest.source.format?.encoding ?? 'utf-8');
  if (charset !== undefined && !charsets[declared]?.test(charset))
    throw unsupported('content-type', `Send the data in ${declared.toUpperCase()}.`);
}

function unsupported(path: string, message: string): WaybillError {
  return new WaybillError('UnsupportedMediaType', { issues: [{ path, message }] });
}

/** The media type of a format that is JSON too, such as `application/json; profile=records`; its parameter tells it from an envelope. */
function recordsType(contentType = ''): string | undefined {
  const profile = /;\s*profile\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  return connectors.formats.find(({ mediaType }) => mediaType === `application/json; profile=${profile}`)
    ?.mediaType;
}

/** Data is handed on as the stream that it is. */
function uploadOf(request: FastifyRequest, payload: Payload, mediaType: string | undefined): Body {
  if (!takesData(routeOf(request).body)) throw new WaybillError('UnsupportedMediaType');
  checkCharset(request);
  const length = request.headers['content-length'];
  return {
    kind: 'upload',
    mediaType,
    compression: compressionOf(request),
    stream: payload,
    sizeBytes: length === undefined ? undefined : Number(length),
  };
}

type Payload = FastifyRequest['raw'];

function routeOf(request: FastifyRequest): Route {
  return request.routeOptions.config.route!;
}

/** RFC 6749, section 3.2: a field that is given twice is an error, since two readers may take either. */
function fieldsOf(bytes: Uint8Array): Record<string, string> {
  const pairs = [...new URLSearchParams(Buffer.from(bytes).toString('utf8'))];
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw new WaybillError('InvalidRequest');
  return Object.fromEntries(pairs);
}
