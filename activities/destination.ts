import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { DestinationFile, DestinationRun } from '../domain/ports/destinations.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { requireDefinition } from './run.ts';
import { encodedBatches, fitsNothing } from './stage.ts';

/** Writes the rows of each batch outside of the database, where no reader of manifests sees them yet. */
export async function writeFiles(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): Promise<void> {
  const destination = destinationOf(deps, run);
  const signal = Context.current().cancellationSignal;
  for await (const { rows, ...one } of encodedBatches(deps, run, staged, signal)) {
    const [file] = filesOf([one]);
    if (!file) continue;
    // Writing many takes long, and the right may be revoked.
    await deps.recheck();
    await deps.destinations.write(destination, { ...file, chunks: () => rows.chunks() }, signal);
  }
}

/**
 * Makes the files of a run visible, once the ledger has recorded it and before its end is recorded: so a completed run has its
 * manifest, and no other run has one.
 */
export async function completeFiles(deps: Dependencies, run: RunFacts): Promise<void> {
  if (!deps.grant().claims.tctx.steps.includes('publish')) return;
  if (!deps.destinations.has(run.definition.sink.kind) || !(await deps.ledger.isPublished(run))) return;
  const staged = await deps.stages.listStaged(run).catch((error: unknown) => {
    if (error instanceof WaybillError && error.code === 'RunEnded') return [];
    throw error;
  });
  if (staged.length === 0 || fitsNothing(requireDefinition(deps).manifest, staged)) return;
  await deps.destinations.complete(destinationOf(deps, run), filesOf(staged));
}

function destinationOf(deps: Dependencies, run: RunFacts): DestinationRun {
  const { tenant, runId, pipeline, version, definitionDigest } = run;
  return { tenant, runId, pipeline, version, definitionDigest, sink: requireDefinition(deps).manifest.sink };
}

/** A batch without rows has no file. */
function filesOf(staged: readonly Pick<StagedBatch, 'batch' | 'transformed'>[]): DestinationFile[] {
  return staged.flatMap(({ batch, transformed: { digest, sizeBytes, counts } }) =>
    counts.emitted ? [{ seq: batch.seq, rows: counts.emitted, sizeBytes, sha256: digest }] : [],
  );
}
