import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { FormatManifest } from '../domain/pipelines/manifest.ts';
import type { ListedObject } from '../domain/ports/sources.ts';
import type { Batch } from '../domain/runs/batch.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { compressionOf } from '../domain/sources/compression.ts';
import { redactSource } from '../domain/sources/redactSource.ts';
import type { Window } from '../domain/sources/watermark.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, objectScopeOf, requireDefinition } from './run.ts';

/**
 * Reads the listed objects into batches, one after the other; no batch holds records of two. Batches and records are counted through the
 * run, bytes and lines in their object. A retry continues behind the last batch, in the version of the object that was listed.
 */
export async function fetchObjects(
  deps: Dependencies,
  run: RunFacts,
  format: FormatManifest,
  window: Extract<Window, { kind: 'objects' }>,
): Promise<void> {
  const { limits, source } = requireDefinition(deps).manifest;
  const signal = Context.current().cancellationSignal;
  const bytes = await deps.objects.get(objectScopeOf(run), window.list);
  const objects: ListedObject[] = JSON.parse(Buffer.from(bytes).toString());
  const begun = await lastRead(deps, run);
  let next = begun ? nextOf(begun.last) : { seq: 0, firstRecord: 0 };
  const first = begun ? objects.findIndex(({ url }) => url === begun.last.source) : 0;
  let holdsData = begun !== undefined;
  for (const object of objects.slice(first)) {
    const after = begun?.last.source === object.url ? begun : undefined;
    const base = after ? after.first : next;
    // Without a version on record the object is read from its start, and compared with what was read.
    const resumed = after?.last.sourceVersion === undefined ? undefined : after.last;
    const opened = await deps.sources.open(run.source, {
      object,
      signal,
      ...(resumed && { fromByte: resumed.firstByte + resumed.sizeBytes }),
    });
    const compression = opened.encoding ?? compressionOf(source, { path: object.url });
    const last = resumed && shifted(resumed, { seq: -base.seq, firstRecord: -base.firstRecord });
    const input = { format, limits, compression, after: last };
    const reception = deps.receiver.receive(objectScopeOf(run), input, opened.stream);
    const of = { source: object.url, ...(reception.resumable && { sourceVersion: object.version }) };
    for await (const one of reception) {
      const batch = { ...shifted(one, base), ...of };
      // Reading may take hours, in which the right may be revoked.
      await deps.recheck();
      await deps.batches.append(run, batch);
      next = nextOf(batch);
      signal.throwIfAborted();
    }
    holdsData ||= reception.holdsData;
  }
  if (!holdsData && source.cursor === undefined) throw new WaybillError('SourceEmpty');
  await deps.batches.seal(
    run,
    0,
    audited(deps, 'source.read', { source: redactSource(run.source), window: { ...window } }),
  );
}

/** The last batch, and the first one of its object. */
async function lastRead(
  deps: Dependencies,
  run: RunFacts,
): Promise<{ first: Batch; last: Batch } | undefined> {
  // A first attempt after a reset compares each batch with the one on record.
  if (Context.current().info.attempt === 1) return undefined;
  const last = await deps.batches.findLast(run);
  const first = last?.source === undefined ? undefined : await deps.batches.findFirstOf(run, last.source);
  return last && first && { first, last };
}

export type BatchPlace = Pick<Batch, 'seq' | 'firstRecord'>;

export function nextOf({ seq, firstRecord, records }: Batch): BatchPlace {
  return { seq: seq + 1, firstRecord: firstRecord + records };
}

export function shifted<T extends BatchPlace>(batch: T, by: BatchPlace): T {
  return { ...batch, seq: batch.seq + by.seq, firstRecord: batch.firstRecord + by.firstRecord };
}
