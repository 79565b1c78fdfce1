import type { z } from 'zod';
import { ndjson } from '../connectors/formats/ndjson/index.ts';
import { connectors } from '../connectors/index.ts';
import type { RowTexts } from '../domain/connectors/sinkKind.ts';
import { applyTransform } from '../domain/pipelines/applyTransform.ts';
import type { Pipeline } from '../domain/pipelines/pipeline.ts';
import type { Batch } from '../domain/runs/batch.ts';
import { type Rejection, rejections } from '../domain/runs/rejection.ts';
import { type Counts, zeroCounts } from '../domain/runs/run.ts';
import { createMemoryObjects } from '../engine/memoryObjectStore.ts';
import { type PreparedDefinition, prepareDefinition } from '../engine/records/definition.ts';
import { eachLine } from '../engine/records/eachLine.ts';
import { createReceiver } from '../engine/records/receiver.ts';
import { transformBatch } from '../engine/records/transformBatch.ts';
import { validateBatch } from '../engine/records/validateBatch.ts';

/**
 * Runs a pipeline without Temporal, database or identity: the same code reads, validates and transforms as in a run,
 * and rows of one key are told apart as the sink tells them, on a table that is empty at first.
 * @param input the records as a caller would send them, or text or bytes in the format of the source
 * @param options.parameters as a caller would send them, default none
 *
 * Throws `ParametersInvalid`, `HeaderInvalid` (CSV) and `TransformFailed` as a run would end with them.
 */
export async function testPipeline<I extends z.ZodObject, O extends z.ZodObject, P extends z.ZodObject>(
  pipeline: Pipeline<I, O, P>,
  input: readonly unknown[] | string | Uint8Array | { bytes: Uint8Array | string },
  options: { parameters?: Record<string, unknown> } = {},
): Promise<TestedRun<z.output<O>>> {
  const definition = prepareDefinition(pipeline);
  const data = dataOf(input);
  const bytes = Buffer.from(
    data ??
      (input as unknown[])
        .map(
          (r) => `${JSON.stringify(r)}
`,
        )
        .join(''),
  );
  const validated = await validate(
    data !== undefined ? definition : { ...definition, format: connectors.format(ndjson()) },
    bytes,
  );
  const transformed = transformBatch(definition, options.parameters, validated.lines);
  const { rows, filtered } = outcomes(
    pipeline,
    definition,
    options.parameters ?? {},
    validated.lines,
    transformed.rejections,
  );
  const kept = keptOf(definition, Buffer.from(transformed.bytes));
  return {
    stored: kept.map((ordinal) => rows[ordinal]!) as z.output<O>[],
    rejected: [...validated.rejected, ...transformed.rejections].sort((a, b) => a.position - b.position),
    filtered,
    counts: {
      ...zeroCounts,
      ...transformed.counts,
      read: validated.read,
      rejected: validated.rejected.length + transformed.rejections.length,
      stored: kept.length,
      deduplicated: rows.length - kept.length,
    },
  };
}

export interface TestedRun<Row> {
  /** What the table would hold, in the order of the source. */
  stored: Row[];
  rejected: Rejection[];
  /** What `skip` left out: the ordinal of the record, from 0, and the code. */
  filtered: { position: number; code: string }[];
  counts: Counts;
}

/** `undefined` for records. Throws `TypeError` for anything else. */
function dataOf(input: unknown): string | Uint8Array | undefined {
  if (typeof input === 'string' || input instanceof Uint8Array) return input;
  if (Array.isArray(input)) return undefined;
  const { bytes } = (input ?? {}) as { bytes?: unknown };
  if (typeof bytes === 'string' || bytes instanceof Uint8Array) return bytes;
  throw new TypeError(
    'testPipeline takes an array of records, or text or bytes in the format of the source.',
  );
}

async function validate(definition: PreparedDefinition, bytes: Buffer) {
  const scope = { tenant: 'test', runId: 'test' };
  const objects = createMemoryObjects();
  const lines: Uint8Array[] = [];
  const rejected: Rejection[] = [];
  let read = 0;
  const { limits } = definition.pipeline.manifest;
  for await (const batch of createReceiver(objects).receive(
    scope,
    definition.format.manifest,
    limits,
    once(bytes),
  )) {
    read += batch.records;
    if (batch.refused) rejected.push(refusalOf(batch, batch.refused));
    else {
      const result = await validateBatch(
        definition,
        batch,
        Buffer.from(await objects.get(scope, batch.digest)),
      );
      lines.push(result.bytes);
      rejected.push(...result.rejections);
    }
  }
  return { lines: Buffer.concat(lines), rejected, read };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function refusalOf(batch: Batch, code: NonNullable<Batch['refused']>): Rejection {
  const place = { position: batch.firstRecord, line: batch.firstLine, byteOffset: batch.firstByte };
  return { ...place, byteLength: batch.sizeBytes, code, path: '', message: rejections[code] };
}

/** The values of the rows and the codes of `skip`, neither of which travels on in a run: transforms are pure. */
function outcomes(
  pipeline: Pipeline,
  { codec }: PreparedDefinition,
  sent: unknown,
  lines: Buffer,
  refused: readonly Rejection[],
) {
  const parameters = pipeline.parameters.parse(sent);
  const refusedAt = new Set(refused.map((r) => r.position));
  const rows: unknown[] = [];
  const filtered: { position: number; code: string }[] = [];
  eachLine(lines, ([position, , , , value]) => {
    if (refusedAt.has(position)) return;
    const outcome = applyTransform(pipeline, codec.restore(value), parameters);
    if (outcome.kind === 'rows') rows.push(...outcome.rows);
    else if (outcome.kind === 'filtered') filtered.push({ position, code: outcome.code });
  });
  return { rows, filtered };
}

/** Ordinals of the rows that the sink would keep. */
function keptOf({ encoder: { keyOf } }: PreparedDefinition, lines: Buffer): number[] {
  const kept = new Map<string | number, number>();
  let ordinal = 0;
  eachLine(lines, ([, , , , texts]) => {
    kept.set(keyOf ? keyOf(texts as RowTexts) : ordinal, ordinal);
    ordinal++;
  });
  return [...kept.values()].sort((a, b) => a - b);
}
