import { createHash } from 'node:crypto';
import { WaybillError } from '../../domain/errors.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import { slotsDigest } from '../records/transformRecords.ts';
import type { ReadRange } from './stageCache.ts';

/** The rows that a transform gave, all of them or by slots. What is read is compared with the digests of `result`. */
export function encodedRows(result: StageResult, read: ReadRange, onDifference: () => void): EncodedRows {
  const { digest, sizeBytes, counts, slots } = result;
  const whole: Part = { sizeBytes, emitted: counts.emitted ?? 0, digest };
  const parts: readonly Part[] = slots && slotsDigest(slots) === digest ? slots : [whole];
  const starts = [0];
  for (const part of parts) starts.push(starts.at(-1)! + part.sizeBytes);

  async function* chunksOf(indexes: readonly number[]): AsyncGenerator<Uint8Array> {
    for (const [first, last] of rangesIn(indexes)) {
      const [start, end] = [starts[first]!, starts[last + 1]!];
      if (start < end) yield* compared(read(start, end), parts.slice(first, last + 1), onDifference);
    }
  }

  function pick(indexes: readonly number[]): EncodedRows {
    const picked = indexes.map((i) => parts[i]!);
    return {
      emitted: picked.reduce((sum, part) => sum + part.emitted, 0),
      sizeBytes: picked.reduce((sum, part) => sum + part.sizeBytes, 0),
      chunks: () => chunksOf(indexes),
    };
  }

  const all = pick([...parts.keys()]);
  return parts === slots ? { ...all, ofSlots: pick } : all;
}

type Part = NonNullable<StageResult['slots']>[number];

/** Parts that follow one another are read as one. */
function rangesIn(indexes: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = [];
  for (const index of indexes) {
    const range = ranges.at(-1);
    if (range && range[1] === index - 1) range[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}

/** What a crash or a full disk left of a file is not what was recorded: the step is retried and computes it again. */
async function* compared(
  chunks: AsyncIterable<Uint8Array>,
  parts: readonly Part[],
  onDifference: () => void,
): AsyncGenerator<Uint8Array> {
  const expected = parts.filter(({ sizeBytes }) => sizeBytes > 0);
  let at = 0;
  let left = expected[0]!.sizeBytes;
  let seen = createHash('sha256');

  function check(chunk: Uint8Array): boolean {
    for (let from = 0; from < chunk.length; ) {
      if (at === expected.length) return false;
      const to = Math.min(chunk.length, from + left);
      seen.update(chunk.subarray(from, to));
      left -= to - from;
      from = to;
      if (left > 0) continue;
      if (seen.digest('hex') !== expected[at]!.digest) return false;
      left = expected[++at]?.sizeBytes ?? 0;
      seen = createHash('sha256');
    }
    return true;
  }

  let equal = true;
  for await (const chunk of chunks) {
    equal = check(chunk);
    if (!equal) break;
    yield chunk;
  }
  if (equal && at === expected.length) return;
  onDifference();
  throw new WaybillError('StorageUnavailable', { detail: 'the cached rows of a batch are damaged' });
}
