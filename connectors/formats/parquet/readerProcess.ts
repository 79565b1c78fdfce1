/* The process of `cutInProcess`: asks for bytes of the file, and hands over one piece at a time. */
import type { ErrorCode, WaybillError } from '../../../domain/errors.ts';
import type { Limits } from '../../../domain/pipelines/manifest.ts';
import { cutParquet, type FilePiece } from './cutParquet.ts';

export type FromReader =
  | { kind: 'read'; id: number; first: number; length: number }
  | { kind: 'piece'; piece: FilePiece }
  | { kind: 'done' }
  | { kind: 'failed'; code: ErrorCode; detail: string | undefined; publicDetail: string | undefined };

export type ToReader =
  | { kind: 'cut'; sizeBytes: number; limits: Limits }
  | { kind: 'bytes'; id: number; bytes: Uint8Array }
  | { kind: 'next' };

const send = (message: FromReader) => void process.send!(message);
const reads = new Map<number, (bytes: Uint8Array) => void>();
let reading = 0;
let goOn = () => {};

process.on('message', (message: ToReader) => {
  if (message.kind === 'cut') void cut(message.sizeBytes, message.limits);
  else if (message.kind === 'next') goOn();
  else {
    reads.get(message.id)?.(message.bytes);
    reads.delete(message.id);
  }
});
process.on('disconnect', () => process.exit());

function read(first: number, length: number): Promise<Uint8Array> {
  return new Promise((resolve) => {
    reads.set(++reading, resolve);
    send({ kind: 'read', id: reading, first, length });
  });
}

async function cut(sizeBytes: number, limits: Limits): Promise<void> {
  try {
    for await (const piece of cutParquet({ sizeBytes, read }, limits)) {
      const taken = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      send({ kind: 'piece', piece });
      await taken;
    }
    send({ kind: 'done' });
  } catch (error) {
    const { code, detail, publicDetail } = error as WaybillError;
    send({ kind: 'failed', code, detail, publicDetail });
  }
}
