import { z } from 'zod';
import { canonicalJson } from '../canonicalJson.ts';
import type { Column, Manifest, SinkManifest, SourceManifest } from '../pipelines/manifest.ts';
import { outputsOf } from '../pipelines/outputs.ts';
import { defOf } from '../pipelines/schemaParts.ts';

/** What senders of a pipeline and readers of its rows rely on, as `contracts/<pipeline>.json` and the database keep it. */
export interface Contract {
  pipeline: string;
  version: number;
  /** JSON Schema (2020-12) of a record. */
  input: JsonSchema;
  /** JSON Schema of a row. */
  output: JsonSchema;
  columns: readonly Column[];
  /** What becomes of fields that the input does not name; without it they reject their record. */
  unknownFields?: Manifest['unknownFields'];
  /** Where the rows are. */
  sink: {
    kind: string;
    table: string;
    key?: unknown;
    mode?: unknown;
    renamed?: Readonly<Record<string, string>>;
  };
  /** The same for each output, where there are several; `columns` is empty then. */
  outputs?: Readonly<Record<string, Pick<Contract, 'output' | 'columns' | 'sink'>>>;
  /** By which the source tells what is new, where it does. */
  cursor?: SourceManifest['cursor'];
}

export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/** The contract of a pipeline as its code has it now. */
export function contractOf({
  manifest,
  input,
  output,
}: {
  manifest: Manifest;
  input: z.ZodType;
  output: z.ZodType;
}): Contract {
  const { id, version, source, sink, unknownFields } = manifest;
  const rows = jsonSchemaOf(output, 'output');
  return {
    pipeline: id,
    version,
    input: jsonSchemaOf(input, 'input'),
    output: rows,
    columns: sink.columns,
    ...(unknownFields && { unknownFields }),
    sink: describeSink(sink),
    ...(sink.outputs && {
      outputs: Object.fromEntries(
        outputsOf(sink).map((one) => [
          one.name,
          { output: rowsOf(rows, one.name), columns: one.sink.columns, sink: describeSink(one.sink) },
        ]),
      ),
    }),
    ...(source.cursor !== undefined && { cursor: source.cursor }),
  };
}

function describeSink({ kind, table, key, mode, renamed }: SinkManifest): Contract['sink'] {
  return {
    ...{ kind, table },
    ...(key !== undefined && { key }),
    ...(mode !== undefined && { mode }),
    ...(renamed !== undefined && { renamed: renamed as Record<string, string> }),
  };
}

/** Of an object with a list of rows for each output. */
function rowsOf(schema: JsonSchema, output: string): JsonSchema {
  return (schema.properties as Record<string, { items: JsonSchema }>)[output]!.items;
}

/**
 * What the owner of a schedule consents to of a pipeline, unless they bind its code: version, contract, source, sink and labels. A consent
 * holds the digest of this text.
 */
export function describeBinding(pipeline: Parameters<typeof contractOf>[0]): string {
  const { source, sink, labels } = pipeline.manifest;
  return canonicalJson({ contract: contractOf(pipeline), source, sink, labels });
}

/** The same code gives the same text, to be kept in git. */
export function contractText(contract: Contract): string {
  return `${JSON.stringify(contract, null, 2)}\n`;
}

/** Reads what `contractText` wrote. Throws `SyntaxError` and `z.ZodError`. */
export function parseContract(text: string): Contract {
  return WrittenContract.parse(JSON.parse(text)) as unknown as Contract;
}

const WrittenContract = z.looseObject({
  pipeline: z.string(),
  version: z.int().min(1),
  input: z.looseObject({}),
  output: z.looseObject({}),
  columns: z.array(z.looseObject({ name: z.string(), type: z.string(), nullable: z.boolean() })),
  sink: z.looseObject({ kind: z.string(), table: z.string() }),
});

/** JSON has no bigint and no date: they are told by what a sender writes, and by their type. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const { type } = defOf(zodSchema);
      if (type === 'bigint') jsonSchema.type = 'integer';
      else if (type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
      else if (type === 'custom' || type === 'transform') jsonSchema['x-zod'] = type;
    },
  }) as JsonSchema;
}
