import type { ObjectScope, ObjectStore, ObjectWriter } from '../../domain/ports/objects.ts';
import type { Receiver } from '../../domain/ports/receiver.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { BatchSplitter, type Chunk, type Position } from './batchSplitter.ts';

/** Cuts bytes into batches and makes each durable before it is yielded. See the port for what it promises. */
export function createReceiver(objects: ObjectStore): Receiver {
  return {
    async *receive(scope, format, limits, bytes, after, growing) {
      const begins: Position = { ...beginning, ...growing };
      const place = after ? await placeAfter(objects, scope, after) : begins;
      const cutter = new BatchSplitter(format, limits, place);
      let writer: ObjectWriter | undefined;

      /** Writes bytes; resolves with a batch where one ended. */
      async function perform(cut: Chunk): Promise<Batch | undefined> {
        writer ??= await objects.create(scope);
        if (Buffer.isBuffer(cut)) {
          await writer.write(cut);
          return undefined;
        }
        const { digest } = await writer.finish();
        writer = undefined;
        return { ...cut, digest };
      }

      try {
        const atStart = place.firstByte === 0;
        for await (const chunk of atStart ? withoutMark(buffers(bytes), cutter) : buffers(bytes)) {
          for (const cut of cutter.push(chunk)) {
            const batch = await perform(cut);
            if (batch) yield batch;
          }
        }
        for (const cut of growing ? cutter.pause() : cutter.end()) {
          const batch = await perform(cut);
          if (batch) yield batch;
        }
      } finally {
        await writer?.abort();
      }
    },
  };
}

const beginning: Position = { seq: 0, firstByte: 0, firstRecord: 0, firstLine: 1 };

async function placeAfter(objects: ObjectStore, scope: ObjectScope, batch: Batch): Promise<Position> {
  return {
    seq: batch.seq + 1,
    firstByte: batch.firstByte + batch.sizeBytes,
    firstRecord: batch.firstRecord + batch.records,
    firstLine: batch.firstLine + (await countLines(objects, scope, batch)),
    header: batch.header,
  };
}

const pieceBytes = 1024 * 1024;

/** A batch does not say how many lines it covers, since only resuming asks. */
async function countLines(objects: ObjectStore, scope: ObjectScope, batch: Batch): Promise<number> {
  let lines = 0;
  for (let at = 0; at < batch.sizeBytes; at += pieceBytes) {
    const length = Math.min(pieceBytes, batch.sizeBytes - at);
    const piece = Buffer.from(await objects.getRange(scope, batch.digest, at, length));
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, end + 1)) lines++;
  }
  return lines;
}

async function* buffers(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  for await (const chunk of bytes) {
    if (chunk.length > 0) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

const mark = Buffer.from([0xef, 0xbb, 0xbf]);

/** Skips a byte-order mark (U+FEFF in UTF-8) at the very start, which says nothing in UTF-8 but many tools write. */
async function* withoutMark(
  chunks: AsyncGenerator<Buffer, void, void>,
  cutter: BatchSplitter,
): AsyncGenerator<Buffer, void, void> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (!head) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < mark.length && mark.subarray(0, head.length).equals(head)) continue;
    const marked: boolean = head.subarray(0, mark.length).equals(mark);
    if (marked) cutter.skip(mark.length);
    const rest: Buffer = marked ? head.subarray(mark.length) : head;
    head = undefined;
    if (rest.length > 0) yield rest;
  }
  if (head && head.length > 0) yield head;
}
