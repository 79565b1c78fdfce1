/* What `waybill check` does: a file against the code of a pipeline, without API, database or Temporal. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileObjectStore } from '../adapters/objects/fileObjectStore.ts';
import { WaybillError } from '../domain/errors.ts';
import { similarTo } from '../domain/nearest.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Locates, Rejection } from '../domain/runs/rejection.ts';
import type { Counts } from '../domain/runs/run.ts';
import { compressionOf } from '../domain/sources/compression.ts';
import { loadModule } from '../engine/project/loadModule.ts';
import { loadProject } from '../engine/project/loadProject.ts';
import { prepareDefinition } from '../engine/records/definition.ts';
import { processInput } from '../engine/records/processInput.ts';

export interface CheckedFile {
  pipeline: string;
  /** Digest of the definition that was asked. */
  definition: string;
  /** What a run would count before it stores: the last three are 0. */
  counts: Counts;
  /** How many fields that the input does not name were kept or dropped. */
  unknownFields: number;
  rejectedByCode: Record<string, number>;
  /** What the locators of the examples count. */
  locates: Locates;
  /** The first of each code, in the order of the file. */
  examples: RejectedExample[];
}

/** `text`: the beginning of the record, where it is text. */
export type RejectedExample = Pick<
  Rejection,
  'position' | 'line' | 'rowGroup' | 'byteOffset' | 'code' | 'path' | 'message'
> & {
  text?: string;
};

const examplesMax = 5;
const textMax = 200;

/**
 * Validates and transforms a file of any size with the code of a run, at constant memory. Batches lie in a temporary folder for as
 * long as they are needed.
 * @param name what a compression is told by, where the definition does not name one
 *
 * Throws `InputEmpty` and what `processInput` throws.
 */
export async function checkFile(
  { modulePath, digest, manifest }: LoadedPipeline,
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  parameters: unknown,
): Promise<CheckedFile> {
  const definition = prepareDefinition((await loadModule(modulePath)).pipeline);
  const isText = definition.format.layout.access === 'stream' && !definition.format.unpack;
  const folder = await mkdtemp(join(tmpdir(), 'waybill-check-'));
  const rejectedByCode: Record<string, number> = {};
  const examples: RejectedExample[] = [];
  try {
    const { counts, unknownFields, holdsData } = await processInput(
      definition,
      await openFileObjectStore(folder),
      bytes,
      {
        compression: compressionOf(manifest.source, { path: name }),
        parameters,
        onRejected(rejected, batch, read) {
          for (const { position, line, rowGroup, byteOffset, byteLength, code, path, message } of rejected) {
            rejectedByCode[code] = (rejectedByCode[code] ?? 0) + 1;
            if (rejectedByCode[code] > examplesMax) continue;
            const start = byteOffset - batch.firstByte;
            const text = isText && read?.toString('utf8', start, start + Math.min(byteLength, textMax));
            examples.push({
              position,
              line,
              ...(rowGroup !== undefined && { rowGroup }),
              byteOffset,
              code,
              path,
              message,
              ...(text && { text: text.trimEnd() }),
            });
          }
        },
      },
    );
    if (!holdsData) throw new WaybillError('InputEmpty');
    examples.sort((a, b) => a.position - b.position);
    const { locates } = definition.format.kind;
    return {
      pipeline: manifest.id,
      definition: digest,
      counts,
      unknownFields,
      rejectedByCode,
      locates,
      examples,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The newest code of a pipeline of a project. Throws `DefinitionError` and `PipelineNotFound`. */
export async function openPipeline(folder: string, id: string): Promise<LoadedPipeline> {
  const definitions = await loadProject(folder);
  const found = definitions.find(id);
  if (found) return found;
  const ids = definitions.list().map(({ manifest }) => manifest.id);
  const similar = similarTo(id, ids);
  const instead = similar ? `Is it ${similar}?` : `It has ${ids.join(', ')}.`;
  throw new WaybillError('PipelineNotFound', { detail: `${folder} has no pipeline ${id}. ${instead}` });
}
