import type { Boundaries, StreamLayout } from '../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Limits } from '../../domain/pipelines/manifest.ts';
import type { Batch } from '../../domain/runs/batch.ts';

/** Bytes to append to the open batch, or its end: what is known of it apart from its digest. */
export type Chunk = Buffer | Omit<Batch, 'digest'>;

/** Where in the source the cutter begins, and the header if it was read before. */
export interface Position extends Pick<Batch, 'seq' | 'firstByte' | 'firstRecord' | 'firstLine'> {
  header?: readonly string[] | undefined;
  /** The last bytes before `firstByte`, of a format that must know them. */
  before?: Buffer | undefined;
}

/**
 * Decides which bytes belong to which batch; no I/O. Three kinds of bytes:
 *
 * - finished records go to the open batch, which ends at the first record boundary at or after a limit;
 * - the unfinished record at the end of a chunk is held back, at most `recordBytes` of it;
 * - once it is known to be larger, the open batch ends before it and its bytes pass straight through, as a batch of
 *   its own that no step will load.
 *
 * Empty lines before the first record of a batch are in no batch; elsewhere they belong to the batch around them.
 * A yielded buffer is only valid until the generator goes on.
 */
export class BatchSplitter {
  readonly #layout: StreamLayout;
  readonly #limits: Limits;
  readonly #boundaries: Boundaries;
  #header: readonly string[] | undefined;
  #seq: number;
  // The place just after the last finished record.
  #byte: number;
  #record: number;
  #line: number;
  #open: Omit<Batch, 'digest'> | undefined;
  #held = Buffer.alloc(0);
  #heldBytes = 0;
  pushedBytes = 0;
  /** Size so far of a record that is too large. */
  #passingBytes = 0;
  /** Whether the last byte of it was a newline. */
  #endsLine = false;

  constructor(layout: StreamLayout, limits: Limits, place: Position) {
    this.#layout = layout;
    this.#limits = limits;
    this.#boundaries = layout.boundaries(place.before);
    this.#header = place.header;
    this.#seq = place.seq;
    this.#byte = place.firstByte;
    this.#record = place.firstRecord;
    this.#line = place.firstLine;
  }

  /** Leaves out bytes of the source that are never pushed. */
  skip(sizeBytes: number): void {
    this.#byte += sizeBytes;
  }

  *push(chunk: Buffer): Generator<Chunk, void, void> {
    this.pushedBytes += chunk.length;
    // chunk[written..start) is finished and belongs to the open batch; chunk[start..) is unfinished.
    let written = 0;
    let start = 0;
    for (;;) {
      const end = this.#boundaries.next(chunk, start);
      if (end < 0) break;
      const sizeBytes = this.#heldBytes + end - start;
      if (this.#passingBytes > 0) {
        yield chunk.subarray(start, end);
        yield this.#endRefused(this.#passingBytes + end - start, 'RecordTooLarge');
        written = end;
      } else if (this.#isBlank(chunk, start, end)) {
        if (!this.#open) written = end;
        else if (this.#heldBytes > 0) yield this.#releaseHeld();
        this.#advance(sizeBytes, 0);
      } else if (sizeBytes - 1 > this.#limits.recordBytes) {
        if (written < start) yield chunk.subarray(written, start);
        if (this.#needsHeader) throw this.#headerTooLarge(chunk.subarray(start, end));
        if (this.#open) yield this.#close();
        if (this.#heldBytes > 0) yield this.#releaseHeld();
        yield chunk.subarray(start, end);
        yield this.#endRefused(sizeBytes, 'RecordTooLarge');
        written = end;
      } else if (this.#needsHeader) {
        this.#readHeader(chunk.subarray(start, end));
        this.#advance(sizeBytes, 0);
        written = end;
      } else {
        this.#open ??= this.#opened();
        if (this.#heldBytes > 0) yield this.#releaseHeld();
        this.#advance(sizeBytes, 1);
      }
      if (this.#isFull()) {
        if (written < end) yield chunk.subarray(written, end);
        yield this.#close();
        written = end;
      }
      start = end;
    }
    if (written < start) yield chunk.subarray(written, start);
    if (start < chunk.length) yield* this.#keep(chunk.subarray(start));
  }

  /** The data has ended: a last record needs no newline. */
  *end(): Generator<Chunk, void, void> {
    this.#boundaries.checkEnd?.();
    const sizeBytes = this.#heldBytes + this.#passingBytes;
    const blank = this.#passingBytes === 0 && this.#isBlank(noBytes, 0, 0);
    if (sizeBytes > 0 && !blank) {
      if (this.#needsHeader) {
        if (this.#boundaries.unfinished) throw invalid('A quoted name is still open at the end of the data.');
        this.#readHeader(Buffer.alloc(0));
      } else if (this.#boundaries.unfinished || this.#passingBytes > 0) {
        if (this.#open) yield this.#close();
        if (this.#heldBytes > 0) yield this.#releaseHeld();
        yield this.#endRefused(sizeBytes, this.#boundaries.unfinished ?? 'RecordTooLarge');
      } else {
        this.#open ??= this.#opened();
        yield this.#releaseHeld();
        this.#advance(sizeBytes, 1);
      }
    }
    if (this.#open) yield this.#close();
  }

  /**
   * More may follow another time, and what is not finished is left for then. Lines in an open quote that are larger than a record
   * may be are not: without the quote that would close it, the rest of a file would be one record for ever.
   */
  *pause(): Generator<Chunk, void, void> {
    const { unfinished } = this.#boundaries;
    yield* this.cut();
    if (unfinished && this.#passingBytes > 0 && this.#endsLine)
      yield this.#endRefused(this.#passingBytes, unfinished);
  }

  /** More will follow, from the end of this batch on. */
  *cut(): Generator<Chunk, void, void> {
    if (this.#open) yield this.#close();
  }

  /** Bytes that were pushed and are in no batch, after `pause`. */
  get leftBytes(): number {
    return this.#heldBytes + this.#passingBytes;
  }

  get header(): readonly string[] | undefined {
    return this.#header;
  }

  *#keep(rest: Buffer): Generator<Chunk, void, void> {
    const sizeBytes = this.#heldBytes + rest.length;
    if (this.#passingBytes > 0 || sizeBytes > this.#limits.recordBytes) {
      if (this.#needsHeader) throw this.#headerTooLarge(rest);
      if (this.#passingBytes === 0 && this.#open) yield this.#close();
      this.#passingBytes += sizeBytes;
      this.#endsLine = rest.at(-1) === 0x0a;
      if (this.#heldBytes > 0) yield this.#releaseHeld();
      yield rest;
      return;
    }
    if (sizeBytes > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.min(this.#limits.recordBytes, Math.max(4096, sizeBytes * 2)),
      );
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    rest.copy(this.#held, this.#heldBytes);
    this.#heldBytes = sizeBytes;
  }

  #releaseHeld(): Buffer {
    const held = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    return held;
  }

  /** Whether the held bytes and `chunk[from..to)` together hold no record. */
  #isBlank(chunk: Buffer, from: number, to: number): boolean {
    if (this.#heldBytes === 0) return this.#layout.isBlank(chunk, from, to);
    const sizeBytes = this.#heldBytes + to - from;
    if (sizeBytes > blankBytesMax) return false;
    const joined = Buffer.concat([this.#held.subarray(0, this.#heldBytes), chunk.subarray(from, to)]);
    return this.#layout.isBlank(joined, 0, sizeBytes);
  }

  get #needsHeader(): boolean {
    return this.#layout.readHeader !== undefined && this.#header === undefined;
  }

  #readHeader(rest: Buffer): void {
    this.#header = this.#layout.readHeader?.(Buffer.concat([this.#releaseHeld(), rest]));
  }

  #headerTooLarge(rest: Buffer): WaybillError {
    const start = Buffer.concat([this.#releaseHeld(), rest]);
    const returns = start.includes(0x0d) && !start.subarray(0, -1).includes(0x0a);
    return invalid(
      returns && start.at(-2) !== 0x0d
        ? 'The header is larger than a record may be, and holds carriage returns. End lines with LF or CRLF, not with CR alone.'
        : 'The header is larger than a record may be.',
    );
  }

  #opened(): Omit<Batch, 'digest'> {
    return {
      seq: this.#seq++,
      sizeBytes: 0,
      firstByte: this.#byte,
      firstRecord: this.#record,
      firstLine: this.#line,
      records: 0,
      ...(this.#header && { header: this.#header }),
    };
  }

  #advance(sizeBytes: number, records: number): void {
    this.#heldBytes = 0;
    this.#byte += sizeBytes;
    this.#record += records;
    this.#line += this.#boundaries.step;
    if (!this.#open) return;
    this.#open.sizeBytes += sizeBytes;
    this.#open.records += records;
  }

  #isFull(): boolean {
    if (!this.#open) return false;
    return this.#open.sizeBytes >= this.#limits.batchBytes || this.#open.records >= this.#limits.batchRecords;
  }

  #close(): Omit<Batch, 'digest'> {
    const closed = this.#open!;
    this.#open = undefined;
    return closed;
  }

  #endRefused(sizeBytes: number, refused: NonNullable<Batch['refused']>): Omit<Batch, 'digest'> {
    this.#open = this.#opened();
    this.#passingBytes = 0;
    this.#advance(sizeBytes, 1);
    return { ...this.#close(), refused };
  }
}

/** What is held across two chunks and has no record is short: white space, the end of an array. */
const blankBytesMax = 64;
const noBytes = Buffer.alloc(0);

function invalid(message: string): WaybillError {
  return new WaybillError('HeaderInvalid', { publicDetail: message, issues: [{ path: 'header', message }] });
}
