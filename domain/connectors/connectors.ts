import type { FormatManifest } from '../pipelines/manifest.ts';
import type { Destinations } from '../ports/destinations.ts';
import type { Format, FormatKind } from './formatKind.ts';
import type { SinkKind, SinkSettings } from './sinkKind.ts';
import type { PulledSourceKind, SourceKind } from './sourceKind.ts';

/** Every kind of source, format and sink that this Waybill has. `connectors/index.ts` is the one list. */
export interface Connectors {
  readonly sources: readonly SourceKind[];
  readonly formats: readonly FormatKind[];
  readonly sinks: readonly SinkKind[];
  /** These throw `Error` for a kind that is not in the list, which no definition that was loaded can name. */
  source(kind: string): SourceKind;
  pulled(kind: string): PulledSourceKind;
  format(manifest: FormatManifest): Format;
  sink(kind: string): SinkKind;
}

export function connectorsOf(kinds: Pick<Connectors, 'sources' | 'formats' | 'sinks'>): Connectors {
  const sources = new Map(kinds.sources.map((one) => [one.kind as string, one]));
  const formats = new Map(kinds.formats.map((one) => [one.name, one]));
  const sinks = new Map(kinds.sinks.map((one) => [one.kind, one]));
  return Object.freeze({
    ...kinds,
    source: (kind: string) => found(sources.get(kind), `source ${kind}`),
    pulled(kind: string) {
      const one = found(sources.get(kind), `source ${kind}`);
      if (one.delivery === 'pulled') return one;
      throw new Error(`The data of a source ${kind} is sent by callers.`);
    },
    format: (manifest: FormatManifest) =>
      found(formats.get(manifest.name), `format ${manifest.name}`).create(manifest),
    sink: (kind: string) => found(sinks.get(kind), `sink ${kind}`),
  });
}

/** Writes to sinks of every kind that is not in the database. */
export function destinationsOf(connectors: Connectors, settings: SinkSettings): Destinations {
  const writerOf = (kind: string) => found(connectors.sink(kind).load, `writer of ${kind}`)();
  return {
    has: (kind) => connectors.sink(kind).load !== undefined,
    write: async (run, file, signal) => (await writerOf(run.sink.kind)).write(run, file, settings, signal),
    complete: async (run, files) => (await writerOf(run.sink.kind)).complete(run, files, settings),
  };
}

function found<T>(one: T | undefined, what: string): T {
  if (one) return one;
  throw new Error(`There is no ${what}. Add it to connectors/index.ts.`);
}
