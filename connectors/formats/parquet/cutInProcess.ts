import { type ChildProcess, fork } from 'node:child_process';
import type { RandomAccess } from '../../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Limits } from '../../../domain/pipelines/manifest.ts';
import type { FilePiece } from './cutParquet.ts';
import type { FromReader, ToReader } from './readerProcess.ts';

/**
 * Cuts a file in a process of its own: decoding keeps a processor busy, and a file that was made to harm can ask for more memory
 * than there is, by a few bytes. V8 then ends the whole process, a thread of it would not do. The process gets no environment, and
 * of the file only the bytes that it asks for. Throws what `cutParquet` throws, and `StorageUnavailable` where the process is killed.
 * @param heapMiB what the values of a row group may take of memory once they are decoded
 */
export async function* cutInProcess(
  file: RandomAccess,
  limits: Limits,
  heapMiB = 1024,
): AsyncGenerator<FilePiece, void, void> {
  if (file.sizeBytes === 0) return;
  const reader = fork(new URL('./readerProcess.ts', import.meta.url), {
    serialization: 'advanced',
    execArgv: [`--max-old-space-size=${heapMiB}`],
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const inbox = new Inbox(reader, heapMiB);
  // The error of a process that has ended comes by its end.
  const send = (message: ToReader) => void reader.send(message, () => {});
  try {
    send({ kind: 'cut', sizeBytes: file.sizeBytes, limits });
    for (;;) {
      const message = await inbox.next();
      if (message.kind === 'done') return;
      if (message.kind === 'failed') throw errorOf(message);
      if (message.kind === 'read') {
        const { id, first, length } = message;
        send({ kind: 'bytes', id, bytes: await file.read(first, length) });
      } else {
        yield message.piece;
        send({ kind: 'next' });
      }
    }
  } finally {
    reader.kill('SIGKILL');
  }
}

/** Messages of a process in their order, and its end. */
class Inbox {
  readonly #messages: FromReader[] = [];
  #failure: WaybillError | undefined;
  #wake = () => {};

  constructor(reader: ChildProcess, heapMiB: number) {
    reader.on('message', (message: FromReader) => {
      this.#messages.push(message);
      this.#wake();
    });
    const end = (failure: WaybillError) => {
      this.#failure ??= failure;
      this.#wake();
    };
    reader.on('error', (cause) =>
      end(new WaybillError('StorageUnavailable', { detail: cause.message, cause })),
    );
    // After the last message.
    reader.on('close', (code, signal) => end(endOf(code, signal, heapMiB)));
  }

  async next(): Promise<FromReader> {
    while (this.#messages.length === 0) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift()!;
  }
}

/** V8 ends a process without memory by SIGABRT; an error that the library does not catch ends it with a code. */
function endOf(code: number | null, signal: NodeJS.Signals | null, heapMiB: number): WaybillError {
  const detail = `the reader of Parquet ended: ${signal ?? code}`;
  if (signal !== null && signal !== 'SIGABRT' && signal !== 'SIGTRAP' && signal !== 'SIGILL')
    return new WaybillError('StorageUnavailable', { detail });
  const why =
    signal === null
      ? ''
      : `: a row group needs more than ${heapMiB} MiB once it is decoded. Write smaller row groups`;
  return new WaybillError('FormatMismatch', {
    publicDetail: `The data is not readable Parquet${why}.`,
    detail,
  });
}

function errorOf({ code, detail, publicDetail }: Extract<FromReader, { kind: 'failed' }>): WaybillError {
  return new WaybillError(code, {
    ...(detail !== undefined && { detail }),
    ...(publicDetail !== undefined && { publicDetail }),
  });
}
