import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import type { FieldCursor, SourceManifest } from '../domain/pipelines/manifest.ts';
import type { OpenOptions } from '../domain/ports/sources.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Mark, Window } from '../domain/sources/watermark.ts';
import type { Dependencies } from './dependencies.ts';
import { digestOf, objectScopeOf, requireDefinition } from './run.ts';

/**
 * The window that the run reads of an incremental source. The first attempt reads the watermark once, so that every
 * repetition (a retry, a reset, another worker) reads the same. `undefined` where each run reads everything.
 */
export async function windowOf(deps: Dependencies, run: RunFacts): Promise<Window | undefined> {
  const { source } = requireDefinition(deps).manifest;
  const { cursor } = source;
  const isListed = deps.sources.isListed(run.source);
  if (!cursor && !isListed) return undefined;
  const standing = await deps.watermarks.findWindow(run);
  if (standing) return standing;
  if (isListed) return listObjects(deps, run);
  if (typeof cursor !== 'object' && cursor !== 'bytes') return undefined;
  const key = digestOf(keyOf(run, cursor));
  const mark = await deps.watermarks.find(run, key);
  const begins = cursor === 'bytes' ? await bytesSince(deps, run, mark) : valuesSince(cursor, mark);
  return deps.watermarks.openWindow(run, key, begins);
}

/** What a source with a cursor by field is asked for. */
export function sinceOf(
  cursor: SourceManifest['cursor'],
  window: Window | undefined,
): Pick<OpenOptions, 'since'> {
  if (typeof cursor !== 'object' || window?.kind !== 'field' || window.since === null) return {};
  return { since: { parameter: cursor.parameter, value: window.since } };
}

/**
 * Each URL or path, each field and each version of the definition has a watermark of its own. A new version reads all
 * rows again, because they mean something else.
 */
function keyOf({ source, version }: RunFacts, cursor: FieldCursor | 'bytes'): string {
  const by = cursor === 'bytes' ? cursor : { field: cursor.field, order: cursor.order };
  return canonicalJson({ source, version, cursor: by });
}

/**
 * Lists what the run reads, and fixes it for all its attempts: the list may be long, so it lies in the object store. Also without a
 * cursor: an object that changes before it is read must not be taken for the one that was listed.
 */
async function listObjects(deps: Dependencies, run: RunFacts): Promise<Window> {
  // Other keys to sign with read the same objects.
  const { credentials: _, ...place } = run.source;
  const key = digestOf(canonicalJson({ source: place, version: run.version }));
  const mark = run.source.order && (await deps.watermarks.find(run, key));
  const { objects, through } = await deps.sources.list(
    run.source,
    mark?.kind === 'objects' ? mark : undefined,
    Context.current().cancellationSignal,
  );
  const list = await deps.objects.put(objectScopeOf(run), Buffer.from(JSON.stringify(objects)));
  return deps.watermarks.openWindow(run, key, {
    kind: 'objects',
    list,
    objects: objects.length,
    ...(through && { through }),
  });
}

function valuesSince({ order, initial }: FieldCursor, mark: Mark | undefined): Window {
  const since = mark?.kind === 'field' ? mark.value : (initial ?? null);
  return { kind: 'field', order, since };
}

/** Throws `SourceChanged` where the file is not the one that was read before. */
async function bytesSince(deps: Dependencies, run: RunFacts, mark: Mark | undefined): Promise<Window> {
  if (mark?.kind !== 'bytes') {
    const { sizeBytes, head } = await deps.sources.extent(run.source, []);
    return { kind: 'bytes', fromByte: 0, firstLine: 1, untilByte: sizeBytes, head };
  }
  const { header, head, tail } = mark;
  const { sizeBytes, lines } = await deps.sources.extent(run.source, [head, tail]);
  return {
    kind: 'bytes',
    fromByte: tail.firstByte + tail.sizeBytes,
    firstLine: tail.firstLine + lines[1]!,
    ...(header && { header }),
    untilByte: sizeBytes,
    head,
  };
}
