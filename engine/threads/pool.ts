import { Piscina } from 'piscina';
import { WaybillError } from '../../domain/errors.ts';
import type { Compute, StageResult } from '../../domain/ports/compute.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import { describePlace } from '../records/codeFailure.ts';
import type { Answer, Task } from './thread.ts';

export interface ComputePool extends Compute {
  /** Ends the threads; what they were doing is rejected. */
  close(): Promise<void>;
}

/**
 * Work on records, in threads that are started when needed and ended when idle.
 *
 * A thread that dies (out of memory, `process.exit` in a pipeline) or does not end in time takes only its task with
 * it, as `TransformFailed` or `TransformTimedOut`: the same bytes would end the next thread too. A thread that still holds an older version
 * of a module is replaced, for code once imported stays.
 *
 * @param options.threadsMax default 1: a worker has two or more processes beside it
 * @param options.idleMs after which a thread without work ends, default 30 s
 * @param options.taskMs how long one task may take, once it has a thread, default 120 s
 * @param options.waitingMax tasks that may wait for a thread, default 1,000
 */
export function createComputePool(
  options: { threadsMax?: number; idleMs?: number; taskMs?: number; waitingMax?: number } = {},
): ComputePool {
  const { threadsMax = 1, idleMs = 30_000, taskMs = 120_000, waitingMax = 1_000 } = options;
  const turns = new Semaphore({ running: threadsMax, waiting: waitingMax });
  let threads = startThreads(threadsMax, idleMs);

  async function compute<R extends StageResult | EncodedRows>(task: Task, signal?: AbortSignal): Promise<R> {
    // A loaded pipeline also satisfies the reference, but its schemas cannot be sent.
    const { modulePath, digest } = task.definition;
    const progress = new Float64Array(new SharedArrayBuffer(16));
    const sent = { ...task, definition: { modulePath, digest }, progress };
    const giveBack = await turns.take(signal);
    try {
      const used = threads;
      let answer = await ask(used, sent, taskMs, signal);
      if (answer.outcome === 'stale') {
        if (threads === used) {
          threads = startThreads(threadsMax, idleMs);
          used.close().catch(() => {}); // Once its tasks have ended.
        }
        answer = await ask(threads, sent, taskMs, signal);
      }
      if (answer.outcome === 'done') return answer.result as R;
      if (answer.outcome === 'stale')
        throw new WaybillError('DefinitionUnavailable', { detail: 'changed twice' });
      const { code, detail, publicDetail, issues } = answer;
      throw new WaybillError(code, {
        ...(detail && { detail }),
        ...(publicDetail && { publicDetail }),
        ...(issues && { issues }),
      });
    } finally {
      giveBack();
    }
  }

  return {
    validate: (task, signal) => compute({ kind: 'validate', ...task }, signal),
    transform: (task, signal) => compute({ kind: 'transform', ...task }, signal),
    encode: (task, signal) => compute({ kind: 'encode', ...task }, signal),
    close: () => threads.destroy(),
  };
}

function startThreads(threadsMax: number, idleMs: number): Piscina<Task, Answer> {
  const threads = new Piscina<Task, Answer>({
    filename: new URL('./thread.ts', import.meta.url).href,
    minThreads: 0,
    maxThreads: threadsMax,
    idleTimeout: idleMs,
    // Turns already see to it that no more are asked than there are threads; this is for the moment of replacement.
    maxQueue: threadsMax * 2,
    // A young generation that holds a batch’s garbage: collecting it was the largest single cost.
    resourceLimits: { maxYoungGenerationSizeMb: 64, maxOldGenerationSizeMb: 512 },
  });
  threads.on('error', () => {}); // The task that it belongs to reports it.
  return threads;
}

async function ask(
  threads: Piscina<Task, Answer>,
  task: Task,
  taskMs: number,
  signal?: AbortSignal,
): Promise<Answer> {
  const late = AbortSignal.timeout(taskMs);
  try {
    return await threads.run(task, { signal: signal ? AbortSignal.any([signal, late]) : late });
  } catch (cause) {
    signal?.throwIfAborted();
    const [position = 0, line = 0] = task.progress ?? [];
    // Lines count from 1: before the first record there is no place to name.
    const where = line > 0 ? ` at ${describePlace({ position, line })}` : '';
    throw late.aborted
      ? new WaybillError('TransformTimedOut', {
          publicDetail: `Step ${task.kind} stopped after ${taskMs / 1000} s${where}.`,
          cause,
        })
      : new WaybillError('TransformFailed', {
          detail: `the thread died: ${cause}`,
          publicDetail: `The thread of step ${task.kind} ended${where}: it ran out of memory or exited.`,
          cause,
        });
  }
}
