import type { AuditEvent } from '../domain/audit.ts';
import type { StageResult } from '../domain/ports/compute.ts';
import type { StagedRows } from '../domain/ports/ledger.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { Batch, StageOutput } from '../domain/runs/batch.ts';
import type { Rejection } from '../domain/runs/rejection.ts';
import { rejections } from '../domain/runs/rejection.ts';
import type { Counts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { definitionOf, scopeOf } from './run.ts';

/** Stores the output of a stage for a batch: its rows, and its rejections if there are any. */
export async function recordStage(
  deps: Dependencies,
  run: RunFacts,
  key: Pick<StageOutput, 'seq' | 'stage'>,
  result: StageResult,
  audit: AuditEvent,
): Promise<Partial<Counts>> {
  const scope = scopeOf(run);
  const digest = await deps.objects.put(scope, result.bytes);
  const rejected = result.rejections.length > 0 ? encodeRejections(result.rejections) : undefined;
  const rejectedDigest = rejected && (await deps.objects.put(scope, rejected));
  const output: StageOutput = {
    ...key,
    digest,
    sizeBytes: result.bytes.byteLength,
    ...(rejectedDigest && { rejectedDigest }),
    ...(result.highest !== undefined && { highest: result.highest }),
    counts: result.counts,
  };
  return (await deps.stages.record(run, output, audit)).counts;
}

export async function readRejections(
  deps: Dependencies,
  run: RunFacts,
  stage: StageOutput,
): Promise<Rejection[]> {
  if (!stage.rejectedDigest) return [];
  return JSON.parse(Buffer.from(await deps.objects.get(scopeOf(run), stage.rejectedDigest)).toString());
}

/** The result for a batch of one record that is too large or malformed to load. */
export function rejectedWhole(batch: Batch): StageResult {
  const code = batch.refused!;
  const rejection: Rejection = {
    position: batch.firstRecord,
    line: batch.firstLine,
    byteOffset: batch.firstByte,
    byteLength: batch.sizeBytes,
    code,
    path: '',
    message: rejections[code],
  };
  return { bytes: new Uint8Array(), rejections: [rejection], counts: { read: 1, rejected: 1 } };
}

function encodeRejections(list: readonly Rejection[]): Uint8Array {
  return Buffer.from(JSON.stringify(list));
}

/** Yields the encoded rows of a run, one batch at a time; the object store compares each object with its recorded digest. */
export async function* encodedBatches(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
  signal: AbortSignal,
): AsyncGenerator<StagedRows & StagedBatch> {
  const definition = definitionOf(deps);
  for (const one of staged) {
    signal.throwIfAborted();
    const bytes = await deps.objects.get(scopeOf(run), one.transformed.digest);
    yield { ...one, seq: one.batch.seq, rows: await deps.compute.encode({ definition, bytes }, signal) };
  }
}
