import { hash } from 'node:crypto';
import { Piscina } from 'piscina';
import { type ErrorCode, WaybillError } from '../../domain/errors.ts';
import type { BatchTask, Compute, EncodedOutput, StageResult } from '../../domain/ports/compute.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import { type EncodedRows, encodedForm } from '../../domain/ports/sinkRows.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import { describePosition, recordPositionLength } from '../records/codeFailure.ts';
import { readRows } from '../records/outputEncoder.ts';
import { encodedRows } from './encodedRows.ts';
import { createStageCache, rangesOf, type StageEntry } from './stageCache.ts';
import type { Answer, FailureData, Task, ThreadOptions } from './thread.ts';

export interface ComputePool extends Compute {
  /** Ends the threads; what they were doing is rejected. */
  close(): Promise<void>;
}

interface Outcome {
  validated: StageResult;
  /** Where it was asked for and did not fail. */
  transformed?: StageResult;
  /** As in `StageEntry`. */
  rejected?: StageEntry['rejected'];
  /** The encoded rows, or the file that holds them. */
  rows?: Uint8Array | string | undefined;
  failure?: WaybillError;
}

export interface ComputeOptions {
  /** Where the bytes of batches are. */
  objects: ObjectStore;
  /** Keeps large results for the next step; the workers of a machine may share it. Default: memory. */
  cacheFolder?: string;
  /** Default 1: a worker has two or more processes beside it. */
  threadsMax?: number;
  /** After which a thread without work ends, default 30 s. */
  idleMs?: number;
  /** How long one task may take, once it has a thread, default 240 s. */
  taskMs?: number;
  /** Tasks that may wait for a thread, default 1,000. */
  waitingMax?: number;
}

/**
 * Work on records, in threads that are started when needed and ended when idle. A thread reads the bytes of a batch itself, once
 * it is free.
 *
 * A thread that dies (out of memory, `process.exit` in a pipeline) or does not end in time takes only its task with
 * it, as `TransformFailed` or `TransformTimedOut`: the same bytes would end the next thread too. A thread that still holds an older
 * version of a module is replaced, for code once imported stays.
 */
export function createComputePool(options: ComputeOptions): ComputePool {
  const { objects, threadsMax = 1, idleMs = 30_000, taskMs = 240_000, waitingMax = 1_000 } = options;
  const turns = new Semaphore({ running: threadsMax, waiting: waitingMax });
  const cache = createStageCache(options.cacheFolder);
  const start = () => startThreads(threadsMax, idleMs, { store: objects.opener });
  let threads = start();

  /** Has a thread do it, once one is free; another where the first holds an older module. */
  async function run(
    { definition, scope, batch, areLetters, lookups }: BatchTask,
    step: string,
    more: Pick<Task, 'transform' | 'locate' | 'keys' | 'rowsPath'>,
    signal?: AbortSignal,
  ): Promise<Extract<Answer, { outcome: 'done' | 'located' | 'keys' }>> {
    const giveBack = await turns.take(signal);
    try {
      const { modulePath, resolveFrom, digest } = definition;
      const task: Task = {
        // A loaded pipeline also satisfies the reference, but its schemas cannot be sent.
        definition: { modulePath, ...(resolveFrom && { resolveFrom }), digest },
        scope,
        batch,
        ...(areLetters && { areLetters }),
        ...(!objects.opener && !batch.bytes && { bytes: await objects.get(scope, batch.digest) }),
        ...(lookups && { lookups: await valuesFor(scope, lookups) }),
        ...more,
        progress: new Float64Array(
          new SharedArrayBuffer(recordPositionLength * Float64Array.BYTES_PER_ELEMENT),
        ),
      };
      const used = threads;
      let answer = await ask(used, task, step, taskMs, signal);
      if (answer.outcome === 'stale') {
        if (threads === used) {
          threads = start();
          used.close().catch(() => {}); // Once its tasks have ended.
        }
        answer = await ask(threads, task, step, taskMs, signal);
      }
      if (answer.outcome === 'stale')
        throw new WaybillError('DefinitionUnavailable', { detail: 'changed twice' });
      if (answer.outcome === 'failed') throw errorOf(answer);
      return answer;
    } finally {
      giveBack();
    }
  }

  /** A thread that cannot open the store gets the values themselves. */
  async function valuesFor(
    scope: BatchTask['scope'],
    lookups: NonNullable<BatchTask['lookups']>,
  ): Promise<BatchTask['lookups']> {
    if (objects.opener || lookups.values) return lookups;
    return { ...lookups, values: await objects.get(scope, lookups.digest) };
  }

  async function compute(
    task: BatchTask,
    step: 'validate' | 'transform',
    signal?: AbortSignal,
  ): Promise<Outcome> {
    const rowsPath = step === 'transform' ? cache.newFile() : undefined;
    const { parameters, source } = task;
    const transform = step === 'transform' && { transform: { parameters, ...(source && { source }) } };
    const answer = await run(task, step, { ...transform, ...(rowsPath && { rowsPath }) }, signal);
    const { processed, failure } = answer as Extract<Answer, { outcome: 'done' }>;
    const { validated, rejected } = processed;
    if (!processed.transformed) return { validated, ...(failure && { failure: errorOf(failure) }) };
    const { rows, ...transformed } = processed.transformed;
    return { validated, transformed, ...(rejected && { rejected }), rows: rows ?? rowsPath! };
  }

  /** Both steps in one pass; the result is kept for the next step. */
  async function computeBoth(task: BatchTask, signal?: AbortSignal): Promise<Outcome> {
    const outcome = await compute(task, 'transform', signal);
    const { validated, transformed, rejected, rows } = outcome;
    if (transformed)
      await cache.keep(keyOf(task), { validated, transformed, ...(rejected && { rejected }) }, rows!);
    return outcome;
  }

  /** Throws what the transform throws. */
  async function transform(
    task: BatchTask,
    signal?: AbortSignal,
  ): Promise<StageEntry & Pick<Outcome, 'rows'>> {
    const { validated, transformed, rows, failure } = await computeBoth(task, signal);
    if (!transformed) throw failure!;
    return { validated, transformed, rows };
  }

  async function cachedRows(task: BatchTask, output: EncodedOutput): Promise<EncodedRows | undefined> {
    const key = keyOf(task);
    const transformed = (await cache.find(key))?.transformed;
    if (transformed?.digest !== output.digest) return undefined;
    const read = await cache.rows(key);
    return read && encodedRows(transformed, read, () => void cache.forget(key));
  }

  return {
    async validate({ ahead, ...task }, signal) {
      if (ahead) {
        const known = await cache.find(keyOf(task));
        if (known) return known.validated;
        try {
          return (await computeBoth(task, signal)).validated;
        } catch (error) {
          // A transform that ends its thread; the next step says so.
          if (!(error instanceof WaybillError && isOfTransform(error.code))) throw error;
        }
      }
      return (await compute(task, 'validate', signal)).validated;
    },

    async lookupKeys(task, signal) {
      const answer = await run(task, 'enrich', { keys: true }, signal);
      return (answer as Extract<Answer, { outcome: 'keys' }>).found;
    },

    async transform(task, signal) {
      const known = await cache.find(keyOf(task));
      const { validated, transformed } = known ?? (await transform(task, signal));
      return { validated, transformed };
    },

    async rows(task, output, signal) {
      const kept = await cachedRows(task, output);
      if (kept) return kept;
      const { transformed: result, rows } = await transform(task, signal);
      const emitted = result.counts.emitted ?? 0;
      // Encoded by another version of Waybill: the bytes differ, and the rows of the same records are as many.
      const isOtherForm = output.form !== result.form && output.emitted === emitted;
      if (result.digest !== output.digest && !isOtherForm)
        throw new WaybillError('StageMismatch', { detail: `batch ${task.batch.seq} of ${task.scope.runId}` });
      if (typeof rows !== 'string') return encodedRows(result, rangesOf(rows!), () => {});
      const { digest, sizeBytes } = result;
      const computed = await cachedRows(task, { digest, sizeBytes, emitted });
      if (computed) return computed;
      throw new WaybillError('StorageUnavailable', { detail: 'the rows of a batch have no room' });
    },

    async rejectedBytes(task) {
      const rejected = (await cache.find(keyOf(task)))?.rejected;
      if (rejected && hash('sha256', JSON.stringify(rejected.bytes)) === rejected.digest)
        return new Map(rejected.bytes.map(([position, text]) => [position, Buffer.from(text, 'base64')]));
      return undefined;
    },

    async locate(task, positions) {
      const answer = await run(task, 'store', { locate: positions });
      return (answer as Extract<Answer, { outcome: 'located' }>).places;
    },

    readRows,
    forget: (task) => cache.forget(keyOf(task)),
    close: () => threads.destroy(),
  };
}

function keyOf({ definition, scope, batch, parameters, lookups }: BatchTask): string {
  const { tenant, runId } = scope;
  const { bytes: _, ...place } = batch;
  return hash(
    'sha256',
    JSON.stringify([
      ...[encodedForm, tenant, runId, place, definition.digest, parameters ?? null],
      ...(lookups ? [lookups.digest] : []),
    ]),
  );
}

function isOfTransform(code: ErrorCode): boolean {
  return code === 'TransformFailed' || code === 'TransformTimedOut';
}

function errorOf({ code, detail, publicDetail, issues }: FailureData): WaybillError {
  return new WaybillError(code, {
    ...(detail && { detail }),
    ...(publicDetail && { publicDetail }),
    ...(issues && { issues }),
  });
}

function startThreads(threadsMax: number, idleMs: number, data: ThreadOptions): Piscina<Task, Answer> {
  const threads = new Piscina<Task, Answer>({
    filename: new URL('./thread.ts', import.meta.url).href,
    minThreads: 0,
    maxThreads: threadsMax,
    idleTimeout: idleMs,
    workerData: data,
    // Turns already see to it that no more are asked than there are threads; this is for the moment of replacement.
    maxQueue: threadsMax * 2,
    // A young generation that holds the garbage of many records: collecting it was the largest single cost.
    resourceLimits: { maxYoungGenerationSizeMb: 64, maxOldGenerationSizeMb: 512 },
  });
  threads.on('error', () => {}); // The task that it belongs to reports it.
  return threads;
}

async function ask(
  threads: Piscina<Task, Answer>,
  task: Task,
  step: string,
  taskMs: number,
  signal?: AbortSignal,
): Promise<Answer> {
  const late = AbortSignal.timeout(taskMs);
  try {
    return await threads.run(task, { signal: signal ? AbortSignal.any([signal, late]) : late });
  } catch (cause) {
    signal?.throwIfAborted();
    const place = describePosition(task.progress);
    const where = place ? ` at ${place}` : '';
    throw late.aborted
      ? new WaybillError('TransformTimedOut', {
          publicDetail: `Step ${step} stopped after ${taskMs / 1000} s${where}.`,
          cause,
        })
      : new WaybillError('TransformFailed', {
          detail: `the thread died: ${cause}`,
          publicDetail: `The thread of step ${step} ended${where}: it ran out of memory or exited.`,
          cause,
        });
  }
}
