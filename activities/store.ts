import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import { credentialOf } from '../domain/grants/grant.ts';
import type { BatchTask } from '../domain/ports/compute.ts';
import type { NewLetter } from '../domain/ports/deadLetters.ts';
import type { BatchToStore } from '../domain/ports/ledger.ts';
import type { RejectedRecord } from '../domain/ports/sinkRows.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { Batch, StageOutput } from '../domain/runs/batch.ts';
import type { Rejection } from '../domain/runs/rejection.ts';
import { addCounts, type Counts, zeroCounts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { isOfLetters, isPulled } from '../domain/sources/source.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, objectScopeOf, requireDefinition, workOf } from './run.ts';
import { batchTask, noEncodedRows, outputOf, readRejections } from './stage.ts';

/** A dead letter keeps the raw bytes of a record up to this size; for a larger one it names object and offset. */
const rawBytesMax = 64 * 1024;

/** Stores the rows and dead letters of a batch in the database, once. */
export async function storeStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const definition = requireDefinition(deps);
  const { batch, validated, enriched, transformed, stored } = await workOf(deps, run, seq);
  if (stored) return landed(stored, [validated, transformed]);

  if (!validated || !transformed) {
    throw new WaybillError('StepResultInvalid', {
      detail: `batch ${seq} of ${run.runId} is not transformed`,
    });
  }
  const task = batchTask(deps, run, batch, enriched);
  // Before the transaction begins: computing the rows again may take long.
  const rowsOf = async () =>
    batch.refused
      ? noEncodedRows
      : deps.compute.rows(task, outputOf(transformed), Context.current().cancellationSignal);
  const load: BatchToStore = {
    tenant: run.tenant,
    runId: run.runId,
    principal: deps.grant().claims.sub,
    credential: credentialOf(deps.grant()),
    pipeline: run.pipeline,
    version: run.version,
    seq,
    sink: definition.manifest.sink,
    rows: await rowsOf(),
    counts: addCounts(addCounts(zeroCounts, validated.counts), transformed.counts),
    movesWatermark: 'cursor' in definition.manifest.source && isPulled(run.source),
    settlesLetters: isOfLetters(run.source),
    first: batch.firstRecord,
    deadLetters: await deadLettersOf(deps, run, batch, validated, transformed, task),
    lettersOf: (rejected) => lettersApart(deps, run, task, rejected),
    audit: (stored) => audited(deps, 'batch.stored', { seq, batch: batch.digest, ...stored }),
  };
  const counts = await deps.ledger.storeBatch(load).catch(async (error: unknown) => {
    if (!(error instanceof WaybillError && error.code === 'SinkRejected')) throw error;
    return deps.ledger.storeBatch({ ...load, rows: await rowsOf(), apart: true });
  });
  await deps.compute.forget(task);
  return landed(counts, [validated, transformed]);
}

/** Of records that only the database could reject. */
async function lettersApart(
  deps: Dependencies,
  run: RunFacts,
  task: BatchTask,
  rejected: readonly RejectedRecord[],
): Promise<NewLetter[]> {
  const reasons = new Map(rejected.map(({ position, reason }) => [position, reason]));
  const places = await deps.compute.locate(task, [...reasons.keys()]);
  const all = places.map((place) => ({
    ...place,
    ...reasons.get(place.position)!,
    stage: 'store' as const,
  }));
  return lettersOf(deps, run, task.batch, all);
}

/**
 * Only what this stage adds, for the workflow has already counted the stages before it: records that the database rejected had
 * passed those.
 */
function landed(
  { stored, unchanged, deduplicated, rejected, emitted }: Counts,
  stages: readonly (StageOutput | undefined)[],
): Partial<Counts> {
  const before = stages.reduce((sum, stage) => addCounts(sum, stage?.counts ?? {}), zeroCounts);
  const apart = rejected - before.rejected;
  const counts = { stored, unchanged, deduplicated };
  return apart === 0
    ? counts
    : { ...counts, rejected: apart, passed: -apart, emitted: emitted - before.emitted };
}

export async function deadLettersOf(
  deps: Dependencies,
  run: RunFacts,
  batch: Batch,
  validated: StageOutput,
  transformed: StageOutput,
  task?: BatchTask,
): Promise<NewLetter[]> {
  const rejected = [
    ...(await readRejections(deps, run, validated)).map((r) => ({ ...r, stage: 'validate' as const })),
    ...(await readRejections(deps, run, transformed)).map((r) => ({ ...r, stage: 'transform' as const })),
  ];
  if (rejected.length === 0) return [];
  const kept = task && !batch.bytes ? await deps.compute.rejectedBytes(task) : undefined;
  return lettersOf(deps, run, batch, rejected, kept);
}

/**
 * Of a batch that is never stored: what its stages rejected. Of a large batch they only say where their bytes are, so that ending a run
 * reads no input.
 */
export async function unkeptLettersOf(
  deps: Dependencies,
  run: RunFacts,
  { batch, stages }: Awaited<ReturnType<Dependencies['stages']['listUnkept']>>[number],
): Promise<NewLetter[]> {
  const rejected = await Promise.all(
    stages.map(async (output) =>
      (await readRejections(deps, run, output)).map((rejection) => ({
        ...rejection,
        stage: output.stage === 'validate' ? ('validate' as const) : ('transform' as const),
      })),
    ),
  );
  return newLetters(batch, rejected.flat(), batch.bytes);
}

async function lettersOf(
  deps: Dependencies,
  run: RunFacts,
  batch: Batch,
  rejected: readonly (Rejection & Pick<NewLetter, 'stage'>)[],
  kept?: ReadonlyMap<number, Uint8Array>,
): Promise<NewLetter[]> {
  const hasAll = rejected.every(({ position }) => kept?.has(position));
  const bytes =
    batch.bytes ??
    (batch.refused || hasAll ? undefined : await deps.objects.get(objectScopeOf(run), batch.digest));
  return newLetters(batch, rejected, bytes, kept);
}

function newLetters(
  batch: Batch,
  rejected: readonly (Rejection & Pick<NewLetter, 'stage'>)[],
  bytes: Uint8Array | undefined,
  kept?: ReadonlyMap<number, Uint8Array>,
): NewLetter[] {
  const source = batch.source === undefined ? {} : { source: batch.source };
  return rejected.map((rejection) => {
    const offset = rejection.byteOffset - batch.firstByte;
    const isSmall = rejection.byteLength <= rawBytesMax;
    const raw = isSmall
      ? (bytes?.subarray(offset, offset + rejection.byteLength) ?? kept?.get(rejection.position))
      : undefined;
    return { ...rejection, ...source, object: { digest: batch.digest, offset }, ...(raw && { raw }) };
  });
}

/** So that approvers see them, and they can be repaired if the run is never published. Again it changes nothing. */
export async function keepRejections(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): Promise<void> {
  const { tenant, runId, pipeline, version } = run;
  const principal = deps.grant().claims.sub;
  const rejects = ({ validated, transformed }: StagedBatch) =>
    (validated.counts.rejected ?? 0) + (transformed.counts.rejected ?? 0) > 0;
  const rejecting = staged.filter(rejects);
  if (rejecting.length === 0) return;
  await deps.ledger.recordRejections({
    ...{ tenant, runId, principal, pipeline, version },
    async *batches() {
      for (const { batch, validated, transformed } of rejecting)
        yield { seq: batch.seq, deadLetters: await deadLettersOf(deps, run, batch, validated, transformed) };
    },
    audit: audited(deps, 'dead-letter.recorded'),
  });
}
