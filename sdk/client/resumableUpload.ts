import { setTimeout as pause } from 'node:timers/promises';
import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, keyHeader } from './connection.ts';
import { ApiUnreachable, ProblemError, problemIn } from './problem.ts';

type Run = components['schemas']['Run'];
type Envelope = operations['createRun']['requestBody']['content']['application/json'];

/** Data that can be read again from any byte. */
export interface ResumableData {
  sizeBytes: number;
  open(fromByte: number): AsyncIterable<Uint8Array>;
}

export interface ResumableUploadOptions {
  /** What the envelope says beside the data. */
  parameters?: Envelope['parameters'];
  /** In what the data is compressed already; it is sent as it is. */
  compression?: 'gzip' | 'zstd';
  /** The same request with the same key continues the same run, also from another process. */
  idempotencyKey?: string;
  /** How long it tries without a byte more becoming durable, in milliseconds. Default: 60 s. */
  patienceMs?: number;
  /** Told of the run before its data is sent. */
  onRun?: (run: Run) => void;
  signal?: AbortSignal;
}

/**
 * Begins a run and sends its data, from where it is durable whenever the connection breaks or the API restarts
 * (draft-ietf-httpbis-resumable-upload). Throws `ProblemError`, and `ApiUnreachable` after `patienceMs` without progress.
 */
export async function uploadResumable(
  connection: Connection,
  pipeline: string,
  data: ResumableData,
  options: ResumableUploadOptions,
): Promise<Run> {
  const { parameters, idempotencyKey = crypto.randomUUID(), patienceMs = 60_000, signal } = options;
  let progressAtMs = performance.now();
  let waitMs = firstWaitMs;

  /** Once more after what passes by itself, until the patience is over. */
  async function patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!passes(error) || performance.now() - progressAtMs > patienceMs) throw error;
        await pause(waitMs, undefined, { ...(signal && { signal }) });
        waitMs = Math.min(2 * waitMs, waitMaxMs);
      }
    }
  }

  const run = await patiently(async () =>
    answered(
      await connection.http.POST('/v1/pipelines/{id}/runs', {
        params: { path: { id: pipeline }, header: keyHeader(idempotencyKey) },
        body: { ...(parameters && { parameters }) },
      }),
    ),
  );
  options.onRun?.(run);
  let durable = -1;
  return patiently(async () => {
    const { offset, complete } = await patiently(() => offsetOf(connection, run.id));
    if (complete)
      return answered(await connection.http.GET('/v1/runs/{id}', { params: { path: { id: run.id } } }));
    if (offset > durable) {
      progressAtMs = performance.now();
      waitMs = firstWaitMs;
    }
    durable = offset;
    return sendFrom(connection, run.id, offset, data, options);
  });
}

const firstWaitMs = 200;
const waitMaxMs = 2_000;

/** Codes that a later request does not get. Another client that sends the same data is not one to compete with. */
const passing: readonly string[] = ['UploadInterrupted', 'UploadOffsetMismatch', 'RequestTimeout'];

function passes(error: unknown): boolean {
  if (error instanceof ApiUnreachable) return true;
  return (
    error instanceof ProblemError &&
    (passing.includes(error.code) || error.status === 429 || error.status >= 500)
  );
}

async function offsetOf({ http }: Connection, id: string): Promise<{ offset: number; complete: boolean }> {
  const { response } = await http.HEAD('/v1/runs/{id}/input', { params: { path: { id } } });
  if (!response.ok) {
    // The answer to HEAD does not say why; the run may.
    const {
      data: run,
      response: answer,
      error,
    } = await http.GET('/v1/runs/{id}', { params: { path: { id } } });
    if (!answer.ok) throw new ProblemError(problemIn(answer, error));
    const { code, message } = run?.reason ?? { code: 'RunEnded', message: `The run is ${run?.state}.` };
    const title = response.status === 409 ? message : `${response.status} for the data of ${id}`;
    throw new ProblemError({
      ...problemIn(response, undefined),
      title,
      ...(response.status === 409 && { code }),
    });
  }
  const { headers } = response;
  return {
    offset: Number(headers.get('upload-offset')),
    complete: headers.get('upload-complete') === '?1',
  };
}

async function sendFrom(
  { baseUrl, send }: Connection,
  id: string,
  offset: number,
  data: ResumableData,
  { compression, signal }: ResumableUploadOptions,
): Promise<Run> {
  const response = await send(
    new Request(`${baseUrl.replace(/\/$/, '')}/v1/runs/${encodeURIComponent(id)}/input`, {
      method: 'PUT',
      headers: {
        'content-type': 'application/partial-upload',
        'upload-offset': String(offset),
        'upload-complete': '?1',
        'upload-length': String(data.sizeBytes),
        ...(compression && { 'content-encoding': compression }),
      },
      body: ReadableStream.from(data.open(offset)),
      duplex: 'half',
      signal: signal ?? null,
    }),
  );
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body === undefined) throw new ApiUnreachable(baseUrl);
  return answered<Run>({ response, ...(response.ok ? { data: body as Run } : { error: body }) });
}
