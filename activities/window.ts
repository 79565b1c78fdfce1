import { canonicalJson } from '../domain/canonicalJson.ts';
import type { FieldCursor, SourceManifest } from '../domain/pipelines/manifest.ts';
import type { OpenOptions } from '../domain/ports/sources.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Mark, Window } from '../domain/sources/watermark.ts';
import type { Dependencies } from './dependencies.ts';
import { digestOf, requireDefinition } from './run.ts';

/**
 * The window that the run reads of an incremental source. The first attempt reads the watermark once, so that every
 * repetition (a retry, a reset, another worker) reads the same. `undefined` where each run reads everything.
 */
export async function windowOf(deps: Dependencies, run: RunFacts): Promise<Window | undefined> {
  const { source } = requireDefinition(deps).manifest;
  const { cursor } = source;
  if (!cursor) return undefined;
  const standing = await deps.watermarks.findWindow(run);
  if (standing) return standing;
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
  if (!cursor || cursor === 'bytes' || window?.kind !== 'field' || window.since === null) return {};
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
