import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { Batch } from '../domain/runs/batch.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { compressionOf } from '../domain/sources/compression.ts';
import { redactSource } from '../domain/sources/redactSource.ts';
import { isPulled } from '../domain/sources/source.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { fetchObjects } from './fetchObjects.ts';
import { fetchPages } from './fetchPages.ts';
import { audited, executionOf, objectScopeOf, requireDefinition } from './run.ts';
import { sinceOf, windowOf } from './window.ts';

/**
 * Reads a file or a URL into batches, while earlier batches are already processed. A retry continues where the
 * last batch ended if the source is provably the same version; otherwise it reads from the start again, and bytes
 * that differ from the recorded ones end the run as `SourceChanged`. From an incremental source it reads what is new
 * since the last run, which may be nothing.
 */
export async function fetchStep(deps: Dependencies): Promise<void> {
  const run = await approvedRun(deps);
  const { manifest } = requireDefinition(deps);
  const { format, cursor, pages } = manifest.source;
  if (!isPulled(run.source) || !format) throw new WaybillError('SourceInvalid');

  const asCaller = run.source.auth === 'caller';
  const signal = Context.current().cancellationSignal;
  // Throws if the run has ended.
  await deps.batches.arrivals(run, executionOf(), 0, 0, signal);
  const window = await windowOf(deps, run);
  if (window?.kind === 'objects') return fetchObjects(deps, run, format, window);
  const token = asCaller && { token: (origin: string) => deps.stepTokens.obtain('fetch', origin) };
  if (pages) {
    const compression = compressionOf(manifest.source, run.source);
    const how = { ...sinceOf(cursor, window), ...token, ...(compression && { compression }), window };
    return fetchPages(deps, run, format, pages, how);
  }
  const growing = window?.kind === 'bytes' ? window : undefined;
  const last = await lastOfThisVersion(deps, run);
  const fromByte = last ? last.firstByte + last.sizeBytes : growing?.fromByte;
  const compression = compressionOf(manifest.source, run.source);
  const source = await deps.sources.open(run.source, {
    signal,
    ...(compression && { compression }),
    ...sinceOf(cursor, window),
    ...token,
    ...(fromByte !== undefined && { fromByte }),
    ...(last && { version: last.sourceVersion }),
    ...(growing && { growing }),
  });
  const { version } = source;

  const reception = deps.receiver.receive(
    objectScopeOf(run),
    {
      format,
      limits: manifest.limits,
      compression: source.encoding ?? compression,
      after: last,
      growing: growing && {
        firstByte: growing.fromByte,
        firstLine: growing.firstLine,
        header: growing.header,
      },
    },
    source.stream,
  );
  // Without a version a retry begins at the start, and compares what it reads with what was read.
  const of = version !== null && reception.resumable ? { sourceVersion: version } : {};
  for await (const batch of reception) {
    // Reading may take hours, in which the right may be revoked.
    await deps.recheck();
    await deps.batches.append(run, { ...batch, ...of });
    signal.throwIfAborted();
  }
  if (!last && !reception.holdsData && !window) throw new WaybillError('SourceEmpty');
  const { leftBytes } = reception;
  await deps.batches.seal(
    run,
    leftBytes,
    audited(deps, 'source.read', {
      source: redactSource(run.source),
      version,
      ...(window && { window }),
      ...(leftBytes > 0 && { leftBytes }),
    }),
  );
}

/**
 * The last batch, behind which a retry continues. It comes from the record and not from a heartbeat, which every client that
 * reaches Temporal can send.
 */
async function lastOfThisVersion(
  deps: Dependencies,
  run: RunFacts,
): Promise<(Batch & { sourceVersion: string }) | undefined> {
  if (Context.current().info.attempt === 1) return undefined;
  const last = await deps.batches.findLast(run);
  return last?.sourceVersion === undefined ? undefined : { ...last, sourceVersion: last.sourceVersion };
}
