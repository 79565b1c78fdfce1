import type { SourceSettings } from '../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Inputs, Sources } from '../../domain/ports/sources.ts';
import { connectors } from '../index.ts';

/** Reads sources of every pulled kind. */
export function createSources(settings: SourceSettings): Sources {
  return {
    open: async (source, options = {}) => (await readerOf(source)).open(source, settings, options),
    async extent(source, known) {
      const { extent } = await readerOf(source);
      if (!extent) throw new Error(`A source ${source.kind} has no cursor “bytes”.`);
      return extent(source, settings, known);
    },
    isListed: ({ kind }) => connectors.pulled(kind).listed === true,
    async list(source, since, signal) {
      const { list } = await readerOf(source);
      if (!list) throw new Error(`A source ${source.kind} is one object.`);
      return list(source, settings, since, signal);
    },
  };
}

/** Says what a request may hand over to a pipeline, and rejects early what no worker would read. */
export function createInputs(settings: SourceSettings): Inputs {
  return {
    async accept(defined, { source: given, records, dataFollows }) {
      const kind = connectors.source(defined.kind);
      if (kind.delivery === 'sent') {
        if (given) throw invalid('/source', 'The data of this pipeline comes with the request.');
        if (!records && dataFollows && kind.resumable) return { kind: defined.kind, resumable: true };
        if (!records) throw new WaybillError('InputRequired');
        const format = connectors.format(formatOf(defined));
        if (!format.kind.takesRecords) {
          const { name, mediaType } = format.kind;
          throw invalid(
            '/records',
            `Records are JSON; this pipeline reads ${name}. Send it as the body, as ${mediaType}.`,
          );
        }
        return { kind: defined.kind };
      }
      if (records) throw invalid('/records', 'This pipeline reads its data itself.');
      const reference = kind.reference;
      const place = given ? (given as Record<string, string>)[reference] : defined[reference];
      if (place === undefined)
        throw invalid('/source', reference === 'url' ? 'Name a URL.' : `Name a ${reference}.`);
      const named = { kind: defined.kind, [reference]: place };
      const accepted = kind.accept?.(defined, named) ?? named;
      await (await kind.load()).check(accepted, settings);
      return accepted;
    },

    sentFormat: formatOf,

    format(defined, mediaType) {
      if (connectors.source(defined.kind).delivery === 'sent') {
        const manifest = formatOf(defined);
        const { kind } = connectors.format(manifest);
        if (mediaType === kind.mediaType || (mediaType === undefined && kind.takesRecords)) return manifest;
        throw new WaybillError('UnsupportedMediaType', {
          issues: [{ path: 'content-type', message: `This pipeline takes ${kind.mediaType}.` }],
        });
      }
      throw new WaybillError('UnsupportedMediaType', {
        issues: [
          { path: 'content-type', message: 'This pipeline reads its data itself. Send JSON, or no body.' },
        ],
      });
    },
  };
}

async function readerOf({ kind }: { kind: string }) {
  return connectors.pulled(kind).load();
}

function formatOf(defined: Parameters<Inputs['format']>[0]) {
  const { format } = connectors.source(defined.kind);
  return format === 'chosen' ? defined.format! : format;
}

function invalid(path: string, message: string): WaybillError {
  return new WaybillError('SourceInvalid', { issues: [{ path, message }] });
}
