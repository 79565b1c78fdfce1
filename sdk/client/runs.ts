import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, keyHeader, type Page } from './connection.ts';
import { followRun } from './followRun.ts';
import { ProblemError, problemIn } from './problem.ts';
import { type ResumableData, type ResumableUploadOptions, uploadResumable } from './resumableUpload.ts';

export type Run = components['schemas']['Run'];
/** Records of a run by why they were refused. */
export type Rejections = operations['countRejections']['responses'][200]['content']['application/json'];
export type Envelope = operations['createRun']['requestBody']['content']['application/json'];
/** What happened to a run, and who answers for it. */
export type AuditEvent =
  operations['listRunAudit']['responses'][200]['content']['application/json']['items'][number];
export type RunFilter = NonNullable<operations['listRuns']['parameters']['query']>;

/** Which runs with a missing definition. */
export type WaitingChoice = operations['cancelRuns']['requestBody']['content']['application/json'];
/** What became of each. */
export type WaitingRuns = operations['cancelRuns']['responses'][200]['content']['application/json'];

export type LegalHold = components['schemas']['LegalHold'];

export interface UploadOptions {
  /** `text/csv` or `application/x-ndjson`, as the pipeline’s source says. */
  mediaType: string;
  /** In what the data is compressed already; it is sent as it is. */
  compression?: 'gzip' | 'zstd';
  /** Go into the query as text; the API reads them by the pipeline’s schema. */
  parameters?: Readonly<Record<string, string | readonly string[]>>;
  /** The same request with the same key is the same run. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

export interface RunsClient {
  /** Begins a run by reference, or with a few records. */
  trigger(pipeline: string, envelope: Envelope, options?: { idempotencyKey?: string }): Promise<Run>;
  /** Begins a run with data of any length, which is streamed. Resolves once its last byte is durable. */
  upload(pipeline: string, data: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<Run>;
  /**
   * Begins a run with data of any length, and continues by itself where the connection breaks or the API restarts. Resolves once its
   * last byte is durable.
   */
  uploadResumable(pipeline: string, data: ResumableData, options?: ResumableUploadOptions): Promise<Run>;
  listRuns(filter?: RunFilter): Promise<Page<Run>>;
  getRun(id: string): Promise<Run>;
  /** Why records of a run were refused, of the first 10,000. */
  countRejections(id: string): Promise<Rejections>;
  /** What happened to a run, oldest first. */
  listRunAudit(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<AuditEvent>>;
  /**
   * The run now and whenever it has changed, until it has ended or `signal` aborts. Reconnects by itself and gives up
   * after `patienceMs` (default 60 s) without a connection.
   */
  followRun(id: string, options?: { signal?: AbortSignal; patienceMs?: number }): AsyncGenerator<Run>;
  /** Asks for the end of a run; follow it to see it end. */
  cancelRun(id: string): Promise<Run>;
  /** Has a suspended run ask whether it may go on; for its requester, under a new grant. */
  resumeRun(id: string): Promise<Run>;
  /** Runs a failed or cancelled run again: what it has not stored of its pinned input, as a new run under your grant. */
  retryRun(id: string): Promise<Run>;
  /** Asks for the end of runs with a missing definition, up to 100 at once. */
  cancelRuns(choice: WaitingChoice): Promise<WaitingRuns>;
  /** Moves runs with a missing definition onto the current one, as new runs under your grant, up to 100 at once. */
  moveRuns(choice: WaitingChoice): Promise<WaitingRuns>;
  /** Nothing of the run is removed until the hold is lifted, whatever its retention says. */
  holdRun(id: string, reason: string): Promise<LegalHold>;
  /** Lifts the legal hold of a run. */
  releaseRun(id: string): Promise<void>;
  /** The legal holds of your tenant, by their runs. */
  listHolds(page?: { limit?: number; cursor?: string }): Promise<Page<LegalHold>>;
}

/** Runs: begin, follow, list and end them. */
export function runsClient(connection: Connection): RunsClient {
  const { http, send, baseUrl } = connection;
  return {
    trigger: async (id, body, { idempotencyKey } = {}) =>
      answered(
        await http.POST('/v1/pipelines/{id}/runs', {
          params: { path: { id }, header: keyHeader(idempotencyKey) },
          body,
        }),
      ),
    upload: async (id, data, { mediaType, compression, parameters = {}, idempotencyKey, signal }) => {
      const url = new URL(`${baseUrl.replace(/\/$/, '')}/v1/pipelines/${encodeURIComponent(id)}/runs`);
      for (const [name, value] of Object.entries(parameters))
        for (const one of [value].flat()) url.searchParams.append(name, one);
      const response = await send(
        new Request(url, {
          method: 'POST',
          headers: {
            'content-type': mediaType,
            ...(compression && { 'content-encoding': compression }),
            ...keyHeader(idempotencyKey),
          },
          body: ReadableStream.from(data),
          duplex: 'half',
          signal: signal ?? null,
        }),
      );
      return answered<Run>({ response, ...(await read(response)) });
    },
    uploadResumable: (id, data, options = {}) => uploadResumable(connection, id, data, options),
    listRuns: async (query = {}) => answered(await http.GET('/v1/runs', { params: { query } })),
    getRun: async (id) => answered(await http.GET('/v1/runs/{id}', { params: { path: { id } } })),
    countRejections: async (id) =>
      answered(await http.GET('/v1/runs/{id}/rejections', { params: { path: { id } } })),
    listRunAudit: async (id, query = {}) =>
      answered(await http.GET('/v1/runs/{id}/audit', { params: { path: { id }, query } })),
    followRun: (id, { signal = new AbortController().signal, patienceMs = 60_000 } = {}) =>
      followRun(
        async (lastId, signal) => {
          const { response, error } = await http.GET('/v1/runs/{id}/events', {
            params: { path: { id } },
            headers: { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) },
            parseAs: 'stream',
            signal,
          });
          if (!response.ok) throw new ProblemError(problemIn(response, error));
          return response;
        },
        { at: baseUrl, signal, patienceMs },
      ),
    cancelRun: async (id) => answered(await http.POST('/v1/runs/{id}/cancel', { params: { path: { id } } })),
    resumeRun: async (id) => answered(await http.POST('/v1/runs/{id}/resume', { params: { path: { id } } })),
    retryRun: async (id) => answered(await http.POST('/v1/runs/{id}/retry', { params: { path: { id } } })),
    cancelRuns: async (body) => answered(await http.POST('/v1/runs/cancel', { body })),
    moveRuns: async (body) => answered(await http.POST('/v1/runs/move', { body })),
    holdRun: async (id, reason) =>
      answered(await http.POST('/v1/runs/{id}/hold', { params: { path: { id } }, body: { reason } })),
    releaseRun: async (id) => {
      const { response, error } = await http.DELETE('/v1/runs/{id}/hold', { params: { path: { id } } });
      if (!response.ok) throw new ProblemError(problemIn(response, error));
    },
    listHolds: async (query = {}) => answered(await http.GET('/v1/legal-holds', { params: { query } })),
  };
}

async function read(response: Response): Promise<{ data?: Run; error?: unknown }> {
  const body: unknown = await response.json().catch(() => undefined);
  return response.ok ? { data: body as Run } : { error: body };
}
