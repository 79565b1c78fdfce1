import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { errors, WaybillError } from '../domain/errors.ts';
import { documented } from './document.ts';
import { type Admission, admit } from './gate.ts';
import type { Handler } from './handler.ts';
import { readJsonBody } from './jsonBody.ts';
import type { ApiOptions, ApiPorts } from './ports.ts';
import { problemOf, toWaybillError } from './problem.ts';
import { type Body, createRun } from './routes/createRun.ts';
import { health, keys, openapi, ready } from './routes/operations.ts';
import { getPipeline, listPipelines } from './routes/pipelines.ts';
import { listRunAudit } from './routes/runAudit.ts';
import { followRun } from './routes/runEvents.ts';
import { cancelRun, getRun, listRuns } from './routes/runs.ts';
import { type Route, type RouteName, routeTable } from './routeTable.ts';
import { traceIdOf, traceResponseOf } from './trace.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** W3C trace id; `txn` of whatever the request brings about. */
    traceId: string;
    /** Set once all checks of the route have passed; `undefined` where the route asks for no identity. */
    admission: Admission | undefined;
  }
  interface FastifyContextConfig {
    route?: Route;
  }
}

/** A JSON body is read within this time, headers within the shorter one. */
const jsonWithinMs = 30_000;
const headersWithinMs = 15_000;
/** The longest that an upload may take; one that stalls is ended much earlier. */
const requestWithinMs = 12 * 3_600_000;

/** The HTTP server over its ports; it does not listen yet. `close` ends event streams and waits for requests. */
export async function buildServer(ports: ApiPorts, options: ApiOptions): Promise<FastifyInstance> {
  const stopping = new AbortController();
  const app = Fastify({
    logger: options.log ?? false,
    exposeHeadRoutes: false,
    requestTimeout: requestWithinMs,
    http: { headersTimeout: headersWithinMs },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    logController: new LogController({ disableRequestLogging: true }),
    routerOptions: { maxParamLength: 300 },
    frameworkErrors: (error, request, reply) => refuse(error, request, reply),
    clientErrorHandler: refuseConnection,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.decorateRequest('traceId', '');
  app.decorateRequest('admission', undefined);
  app.setErrorHandler(refuse);
  app.setNotFoundHandler((request) => {
    throw new WaybillError(allowedMethods(request).length > 0 ? 'MethodNotAllowed' : 'NotFound');
  });
  app.addHook('onRequest', async (request, reply) => trace(request, reply));
  app.addHook('onSend', async (_, reply) => {
    if (stopping.signal.aborted) reply.header('connection', 'close');
  });
  app.addHook('preClose', async () => stopping.abort());
  await documented(app, options);

  await app.register(async (guarded) => {
    readBodies(guarded);
    // Default deny by the route object: what has no row in the table is not served.
    guarded.addHook('onRequest', async (request) => {
      const { route } = request.routeOptions.config;
      if (!route) throw new WaybillError('NotFound');
      request.admission = await admit(ports, route, request);
    });
    const handlers = handlersOf(ports, options, stopping.signal);
    for (const name of Object.keys(routeTable) as RouteName[]) {
      const route: Route = routeTable[name];
      const { schema, handle } = handlers[name];
      guarded.route({
        method: route.method,
        url: route.path,
        config: { route },
        bodyLimit: Math.max(route.bodyMaxBytes, 1),
        schema: {
          ...schema,
          operationId: name,
          ...(route.identity === 'none' && { security: [] }),
        } as object,
        handler: handle,
      });
    }
  });
  return app;
}

function handlersOf(ports: ApiPorts, options: ApiOptions, stopping: AbortSignal): Record<RouteName, Handler> {
  return {
    createRun: createRun(ports, options),
    listPipelines: listPipelines(ports),
    getPipeline: getPipeline(),
    listRuns: listRuns(ports, options),
    getRun: getRun(ports, options),
    followRun: followRun(ports, options, stopping),
    listRunAudit: listRunAudit(ports),
    cancelRun: cancelRun(ports, options),
    health: health(),
    ready: ready(ports),
    openapi: openapi(),
    keys: keys(ports),
  };
}

/** JSON is read at once and bounded; data is handed on as the stream it is. Everything else is refused. */
function readBodies(app: FastifyInstance): void {
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

/** Every refusal is a problem (RFC 9457); what is private stays in the log. */
function refuse(thrown: FastifyError | Error | unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toWaybillError(thrown);
  // Malformed requests get here before any hook has run.
  if (!request.traceId) trace(request, reply);
  const problem = problemOf(error, request.traceId);
  const level = problem.status >= 500 ? 'error' : 'info';
  request.log[level](
    { code: error.code, detail: error.detail, traceId: request.traceId, cause: error.cause },
    `${request.method} refused`,
  );
  reply.code(problem.status).type('application/problem+json');
  if (problem.status === 401) reply.header('www-authenticate', challengeOf(error, request));
  if (problem.status === 405) reply.header('allow', allowedMethods(request).join(', '));
  if (errors[error.code].retryable) reply.header('retry-after', '1');
  closeUnread(request);
  reply.send(JSON.stringify(problem));
}

function trace(request: FastifyRequest, reply: FastifyReply): void {
  request.traceId = traceIdOf(request.headers.traceparent);
  reply.header('x-trace-id', request.traceId).header('traceresponse', traceResponseOf(request.traceId));
}

/** RFC 6750, section 3: without a token the challenge names no error. */
function challengeOf({ code }: WaybillError, { headers }: FastifyRequest): string {
  if (headers.authorization === undefined) return 'Bearer';
  return `Bearer error="invalid_token", error_description="${code}"`;
}

/**
 * Who is still sending a body gets the answer and has 5 s to read it, while what arrives is thrown away; then the
 * connection is closed. `Connection: close` would let Node close it at once, and the answer would be lost with it.
 */
function closeUnread({ raw }: FastifyRequest): void {
  if (raw.complete) return;
  raw.resume();
  const timer = setTimeout(() => raw.destroy(), 5_000);
  timer.unref();
  raw.once('close', () => clearTimeout(timer));
}

function allowedMethods({ url }: FastifyRequest): string[] {
  const path = url.split('?', 1)[0]!;
  const rows: Route[] = Object.values(routeTable);
  return rows.filter((row) => patternOf(row).test(path)).map(({ method }) => method);
}

function patternOf({ path }: Route): RegExp {
  return new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`);
}

/** Before there is a request: what is not HTTP, headers that are too large or too slow. */
function refuseConnection(error: Error & { code?: string }, socket: import('node:net').Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const problem = problemOf(
    new WaybillError(slow ? 'RequestTimeout' : 'InvalidRequest'),
    traceIdOf(undefined),
  );
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${slow ? 'Request Timeout' : 'Bad Request'}\r\nconnection: close\r\n` +
      `content-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
