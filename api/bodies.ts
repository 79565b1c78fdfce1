import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { UploadRequest } from '../application/runs/acceptUpload.ts';
import { connectors } from '../connectors/index.ts';
import { WaybillError } from '../domain/errors.ts';
import { type JsonBody, readBytes, readJsonBody } from './jsonBody.ts';
import type { Route } from './routeTable.ts';

/** What the body of a route becomes that takes JSON or data; `undefined` where there is none. A form becomes its fields. */
export type Body =
  | { kind: 'json'; json: JsonBody }
  | ({ kind: 'upload' } & Omit<UploadRequest, 'query' | 'idempotencyKey'>);

const readWithinMs = 30_000;

/** JSON and forms are read at once and bounded; data is handed on as the stream it is. Everything else is refused. */
export function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addHook('onRequest', async (request) => {
    if (request.headers['content-encoding'] !== undefined)
      throw new WaybillError('UnsupportedMediaType', { detail: 'content-encoding' });
  });
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: Payload) => {
    const { bodyMaxBytes, body } = routeOf(request);
    if (body === 'form') throw new WaybillError('UnsupportedMediaType');
    refuseLong(request, bodyMaxBytes);
    const json = await readJsonBody(payload, bodyMaxBytes, readWithinMs);
    // Where there is nothing but JSON, the schema of the route is for its value.
    return body === 'json' ? json?.value : json && ({ kind: 'json', json } satisfies Body);
  });
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    async (request: FastifyRequest, payload: Payload) => {
      const { bodyMaxBytes, body } = routeOf(request);
      if (body !== 'form') throw new WaybillError('UnsupportedMediaType');
      refuseLong(request, bodyMaxBytes);
      return fieldsOf(await readBytes(payload, bodyMaxBytes, readWithinMs));
    },
  );
  for (const { mediaType } of connectors.formats) {
    app.addContentTypeParser(mediaType, async (request: FastifyRequest, payload: Payload) => {
      const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers['content-type'] ?? '')?.[1];
      const readable = charset === undefined || /^(utf-?8|us-ascii)$/i.test(charset);
      if (routeOf(request).body !== 'json or data' || !readable)
        throw new WaybillError('UnsupportedMediaType');
      const length = request.headers['content-length'];
      return {
        kind: 'upload',
        mediaType,
        stream: payload,
        sizeBytes: length === undefined ? undefined : Number(length),
      } satisfies Body;
    });
  }
}

type Payload = FastifyRequest['raw'];

function routeOf(request: FastifyRequest): Route {
  return request.routeOptions.config.route!;
}

function refuseLong({ headers }: FastifyRequest, bytesMax: number): void {
  if (Number(headers['content-length'] ?? 0) > bytesMax) throw new WaybillError('RequestTooLarge');
}

/** RFC 6749, section 3.2: a field that is given twice is an error, since two readers may take either. */
function fieldsOf(bytes: Uint8Array): Record<string, string> {
  const pairs = [...new URLSearchParams(Buffer.from(bytes).toString('utf8'))];
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw new WaybillError('InvalidRequest');
  return Object.fromEntries(pairs);
}
