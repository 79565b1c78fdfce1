import type { AuditEvent } from '../domain/audit.ts';
import type { Manifest } from '../domain/pipelines/manifest.ts';
import type { BatchTask, EncodedOutput, StageResult } from '../domain/ports/compute.ts';
import type { StagedRows } from '../domain/ports/ledger.ts';
import type { EncodedRows } from '../domain/ports/sinkRows.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import { type Batch, type StageOutput, smallBytesMax } from '../domain/runs/batch.ts';
import type { Rejection } from '../domain/runs/rejection.ts';
import { rejections } from '../domain/runs/rejection.ts';
import { addCounts, type Counts, zeroCounts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { redactSource } from '../domain/sources/redactSource.ts';
import { isOfLetters } from '../domain/sources/source.ts';
import type { Dependencies } from './dependencies.ts';
import { digestOf, isAhead, noteStage, objectScopeOf, requireDefinition } from './run.ts';

/** Records what a stage decided about a batch. Many rejections become an object. */
export async function recordStage(
  deps: Dependencies,
  run: RunFacts,
  key: Pick<StageOutput, 'seq' | 'stage'>,
  result: StageResult & Pick<StageOutput, 'values'>,
  audit: AuditEvent,
): Promise<Partial<Counts>> {
  const { digest, sizeBytes, values, rejections, counts, highest, ahead, unknownFields, form, quality } =
    result;
  const encoded = Buffer.from(JSON.stringify(rejections));
  const areFew = encoded.byteLength <= smallBytesMax;
  const output: StageOutput = {
    ...key,
    digest,
    sizeBytes,
    ...(values && { values }),
    ...(areFew && rejections.length > 0 && { rejections }),
    ...(!areFew && { rejectedDigest: await deps.objects.put(objectScopeOf(run), encoded) }),
    ...(form !== undefined && { form }),
    ...(highest !== undefined && { highest }),
    ...(ahead && { ahead }),
    ...(unknownFields && { unknownFields }),
    ...(quality && { quality }),
    counts,
  };
  const isFollowed = key.stage === 'validate' && isAhead();
  const recorded = await deps.stages.record(run, output, audit, isFollowed);
  noteStage(recorded);
  return recorded.counts;
}

/** What the engine needs to compute the stages of a batch. */
export function batchTask(
  deps: Dependencies,
  run: RunFacts,
  batch: Batch,
  enriched?: StageOutput,
): BatchTask {
  const definition = requireDefinition(deps);
  const source = definition.manifest.rowSource && (batch.source ?? nameOf(run));
  return {
    definition,
    scope: objectScopeOf(run),
    batch,
    ...(isOfLetters(run.source) && { areLetters: true }),
    parameters: run.parameters,
    ...(source && { source }),
    ...(enriched && {
      lookups: { digest: enriched.digest, ...(enriched.values && { values: enriched.values }) },
    }),
  };
}

/** Without what may be a secret in a URL. */
function nameOf(run: RunFacts): string | undefined {
  const { path, url } = redactSource(run.source);
  return url ?? path;
}

/** The rows of a recorded `transform`. */
export function outputOf({
  digest,
  sizeBytes,
  counts,
  form,
}: Pick<StageResult, 'digest' | 'sizeBytes' | 'counts' | 'form'>): EncodedOutput {
  return { digest, form, sizeBytes, emitted: counts.emitted ?? 0 };
}

export async function readRejections(
  deps: Dependencies,
  run: RunFacts,
  stage: StageOutput,
): Promise<readonly Rejection[]> {
  if (!stage.rejectedDigest) return stage.rejections ?? [];
  return JSON.parse(Buffer.from(await deps.objects.get(objectScopeOf(run), stage.rejectedDigest)).toString());
}

/** The result for a batch of one record that is too large or malformed to load. */
export function rejectedWhole(batch: Batch): StageResult {
  const code = batch.refused!;
  const rejection: Rejection = {
    position: batch.firstRecord,
    line: batch.firstLine,
    ...(batch.rowGroup !== undefined && { rowGroup: batch.rowGroup }),
    byteOffset: batch.firstByte,
    byteLength: batch.sizeBytes,
    code,
    path: '',
    message: rejections[code],
  };
  const counts = { read: 1, rejected: 1 };
  return {
    digest: digestOf(JSON.stringify([counts, null, [rejection]])),
    sizeBytes: 0,
    rejections: [rejection],
    counts,
  };
}

/** The result of `transform` for such a batch. */
export const noRows: StageResult = {
  digest: digestOf(''),
  sizeBytes: 0,
  rejections: [],
  counts: { passed: 0, filtered: 0, rejected: 0, emitted: 0 },
};

/** Whether the run fails as `AllRejected`. */
export function fitsNothing({ allowAllRejected }: Manifest, staged: readonly StagedBatch[]): boolean {
  const counts = staged
    .flatMap(({ validated, transformed }) => [validated.counts, transformed.counts])
    .reduce<Counts>(addCounts, zeroCounts);
  return counts.read > 0 && counts.rejected === counts.read && !allowAllRejected;
}

/**
 * The encoded rows of a run, one batch at a time. Where approvers were shown them, they are objects, which the store compares with their
 * recorded digests; otherwise they come from the cache, or are computed again.
 */
export async function* encodedBatches(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
  signal: AbortSignal,
): AsyncGenerator<StagedRows & StagedBatch> {
  const isKept = requireDefinition(deps).manifest.approval?.before === 'publish';
  for (const one of staged) {
    signal.throwIfAborted();
    const output = outputOf(one.transformed);
    const kept = { ...output, chunks: () => readObject(deps, run, one.transformed.digest) };
    const task = batchTask(deps, run, one.batch, one.enriched);
    const rows = one.batch.refused
      ? noEncodedRows
      : isKept
        ? kept
        : await deps.compute.rows(task, output, signal);
    yield { ...one, seq: one.batch.seq, rows };
  }
}

/** The same where the rows are written already: how many there are, and none of them. */
export async function* writtenBatches(
  staged: readonly StagedBatch[],
): AsyncGenerator<StagedRows & StagedBatch> {
  for (const one of staged)
    yield { ...one, seq: one.batch.seq, rows: { ...noEncodedRows, ...outputOf(one.transformed) } };
}

export const noEncodedRows: EncodedRows = { emitted: 0, sizeBytes: 0, async *chunks() {} };

async function* readObject(deps: Dependencies, run: RunFacts, digest: string): AsyncGenerator<Uint8Array> {
  const bytes = await deps.objects.get(objectScopeOf(run), digest);
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

const chunkBytes = 256 * 1024;
