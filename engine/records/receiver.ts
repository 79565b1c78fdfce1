import { hash } from 'node:crypto';
import { connectors } from '../../connectors/index.ts';
import type { FileLayout, Format, RandomAccess, StreamLayout } from '../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Limits } from '../../domain/pipelines/manifest.ts';
import type { ObjectScope, ObjectStore, ObjectWriter } from '../../domain/ports/objects.ts';
import type { ReceivedInput, Receiver } from '../../domain/ports/receiver.ts';
import { type Batch, smallBytesMax } from '../../domain/runs/batch.ts';
import { BatchSplitter, type Chunk, type Position } from './batchSplitter.ts';
import { decompress } from './decompress.ts';

/** Cuts bytes into batches and makes each durable before it is yielded. See the port for what it promises. */
export function createReceiver(objects: ObjectStore): Receiver {
  return {
    receive(scope, input, bytes) {
      const format = connectors.format(input.format);
      const seen = { holdsData: false, leftBytes: 0 };
      const batches = receiveInto(seen, objects, scope, format, input, bytes);
      return {
        [Symbol.asyncIterator]: () => batches,
        resumable: !input.compression && !format.unpack && format.layout.access === 'stream',
        get holdsData() {
          return seen.holdsData;
        },
        get leftBytes() {
          return seen.leftBytes;
        },
      };
    },
  };
}

async function* receiveInto(
  seen: { holdsData: boolean; leftBytes: number },
  objects: ObjectStore,
  scope: ObjectScope,
  format: Format,
  { limits, compression, after, growing, atEnd }: ReceivedInput,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Batch, void, void> {
  const { layout } = format;
  const plain = compression ? decompress(bytes, compression, limits.decompressedBytes) : bytes;
  const unpacked = format.unpack?.(plain) ?? plain;
  if (layout.access === 'file') {
    const file = await keepWhole(objects, scope, unpacked);
    seen.holdsData = file.sizeBytes > 0;
    yield* kept(objects, scope, cutFile(layout, file, limits, after));
    return;
  }
  const byLine = format.kind.locates === 'line';
  const start = after
    ? await positionAfter(objects, scope, format, after)
    : { ...beginning, ...(!byLine && { firstLine: 0 }), ...growing };
  const splitter = new BatchSplitter(layout, limits, start);
  let chunks = buffers(unpacked);
  if (start.firstByte === 0) chunks = fromStart(chunks, layout, splitter);
  const whole = growing && wholeLines(chunks, limits.recordBytes);
  for await (const batch of kept(
    objects,
    scope,
    splitStream(whole ?? chunks, splitter, growing ? () => 'pause' : (atEnd ?? (() => 'end'))),
  )) {
    seen.holdsData = true;
    yield batch;
  }
  // A header without rows says that there are none, and so do the brackets of an empty array. No line says nothing.
  seen.holdsData ||= splitter.header !== undefined || (!byLine && splitter.pushedBytes > 0);
  seen.leftBytes = splitter.leftBytes + (whole?.leftBytes ?? 0);
}

/** Makes the bytes of each batch durable before the batch is yielded; a small batch carries its bytes with it. */
async function* kept(
  objects: ObjectStore,
  scope: ObjectScope,
  chunks: AsyncIterable<Chunk> | AsyncIterable<Iterable<Chunk>>,
): AsyncGenerator<Batch, void, void> {
  let writer: ObjectWriter | undefined;
  let small: Buffer[] = [];
  let smallBytes = 0;

  async function write(bytes: Buffer): Promise<void> {
    if (!writer && smallBytes + bytes.length <= smallBytesMax) {
      // The chunk is only valid until the next one.
      small.push(Buffer.from(bytes));
      smallBytes += bytes.length;
      return;
    }
    writer ??= await objects.create(scope);
    for (const one of small) await writer.write(one);
    small = [];
    await writer.write(bytes);
  }

  async function finish(): Promise<Pick<Batch, 'digest' | 'bytes'>> {
    const bytes = Buffer.concat(small);
    const finished = writer
      ? { digest: (await writer.finish()).digest }
      : { digest: hash('sha256', bytes), bytes };
    writer = undefined;
    small = [];
    smallBytes = 0;
    return finished;
  }

  try {
    for await (const some of chunks) {
      for (const chunk of isChunk(some) ? [some] : some) {
        if (chunk instanceof Uint8Array) await write(chunk);
        else yield { ...chunk, ...(await finish()) };
      }
    }
  } finally {
    await writer?.abort();
  }
}

function isChunk(some: Chunk | Iterable<Chunk>): some is Chunk {
  return some instanceof Uint8Array || !(Symbol.iterator in some);
}

/** The pieces of one chunk of the source are synchronous: an await for each would cost more than finding them. */
async function* splitStream(
  chunks: AsyncIterable<Buffer>,
  splitter: BatchSplitter,
  atEnd: () => 'end' | 'pause' | 'cut' | 'leave',
): AsyncGenerator<Iterable<Chunk>, void, void> {
  for await (const chunk of chunks) yield splitter.push(chunk);
  const end = atEnd();
  if (end !== 'leave') yield splitter[end]();
}

/** A format that must know the end first is stored as one object, and its batches are cut out of that. */
async function keepWhole(
  objects: ObjectStore,
  scope: ObjectScope,
  bytes: AsyncIterable<Uint8Array>,
): Promise<RandomAccess> {
  const writer = await objects.create(scope);
  try {
    for await (const chunk of bytes) await writer.write(chunk);
    const { digest, sizeBytes } = await writer.finish();
    return {
      sizeBytes,
      read: (firstByte, lengthBytes) => objects.getRange(scope, digest, firstByte, lengthBytes),
    };
  } finally {
    await writer.abort();
  }
}

async function* cutFile(
  layout: FileLayout,
  file: RandomAccess,
  limits: Limits,
  after: Batch | undefined,
): AsyncGenerator<Chunk, void, void> {
  let seq = 0;
  let sizeBytes = 0;
  for await (const piece of layout.cut(file, limits)) {
    const isNew = seq > (after?.seq ?? -1);
    if (piece instanceof Uint8Array) {
      sizeBytes += piece.byteLength;
      if (isNew) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    } else {
      if (isNew) yield { seq, sizeBytes, ...piece };
      seq++;
      sizeBytes = 0;
    }
  }
}

const beginning: Position = { seq: 0, firstByte: 0, firstRecord: 0, firstLine: 1 };

async function positionAfter(
  objects: ObjectStore,
  scope: ObjectScope,
  { kind }: Format,
  batch: Batch,
): Promise<Position> {
  const step = kind.locates === 'line' ? await countLines(objects, scope, batch) : batch.records;
  return {
    seq: batch.seq + 1,
    firstByte: batch.firstByte + batch.sizeBytes,
    firstRecord: batch.firstRecord + batch.records,
    firstLine: batch.firstLine + step,
    header: batch.header,
    ...(kind.locates === 'index' && { before: await lastBytes(objects, scope, batch) }),
  };
}

const pieceBytes = 1024 * 1024;

async function lastBytes(objects: ObjectStore, scope: ObjectScope, batch: Batch): Promise<Buffer> {
  if (batch.bytes) return Buffer.from(batch.bytes);
  const length = Math.min(pieceBytes, batch.sizeBytes);
  return Buffer.from(await objects.getRange(scope, batch.digest, batch.sizeBytes - length, length));
}

/** A batch does not say how many lines it covers, since only resuming asks. */
async function countLines(objects: ObjectStore, scope: ObjectScope, batch: Batch): Promise<number> {
  let lines = 0;
  for (let at = 0; at < batch.sizeBytes; at += pieceBytes) {
    const length = Math.min(pieceBytes, batch.sizeBytes - at);
    const piece = Buffer.from(batch.bytes ?? (await objects.getRange(scope, batch.digest, at, length)));
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, end + 1)) lines++;
  }
  return lines;
}

async function* buffers(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  for await (const chunk of bytes) {
    if (chunk.length > 0) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

/**
 * The lines of a growing file that are complete. A last line without its newline is left, unless it is larger than a record may
 * be, for it need not be held then.
 */
function wholeLines(
  chunks: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncIterable<Buffer> & { leftBytes: number } {
  let held: Buffer[] = [];
  const lines = {
    leftBytes: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
      let passes = false;
      for await (const chunk of chunks) {
        const ends = chunk.lastIndexOf(0x0a) + 1;
        const restBytes = chunk.length - ends;
        passes = (passes && ends === 0) || (ends === 0 ? lines.leftBytes : 0) + restBytes > lineBytesMax;
        if (ends > 0 || passes) {
          yield* held;
          held = [];
          lines.leftBytes = 0;
        }
        if (passes) yield chunk;
        else {
          if (ends > 0) yield chunk.subarray(0, ends);
          if (restBytes > 0) held.push(chunk.subarray(ends));
          lines.leftBytes += restBytes;
        }
      }
    },
  };
  return lines;
}

/** So many first bytes show whether the data is of another format. */
const headBytes = 64;

/**
 * Checks the first bytes and leaves out those that mean nothing, such as a byte-order mark. Nothing waits for more
 * than the length of that mark. Throws `FormatMismatch`.
 */
async function* fromStart(
  chunks: AsyncGenerator<Buffer, void, void>,
  layout: StreamLayout,
  splitter: BatchSplitter,
): AsyncGenerator<Buffer, void, void> {
  const mark = layout.ignoredStart ?? new Uint8Array();
  let head = Buffer.alloc(0);
  let begun = false;
  for await (const chunk of chunks) {
    if (begun && head.length >= headBytes) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (begun) {
      checkStart(head, layout);
      yield chunk;
      continue;
    }
    if (head.length < mark.length && head.equals(mark.subarray(0, head.length))) continue;
    const marked: boolean = mark.length > 0 && head.subarray(0, mark.length).equals(mark);
    if (marked) {
      splitter.skip(mark.length);
      head = head.subarray(mark.length);
    }
    begun = true;
    checkStart(head, layout);
    if (head.length > 0) yield head;
  }
  if (!begun && head.length > 0) yield head;
}

function checkStart(head: Buffer, layout: StreamLayout): void {
  const other = layout.mistakenFor?.(head);
  if (other) throw new WaybillError('FormatMismatch', { publicDetail: other });
}
