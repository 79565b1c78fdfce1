import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { WaybillError } from '../../domain/errors.ts';

/** A body while it is being read: its bytes, what became of it, and its digest in the end. */
export interface UploadBody {
  /** May be left and taken up again; each byte is given once. */
  bytes: AsyncIterable<Uint8Array>;
  /** Whether the last byte has been handed on. */
  ended(): boolean;
  /** Whether it broke off, or stalled for longer than allowed. */
  broken(): boolean;
  /** Lower-case hex SHA-256 of all bytes, after the end. */
  digest(): string;
}

/**
 * Watches a body on its way. A body of which nothing arrives for `idleMs` counts as broken, and so does one that
 * closes before its end; both throw `UploadIncomplete` to the reader. Where the request says how long its body is,
 * the last byte is known for what it is when it comes. What is cut from outside ends with the reason of that, and is not broken.
 */
export function uploadBody(
  stream: Readable,
  sizeBytes: number | undefined,
  idleMs: number,
  cut: AbortSignal,
): UploadBody {
  const hash = createHash('sha256');
  let arrivedBytes = 0;
  let state: 'arriving' | 'ended' | 'broken' = 'arriving';

  async function* read(): AsyncGenerator<Uint8Array> {
    // A reader that stops early still answers, and destroying the stream would destroy the connection.
    const chunks = stream.iterator({ destroyOnReturn: false });
    const patience = patienceOf(idleMs, cut);
    try {
      for (;;) {
        const next = await patience.wait(chunks.next());
        if (next.done) break;
        hash.update(next.value);
        arrivedBytes += next.value.length;
        if (arrivedBytes === sizeBytes) state = 'ended';
        yield next.value;
      }
    } catch (error) {
      cut.throwIfAborted();
      state = 'broken';
      throw new WaybillError('UploadIncomplete', {
        detail: error instanceof Error ? error.message : '',
        cause: error,
      });
    } finally {
      patience.end();
    }
    state = 'ended';
  }

  let digest: string | undefined;
  return {
    bytes: { [Symbol.asyncIterator]: read },
    ended: () => state === 'ended',
    broken: () => state === 'broken',
    digest: () => (digest ??= hash.digest('hex')),
  };
}

/** One timer and one listener for all the chunks of a body, of which there may be millions. */
function patienceOf(idleMs: number, cut: AbortSignal) {
  let giveUp = (_: unknown): void => {};
  const timer = setTimeout(() => giveUp(new Error(`nothing arrived for ${idleMs} ms`)), idleMs);
  const onCut = () => giveUp(cut.reason);
  cut.addEventListener('abort', onCut);
  return {
    wait<T>(next: Promise<T>): Promise<T> {
      timer.refresh();
      return new Promise((resolve, reject) => {
        giveUp = reject;
        if (cut.aborted) reject(cut.reason);
        next.then(resolve, reject);
      });
    },
    end(): void {
      clearTimeout(timer);
      cut.removeEventListener('abort', onCut);
    },
  };
}
