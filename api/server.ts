import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { type Authorization, authorize } from '../application/authorize.ts';
import { WaybillError } from '../domain/errors.ts';
import { readBodies } from './bodies.ts';
import { documented } from './document.ts';
import type { Handler } from './handler.ts';
import { createLoadGate } from './loadGate.ts';
import type { ApiOptions, ApiPorts } from './ports.ts';
import { allowedMethods, prepareAnswer, reject, rejectConnection } from './reject.ts';
import { approvalSample, getApproval, listApprovals } from './routes/approvals.ts';
import { createSchedule, deleteSchedule, updateSchedule } from './routes/changeSchedule.ts';
import { createRun } from './routes/createRun.ts';
import { getDeadLetter, listDeadLetters } from './routes/deadLetters.ts';
import { decide } from './routes/decide.ts';
import { getDelivery, listDeliveries, redeliverEvent } from './routes/deliveries.ts';
import { explain } from './routes/explanations.ts';
import { answerFiring, listFirings } from './routes/firings.ts';
import { protectedResource, whoami } from './routes/identity.ts';
import { listKeys, rotateKeys } from './routes/keys.ts';
import { holdRun, listHolds, releaseRun } from './routes/legalHolds.ts';
import { listLimits } from './routes/limits.ts';
import { backchannelLogout } from './routes/logout.ts';
import { health, keys, openapi, ready } from './routes/operations.ts';
import { getPipeline, listPipelines } from './routes/pipelines.ts';
import { listQuality } from './routes/quality.ts';
import { discardDeadLetters, redriveDeadLetters } from './routes/redriveLetters.ts';
import { countRejections } from './routes/rejections.ts';
import { repairDeadLetter, repairDeadLetters } from './routes/repairLetters.ts';
import { createRevocation, liftRevocation, listRevocations } from './routes/revocations.ts';
import { listLetterAudit, listRunAudit } from './routes/runAudit.ts';
import { followRun } from './routes/runEvents.ts';
import { inputOffset, sendInput } from './routes/runInput.ts';
import { cancelRun, getRun, listRuns, resumeRun, retryRun } from './routes/runs.ts';
import { backfillSchedule, runSchedule } from './routes/scheduleRuns.ts';
import { pauseSchedule, renewSchedule, resumeSchedule } from './routes/scheduleStates.ts';
import { getSchedule, listSchedules, previewSchedule } from './routes/schedules.ts';
import { token } from './routes/token.ts';
import { cancelRuns, moveRuns } from './routes/waitingRuns.ts';
import { rotateEventKeys, webhookKeys } from './routes/webhookKeys.ts';
import { isPathOf, type Route, type RouteName, routeTable } from './routeTable.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** W3C trace id; `txn` of all that the request causes. */
    traceId: string;
    /** Set once all checks of the route have passed; `undefined` where the route asks for no identity. */
    authorization: Authorization | undefined;
  }
  interface FastifyContextConfig {
    route?: Route;
    name?: RouteName;
  }
}

/** Connections that may wait to be accepted. Node’s 511 let Linux reset some of a thousand callers who come at once. */
export const backlog = 4_096;
const headersWithinMs = 15_000;
/** The longest that an upload may take; one that stalls is ended much earlier. */
const requestWithinMs = 12 * 3_600_000;
/** How often a server that stops closes the connections that have become idle. */
const sweepMs = 100;

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
    frameworkErrors: (error, request, reply) => reject(error, request, reply),
    clientErrorHandler: rejectConnection,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.decorateRequest('traceId', '');
  app.decorateRequest('authorization', undefined);
  app.setErrorHandler(reject);
  app.setNotFoundHandler((request) => {
    throw new WaybillError(allowedMethods(request).length > 0 ? 'MethodNotAllowed' : 'NotFound');
  });
  app.addHook('onRequest', async (request, reply) => prepareAnswer(request, reply));
  app.addHook('onSend', async (_, reply) => {
    if (stopping.signal.aborted) reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) =>
    options.onAnswered?.({
      method: request.method,
      route: request.routeOptions.config.route?.path ?? 'none',
      status: reply.statusCode,
      tookMs: reply.elapsedTime,
    }),
  );
  const load = createLoadGate(() => ports.waitingQueries());
  app.addHook('onClose', async () => load.close());
  const unused = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  app.server.on('request', ({ socket }) => unused.delete(socket));
  app.addHook('preClose', async () => {
    stopping.abort();
    // Node closes neither connections that become idle later nor those without a request: they would stay open for a minute.
    const sweeping = setInterval(() => {
      app.server.closeIdleConnections();
      for (const socket of unused) socket.destroy();
    }, sweepMs);
    app.server.once('close', () => clearInterval(sweeping));
  });
  await documented(app, options);

  await app.register(async (guarded) => {
    readBodies(guarded, ports);
    // Default deny by the route object: what has no row in the table is not served.
    guarded.addHook('onRequest', async (request) => {
      const { route, name } = request.routeOptions.config;
      if (!route || !name || !isPathOf(route, request.url.split('?', 1)[0]!))
        throw new WaybillError('NotFound');
      load.check(name);
      request.authorization = await authorizeRoute(ports, options, route, request);
    });
    const handlers = handlersOf(ports, options, stopping.signal);
    for (const name of Object.keys(routeTable) as RouteName[]) {
      const route: Route = routeTable[name];
      const { schema, handle } = handlers[name];
      guarded.route({
        method: route.method,
        url: route.path,
        config: { route, name, swagger: { exposeHeadRoute: true } },
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

/** What the route’s row in the table says, before a byte of the body is read. */
async function authorizeRoute(
  ports: ApiPorts,
  options: ApiOptions,
  { identity, action, resource, path }: Route,
  request: FastifyRequest,
): Promise<Authorization | undefined> {
  if (identity !== 'token') return undefined;
  const { id = '' } = request.params as { id?: string };
  const accessToken = accessTokenOf(request.raw);
  return authorize(ports, options, {
    accessToken,
    action,
    resource: resource ?? 'self',
    id,
    txn: request.traceId,
    route: path,
    signal: signalOf(request.raw.socket),
  });
}

/** Node keeps the first of several such headers and a proxy may look at the last, so there may be only one. */
function accessTokenOf({ headersDistinct }: IncomingMessage): string {
  const [header = '', ...more] = headersDistinct.authorization ?? [];
  const token = bearer.exec(header)?.[1];
  if (token && more.length === 0) return token;
  throw new WaybillError('Unauthenticated', { detail: 'not one bearer token' });
}

/** Aborts once the connection is closed: a caller who leaves gives up all requests on it. */
function signalOf(socket: Socket): AbortSignal {
  const known = connections.get(socket);
  if (known) return known;
  const gone = new AbortController();
  connections.set(socket, gone.signal);
  socket.once('close', () => gone.abort(new WaybillError('RequestTimeout', { detail: 'the caller left' })));
  return gone.signal;
}

const connections = new WeakMap<Socket, AbortSignal>();

const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

function handlersOf(ports: ApiPorts, options: ApiOptions, stopping: AbortSignal): Record<RouteName, Handler> {
  return {
    createRun: createRun(ports, options),
    listPipelines: listPipelines(ports),
    getPipeline: getPipeline(options),
    listQuality: listQuality(ports, options),
    listRuns: listRuns(ports, options),
    getRun: getRun(options),
    inputOffset: inputOffset(ports),
    sendInput: sendInput(ports, options, 'PUT'),
    appendInput: sendInput(ports, options, 'PATCH'),
    followRun: followRun(ports, options, stopping),
    listRunAudit: listRunAudit(ports),
    listLetterAudit: listLetterAudit(ports),
    countRejections: countRejections(ports),
    cancelRun: cancelRun(ports, options),
    resumeRun: resumeRun(ports, options),
    retryRun: retryRun(ports, options),
    cancelRuns: cancelRuns(ports),
    moveRuns: moveRuns(ports, options),
    holdRun: holdRun(ports),
    releaseRun: releaseRun(ports),
    listHolds: listHolds(ports),
    listLimits: listLimits(ports),
    listKeys: listKeys(ports),
    rotateKeys: rotateKeys(ports),
    revoke: createRevocation(ports, options),
    listRevocations: listRevocations(ports, options),
    restore: liftRevocation(ports, options),
    backchannelLogout: backchannelLogout(ports),
    token: token(ports, options),
    explain: explain(ports, options),
    listDeliveries: listDeliveries(ports, options),
    getDelivery: getDelivery(options),
    redeliver: redeliverEvent(ports, options),
    listApprovals: listApprovals(ports, options),
    getApproval: getApproval(ports, options),
    approvalSample: approvalSample(ports),
    decide: decide(ports, options),
    listDeadLetters: listDeadLetters(ports, options),
    getDeadLetter: getDeadLetter(ports, options),
    repairDeadLetter: repairDeadLetter(ports, options),
    repairDeadLetters: repairDeadLetters(ports),
    redriveDeadLetters: redriveDeadLetters(ports, options),
    discardDeadLetters: discardDeadLetters(ports),
    webhookKeys: webhookKeys(ports),
    rotateWebhookKeys: rotateEventKeys(ports),
    listSchedules: listSchedules(ports, options),
    createSchedule: createSchedule(ports, options),
    previewSchedule: previewSchedule(ports),
    getSchedule: getSchedule(ports, options),
    updateSchedule: updateSchedule(ports, options),
    deleteSchedule: deleteSchedule(ports),
    pauseSchedule: pauseSchedule(ports, options),
    resumeSchedule: resumeSchedule(ports, options),
    renewSchedule: renewSchedule(ports, options),
    runSchedule: runSchedule(ports, options),
    backfillSchedule: backfillSchedule(ports, options),
    listFirings: listFirings(ports, options),
    fire: answerFiring(ports, options),
    health: health(),
    ready: ready(ports),
    openapi: openapi(),
    keys: keys(ports),
    whoami: whoami(),
    protectedResource: protectedResource(options),
  };
}
