import type { AuditEvent } from '../domain/audit.ts';
import type { StageResult } from '../domain/ports/compute.ts';
import type { Batch, StageOutput } from '../domain/runs/batch.ts';
import type { Rejection } from '../domain/runs/rejection.ts';
import { rejections } from '../domain/runs/rejection.ts';
import type { Counts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './index.ts';
import { scopeOf } from './run.ts';

/** Keeps what a stage made of a batch: its rows, and its rejections where there are any. */
export async function recordStage(
  deps: Dependencies,
  run: RunFacts,
  key: Pick<StageOutput, 'seq' | 'stage'>,
  result: StageResult,
  audit: AuditEvent,
): Promise<Partial<Counts>> {
  const scope = scopeOf(run);
  const digest = await deps.objects.put(scope, result.bytes);
  const refused = result.rejections.length > 0 ? encodeRejections(result.rejections) : undefined;
  const rejectedDigest = refused && (await deps.objects.put(scope, refused));
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

/** A batch that is one record too large or too broken to be loaded. */
export function refusedWhole(batch: Batch): StageResult {
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
