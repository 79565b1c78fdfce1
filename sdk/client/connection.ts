import createHttpClient, { type Client as HttpClient } from 'openapi-fetch';
import type { paths } from '../generated/openapi.d.ts';
import { ApiUnreachable, ProblemError, problemIn } from './problem.ts';

export interface WaybillClientOptions {
  /** Where the API is, such as `http://127.0.0.1:8080`. */
  baseUrl: string;
  /** An OIDC access token, or who gives one; asked before each request, so that it may be renewed. */
  token: string | (() => string | Promise<string>);
  /** Default: the global one. */
  fetch?: typeof globalThis.fetch;
}

/** One API, as one caller. */
export interface Connection {
  baseUrl: string;
  /** Every operation as the OpenAPI document has it; answers are returned, not thrown. */
  http: HttpClient<paths>;
  /** Sends a request with the token of now. Throws `ApiUnreachable`. */
  send(request: Request): Promise<Response>;
}

export function createConnection(options: WaybillClientOptions): Connection {
  const { baseUrl, fetch = globalThis.fetch } = options;

  async function send(request: Request): Promise<Response> {
    const token = typeof options.token === 'string' ? options.token : await options.token();
    request.headers.set('authorization', `Bearer ${token}`);
    try {
      return await fetch(request);
    } catch (error) {
      request.signal.throwIfAborted();
      throw new ApiUnreachable(baseUrl, error);
    }
  }

  return { baseUrl, send, http: createHttpClient<paths>({ baseUrl, fetch: send }) };
}

export interface Page<T> {
  items: T[];
  /** `null` on the last page. */
  nextCursor: string | null;
}

export function keyHeader(key: string | undefined): { 'idempotency-key'?: string } {
  return key === undefined ? {} : { 'idempotency-key': key };
}

export function answered<T>({ response, data, error }: { response: Response; data?: T; error?: unknown }): T {
  if (response.ok && data !== undefined) return data;
  throw new ProblemError(problemIn(response, error));
}
