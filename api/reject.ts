import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { errors, WaybillError } from '../domain/errors.ts';
import { oauthErrorOf, oauthStatusOf } from './oauthError.ts';
import { problemOf, toWaybillError } from './problem.ts';
import { isPathOf, type Route, routeTable } from './routeTable.ts';
import { traceIdOf, traceResponseOf } from './trace.ts';

/** Answers every rejection as a problem (RFC 9457); what is private stays in the log. */
export function reject(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toWaybillError(thrown);
  // Malformed requests get here before any hook has run.
  if (!request.traceId) prepareAnswer(request, reply);
  const status = isToken(request) ? oauthStatusOf(error) : errors[error.code].status;
  // A caller that closes the connection ends its request, which is no fault of the API.
  const level = status >= 500 && !request.signal?.aborted ? 'error' : 'info';
  request.log[level](
    { code: error.code, detail: error.detail, traceId: request.traceId, cause: error.cause },
    `${request.method} rejected`,
  );
  reply.code(status);
  if (status === 401) reply.header('www-authenticate', challengeOf(error, request));
  if (status === 405) reply.header('allow', allowedMethods(request).join(', '));
  if (errors[error.code].retryable) reply.header('retry-after', retryAfterOf(error));
  if (error.offsets) reply.header('upload-offset', error.offsets.expected).header('upload-complete', '?0');
  closeUnread(request, reply);
  // What asks for tokens speaks OAuth.
  if (isToken(request)) {
    reply.type('application/json');
    return void reply.send(JSON.stringify(oauthErrorOf(error, request.traceId)));
  }
  reply.type('application/problem+json').send(JSON.stringify(problemOf(error, request.traceId)));
}

/** Whole seconds. */
function retryAfterOf({ retryAfterMs = 1_000 }: WaybillError): string {
  return String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

function isToken({ routeOptions }: FastifyRequest): boolean {
  // What is malformed has none.
  return routeOptions?.config?.route?.path === routeTable.token.path;
}

/** The headers of every answer: its trace, and that it is private unless the handler says how long it may be kept. */
export function prepareAnswer(request: FastifyRequest, reply: FastifyReply): void {
  request.traceId = traceIdOf(request.headers.traceparent);
  reply
    .header('x-trace-id', request.traceId)
    .header('traceresponse', traceResponseOf(request.traceId))
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff');
}

/** RFC 6750, section 3: without a token the challenge names no error. */
function challengeOf({ code }: WaybillError, { headers }: FastifyRequest): string {
  if (headers.authorization === undefined) return 'Bearer';
  return `Bearer error="invalid_token", error_description="${code}"`;
}

/**
 * A caller who is still sending a body gets the answer, and what arrives is dropped. The connection is closed once nothing has arrived for
 * 5 s, or after 30 s: a body that ends before that leaves it in use, and the caller may have sent the next request on it already.
 * `Connection: close` would let Node close it at once, and the answer would be lost with it.
 */
function closeUnread({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete) return;
  // Fastify sets it where a body is rejected.
  reply.removeHeader('connection');
  const untilMs = performance.now() + 30_000;
  let arrived = false;
  raw.on('data', () => {
    arrived = true;
  });
  raw.resume();
  const timer = setInterval(() => {
    // In a busy process a timer comes before the bytes that wait.
    setImmediate(() => {
      if (!raw.complete && (!arrived || performance.now() > untilMs)) raw.destroy();
      arrived = false;
    });
  }, 5_000).unref();
  raw.once('close', () => clearInterval(timer));
}

export function allowedMethods({ url }: FastifyRequest): string[] {
  const path = url.split('?', 1)[0]!;
  const rows: Route[] = Object.values(routeTable);
  return rows.filter((row) => isPathOf(row, path)).map(({ method }) => method);
}

/** Before there is a request: what is not HTTP, headers that are too large or too slow. */
export function rejectConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const problem = problemOf(
    new WaybillError(slow ? 'RequestTimeout' : 'InvalidRequest'),
    traceIdOf(undefined),
  );
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${slow ? 'Request Timeout' : 'Bad Request'}\r\nconnection: close\r\n` +
      `content-type: application/problem+json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
