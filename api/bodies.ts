import type { FastifyInstance, FastifyRequest } from 'fastify';
import { WaybillError } from '../domain/errors.ts';
import { readJsonBody } from './jsonBody.ts';
import type { Body } from './routes/createRun.ts';

const jsonWithinMs = 30_000;

/** JSON is read at once and bounded; data is handed on as the stream it is. Everything else is refused. */
export function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addHook('onRequest', async (request) => {
    if (request.headers['content-encoding'] !== undefined)
      throw new WaybillError('UnsupportedMediaType', { detail: 'content-encoding' });
  });
  app.addContentTypeParser(
    'application/json',
    async (request: FastifyRequest, payload: NodeJS.ReadableStream) => {
      const bytesMax = request.routeOptions.config.route!.bodyMaxBytes;
      if (Number(request.headers['content-length'] ?? 0) > bytesMax)
        throw new WaybillError('RequestTooLarge');
      const json = await readJsonBody(payload as typeof request.raw, bytesMax, jsonWithinMs);
      return json && ({ kind: 'json', json } satisfies Body);
    },
  );
  for (const mediaType of ['application/x-ndjson', 'text/csv'] as const) {
    app.addContentTypeParser(mediaType, async (request: FastifyRequest, payload: NodeJS.ReadableStream) => {
      const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers['content-type'] ?? '')?.[1];
      const readable = charset === undefined || /^(utf-?8|us-ascii)$/i.test(charset);
      if (!request.routeOptions.config.route!.uploads || !readable)
        throw new WaybillError('UnsupportedMediaType');
      const length = request.headers['content-length'];
      return {
        kind: 'upload',
        mediaType,
        stream: payload as typeof request.raw,
        sizeBytes: length === undefined ? undefined : Number(length),
      } satisfies Body;
    });
  }
}
