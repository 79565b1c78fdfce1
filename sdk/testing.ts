import type { z } from 'zod';
import { ndjson } from '../connectors/formats/ndjson/index.ts';
import { connectors } from '../connectors/index.ts';
import { WaybillError } from '../domain/errors.ts';
import type { OutputRow } from '../domain/pipelines/applyTransform.ts';
import { Costs, callOnce, inParts } from '../domain/pipelines/lookups.ts';
import { outputsOf } from '../domain/pipelines/outputs.ts';
import type { AnyPipeline, OutputSchemas, Pipeline } from '../domain/pipelines/pipeline.ts';
import { upgradeRecord } from '../domain/pipelines/upgrade.ts';
import type { Rejection } from '../domain/runs/rejection.ts';
import type { Counts } from '../domain/runs/run.ts';
import { createMemoryObjects } from '../engine/memoryObjectStore.ts';
import { type PreparedDefinition, prepareDefinition } from '../engine/records/definition.ts';
import { beginRows } from '../engine/records/outputEncoder.ts';
import { type InputOptions, processInput } from '../engine/records/processInput.ts';

/**
 * Runs a pipeline without Temporal, database or identity: the same code reads, validates and transforms as in a run,
 * and rows of one key are told apart as the sink tells them, on a table that is empty at first.
 * @param input the records as a caller would send them, or text or bytes in the format of the source
 * @param options.parameters as a caller would send them, default none
 * @param options.version of the definition to which the records belong; its `upgrade` brings them to the current one, as in a redrive
 * @param options.fetch stands in for the systems that `enrich` calls; without it, real ones are called
 * @param options.secrets what `secrets` gives to `enrich`, by name
 *
 * Throws `ParametersInvalid`, `HeaderInvalid` (CSV) and `TransformFailed` as a run would end with them.
 */
export async function testPipeline<
  I extends z.ZodObject,
  O extends z.ZodObject,
  P extends z.ZodObject,
  R extends OutputSchemas | undefined = undefined,
>(
  pipeline: Pipeline<I, O, P, R>,
  input: readonly unknown[] | string | Uint8Array | { bytes: Uint8Array | string },
  options: {
    parameters?: Record<string, unknown>;
    version?: number;
    fetch?: typeof fetch;
    secrets?: Record<string, string>;
  } = {},
): Promise<TestedRun<z.output<O>, R>> {
  const definition = prepareDefinition(pipeline as unknown as AnyPipeline);
  const data = dataOf(input);
  const bytes = Buffer.from(
    data ??
      upgraded(pipeline, input as unknown[], options.version)
        .map(
          (r) => `${JSON.stringify(r)}
`,
        )
        .join(''),
  );
  const outcome = await process(
    data !== undefined ? definition : { ...definition, format: connectors.format(ndjson()) },
    bytes,
    options.parameters,
    lookUpWith(pipeline, options),
  );
  const { outputs, filtered, rejected, counts, unknownFields } = outcome;
  const stored = outputs.map(({ name, rows, replaced }) => {
    const own = rows.filter((_, ordinal) => !replaced.has(ordinal));
    return { name, rows: own, deduplicated: replaced.size };
  });
  const byName = Object.fromEntries(stored.map(({ name, rows }) => [name, rows]));
  return {
    stored: (pipeline.outputs ? byName : stored[0]!.rows) as TestedRun<z.output<O>, R>['stored'],
    rejected: rejected.sort((a, b) => a.position - b.position),
    filtered,
    counts: {
      ...counts,
      stored: stored.reduce((sum, { rows }) => sum + rows.length, 0),
      deduplicated: stored.reduce((sum, { deduplicated }) => sum + deduplicated, 0),
    },
    unknownFields,
  };
}

function upgraded(
  { upgrade, manifest }: Pick<Pipeline, 'upgrade' | 'manifest'>,
  records: readonly unknown[],
  version = manifest.version,
): readonly unknown[] {
  if (!upgrade) return records;
  return records.map((record) => upgradeRecord(upgrade, record as object, version, manifest.version));
}

type WithExtra<Row> = Row & { _extra?: Readonly<Record<string, unknown>> };

export interface TestedRun<Row, R extends OutputSchemas | undefined = undefined> {
  /** What the table would hold, in the order of the source. Of several outputs: what the table of each would hold, by its name. */
  stored: R extends OutputSchemas ? { [N in keyof R]: WithExtra<z.output<R[N]>>[] } : WithExtra<Row>[];
  rejected: Rejection[];
  /** What `skip` left out: the ordinal of the record, from 0, and the code. */
  filtered: { position: number; code: string }[];
  counts: Counts;
  /** How many fields that the input does not name were kept in `_extra`, or dropped. */
  unknownFields: number;
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

/** Asks as a run does, one call after the other, without limits. */
function lookUpWith(
  { enrich, manifest }: Pick<Pipeline, 'enrich' | 'manifest'>,
  {
    fetch = globalThis.fetch,
    secrets = {},
  }: { fetch?: typeof globalThis.fetch; secrets?: Record<string, string> },
): InputOptions['lookUp'] {
  return async (keys) => {
    const { batchSize, timeoutMs, onMiss, credentials = [] } = manifest.enrich!;
    const found = new Map<string, unknown>();
    const costs = new Costs();
    for (const part of inParts([...keys], batchSize)) {
      const values = await callOnce(
        enrich!,
        part.map(([, record]) => record),
        {
          fetch,
          signal: AbortSignal.timeout(timeoutMs),
          count: (unit, amount) => costs.add(unit, amount),
          async secrets(name) {
            if (credentials.includes(name) && secrets[name] !== undefined) return secrets[name];
            throw new TypeError(
              `No secret “${name}”: name it in \`credentials\` and give it to testPipeline.`,
            );
          },
        },
      );
      for (const [i, [key]] of part.entries()) found.set(key, values[i] ?? null);
    }
    if (onMiss === 'fail' && [...found.values()].includes(null)) throw new WaybillError('LookupIncomplete');
    return found;
  };
}

async function process(
  definition: PreparedDefinition,
  bytes: Buffer,
  parameters: unknown,
  lookUp: InputOptions['lookUp'],
) {
  const several = definition.pipeline.outputs !== undefined;
  const outputs = outputsOf(definition.sink).map(({ name, sink }) => ({
    name,
    rows: [] as Record<string, unknown>[],
    writer: beginRows(sink, bytes.length),
  }));
  const filtered: { position: number; code: string }[] = [];
  const observer = {
    onRows(position: number, some: readonly object[]) {
      const named = several
        ? (some as readonly OutputRow[])
        : (some as readonly Record<string, unknown>[]).map((row) => ({ output: '', row }));
      for (const { name, rows, writer } of outputs) {
        const own = named.filter(({ output }) => output === name).map(({ row }) => row);
        rows.push(...own);
        writer.add(position, own);
      }
    },
    onFiltered: (position: number, code: string) => filtered.push({ position, code }),
  };
  const rejected: Rejection[] = [];
  const { counts, unknownFields } = await processInput(definition, createMemoryObjects(), once(bytes), {
    parameters,
    observer,
    ...(lookUp && { lookUp }),
    onRejected: (some) => rejected.push(...some),
  });
  return {
    outputs: outputs.map(({ name, rows, writer }) => ({
      name,
      rows,
      replaced: new Set(writer.finish().replaced),
    })),
    filtered,
    rejected,
    counts,
    unknownFields,
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
