import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { UploadRequest } from '../application/runs/acceptUpload.ts';
import { connectors } from '../connectors/index.ts';
import { WaybillError } from '../domain/errors.ts';
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
  | ({ kind: 'upload' } & Omit<UploadRequest, 'query' | 'idempotencyKey'>);

const readWithinMs = 30_000;

/** JSON and forms are read at once and bounded; data is handed on as the stream it is. Everything else is rejected. */
export function readBodies(app: FastifyInstance, { inputs }: Pick<ApiPorts, 'inputs'>): void {
  const budget = new BodyBudget();
  app.removeAllContentTypeParsers();
  app.decorateRequest('heldBody', undefined);
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers['content-encoding'] !== undefined)
      throw new WaybillError('UnsupportedMediaType', { detail: 'content-encoding' });
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
    if (body === 'form') throw new WaybillError('UnsupportedMediaType');
    const json = parseJsonBody(await read(request, payload));
    // Where there is nothing but JSON, the schema of the route is for its value.
    return body === 'json' ? json?.value : json && ({ kind: 'json', json } satisfies Body);
  });
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    async (request: FastifyRequest, payload: Payload) => {
      if (routeOf(request).body !== 'form') throw new WaybillError('UnsupportedMediaType');
      return fieldsOf(await read(request, payload));
    },
  );
  for (const { mediaType } of connectors.formats) {
    app.addContentTypeParser(mediaType, async (request: FastifyRequest, payload: Payload) => {
      const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers['content-type'] ?? '')?.[1];
      const readable = charset === undefined || /^(utf-?8|us-ascii)$/i.test(charset);
      if (routeOf(request).body !== 'json or data') throw new WaybillError('UnsupportedMediaType');
      if (!readable)
        throw new WaybillError('UnsupportedMediaType', {
          issues: [{ path: 'content-type', message: 'Send the data in UTF-8.' }],
        });
      const length = request.headers['content-length'];
      return {
        kind: 'upload',
        mediaType,
        stream: payload,
        sizeBytes: length === undefined ? undefined : Number(length),
      } satisfies Body;
    });
  }
  app.addContentTypeParser('*', async (request: FastifyRequest) => {
    const pipeline = routeOf(request).body === 'json or data' && request.authorization?.pipeline;
    // Throws, and names what the pipeline takes.
    if (pipeline) inputs.format(pipeline.manifest.source, request.headers['content-type'] ?? 'none');
    throw new WaybillError('UnsupportedMediaType');
  });
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
