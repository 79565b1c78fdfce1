import { z } from 'zod';
import type { ApprovalCode } from '../approvals/approvalTerms.ts';
import { describeApproval, WrittenApproval } from '../approvals/describeApproval.ts';
import type { Connectors } from '../connectors/connectors.ts';
import { parseDuration } from '../duration.ts';
import { describeQuality, WrittenQuality } from '../quality/describeQuality.ts';
import type { QualityCode } from '../quality/quality.ts';
import { runPriorities } from '../runs/runPriority.ts';
import { describeSchedules } from '../schedules/declaredSchedule.ts';
import { compressionOf } from '../sources/compression.ts';
import { DefinitionError, describedIn } from './definitionError.ts';
import { describeOutputs, joinedOutput, type WrittenOutput } from './describeOutputs.ts';
import { describeEnrich, type EnrichCode, WrittenEnrich } from './enrich.ts';
import { type Column, defaultLimits, type Limits, type Manifest, type SourceManifest } from './manifest.ts';
import { type Retention, WrittenRetention } from './retention.ts';
import { columnsOf } from './sqlTypes.ts';
import { checkStrict } from './strictSchema.ts';
import { extraColumn, unknownFieldsChoices } from './unknownFields.ts';
import { isUpgrade, type Upgrade } from './upgrade.ts';

/**
 * Checks a definition as it was written and splits it into its manifest, which is data, and its schemas and code,
 * which are not. Throws `DefinitionError` with every issue of the plain fields, else the first of the schemas.
 */
export function describePipeline(definition: unknown, connectors: Connectors): Described {
  const written = writtenWith(connectors).safeParse(definition);
  if (!written.success)
    throw new DefinitionError(`pipeline ${nameOf(definition)}`, written.error.issues.map(toIssue));
  const { id, version, labels, limits, deadline, retention, approval, transform, rowSource, priority } =
    written.data;
  const unknownFields = written.data.unknownFields === 'reject' ? undefined : written.data.unknownFields;
  const source = written.data.source as SourceManifest;
  const parameters = written.data.parameters ?? z.strictObject({});
  const input = written.data.input;
  const declared = written.data.outputs as Record<string, WrittenOutput> | undefined;
  const sink = (written.data.sink ?? Object.values(declared!)[0]!.sink) as { kind: string };
  const output = declared ? joinedOutput(declared) : (written.data.output ?? input);
  return describedIn(`pipeline ${id}`, () => {
    checkStrict('parameters', parameters);
    checkStrict('input', input);
    for (const [name, { row }] of Object.entries(declared ?? {})) checkStrict(`outputs.${name}`, row);
    if (output !== input && !declared) checkStrict('output', output);
    const deadlineMs = parseDuration(deadline)!;
    const gate = approval && describeApproval(approval, deadlineMs);
    const enrich = written.data.enrich && describeEnrich(written.data.enrich, transform !== undefined);
    const { writer } = connectors.sink(sink.kind);
    if (gate?.terms.before === 'publish' && writer && !writer.staged) {
      const message = `cannot be “publish”: a sink ${sink.kind} does not publish all rows at once`;
      throw new DefinitionError('approval', [{ path: 'before', message }]);
    }
    if (rowSource && connectors.source(source.kind).delivery !== 'pulled') {
      const message = `names nothing with a source ${source.kind}, since the caller sends the data. Leave it out`;
      throw new DefinitionError('', [{ path: 'rowSource', message }]);
    }
    const read = describeSource(source, { input, unknownFields }, connectors);
    const columnsIn = (schema: z.ZodType) => [
      ...columnsOf(schema),
      ...(rowSource ? [sourceColumn] : []),
      ...(unknownFields === 'keep' ? [keptColumn] : []),
    ];
    if (declared && written.data.quality) {
      const message = 'cannot be used with several outputs. Leave it out, or use one output';
      throw new DefinitionError('', [{ path: 'quality', message }]);
    }
    const described = declared
      ? describeOutputs(declared, columnsIn, connectors)
      : connectors.sink(sink.kind).describe(sink, columnsIn(output));
    const quality =
      written.data.quality &&
      describeQuality(written.data.quality, { columns: columnsIn(output), gate: gate?.terms.before });
    // Nothing of a run is visible before it is known whether its rules are breached.
    const failsAtEnd = quality?.terms.onBreach === 'fail' && described.atEnd === undefined;
    if (failsAtEnd && writer && !writer.staged) {
      const message = `cannot be “fail”: a sink ${sink.kind} does not publish all rows at once`;
      throw new DefinitionError('quality', [{ path: 'onBreach', message }]);
    }
    const writes = failsAtEnd ? { ...described, atEnd: 'append' as const } : described;
    if (writes.atEnd === 'replace' && read.cursor !== undefined) {
      const message = 'cannot be “replace” with a cursor: each run would keep only what is new';
      throw new DefinitionError('sink', [{ path: 'mode', message }]);
    }
    if (gate?.terms.before === 'publish' && writes.shards) {
      const message = 'cannot be “publish” with shards, which no transaction spans. Use “ingest”';
      throw new DefinitionError('approval', [{ path: 'before', message }]);
    }
    const { schedule } = written.data;
    const { delivery, ...kind } = connectors.source(source.kind);
    const reference = delivery === 'pulled' && 'reference' in kind ? kind.reference : undefined;
    const schedules =
      schedule === undefined
        ? undefined
        : describeSchedules(schedule, { id, source: read, reference, parameters });
    const manifest: Manifest = {
      id,
      version,
      labels,
      source: read,
      sink: writes,
      limits: { ...defaultLimits, ...(dropUndefined(limits) as Partial<Limits>) },
      ...(unknownFields && { unknownFields }),
      ...(rowSource && { rowSource: true }),
      ...(written.data.allowAllRejected && { allowAllRejected: true }),
      ...(enrich && { enrich: enrich.terms }),
      ...(gate && { approval: gate.terms }),
      ...(quality && { quality: quality.terms }),
      ...(schedules && { schedules }),
      ...(priority && priority !== 'normal' && { priority }),
      ...(retention && { retention: dropUndefined(retention) as Partial<Retention> }),
      deadlineMs,
    };
    const rows = declared && Object.entries(declared).map(([name, { row }]) => [name, row] as const);
    const schemas = { parameters, input, output, outputs: rows && Object.fromEntries(rows) };
    const { upgrade } = written.data;
    return {
      manifest: deepFreeze(manifest),
      ...schemas,
      enrich: enrich?.code,
      transform,
      upgrade,
      approval: gate?.code ?? {},
      quality: quality?.code ?? {},
    };
  });
}

const sourceColumn: Column = { name: '_source', type: 'text', nullable: true };
const keptColumn: Column = { name: extraColumn, type: 'jsonb', nullable: true };

export interface Described {
  manifest: Manifest;
  parameters: z.ZodType;
  input: z.ZodType;
  output: z.ZodType;
  enrich: EnrichCode | undefined;
  outputs: Record<string, z.ZodType> | undefined;
  transform: ((record: never, context: never) => unknown) | undefined;
  upgrade: Upgrade | undefined;
  approval: ApprovalCode;
  quality: QualityCode;
}

const schema = z.custom<z.ZodType>(
  (value) => typeof value === 'object' && value !== null && '_zod' in value,
  'must be a zod 4 schema',
);

const dayMs = 24 * 60 * 60 * 1000;

function isAlmost(name: string, wanted: string): boolean {
  return name !== wanted && name.toLowerCase().replaceAll(/[_.-]/g, '') === wanted;
}

const fields = {
  id: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be a letter and up to 62 of a-z, 0-9 and -'),
  version: z
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .default(1),
  labels: z
    .record(
      z
        .string()
        .regex(
          /^[a-z][A-Za-z0-9_.-]{0,62}$/,
          'must be a lower-case letter and up to 62 of A-Z, a-z, 0-9, _ . -',
        ),
      z.string().max(256),
    )
    .refine((labels) => Object.keys(labels).length <= 32, 'holds more than 32 labels')
    // Policies compare this one with `==`, so that “Confidential” would be as open as any other value.
    .refine((labels) => /^[a-z][a-z0-9-]*$/.test(labels.classification ?? 'none'), {
      path: ['classification'],
      message: 'must be of a-z, 0-9 and -, such as “confidential”; policies tell “Confidential” from it',
    })
    .refine((labels) => Object.keys(labels).every((name) => !isAlmost(name, 'classification')), {
      message: 'has a label that only almost is “classification”',
    })
    .default({}),
  parameters: schema.optional(),
  input: schema,
  output: schema.optional(),
  transform: z
    .custom<(record: never, context: never) => unknown>(
      (value) => typeof value === 'function',
      'must be a function',
    )
    .optional(),
  upgrade: z
    .custom<Upgrade>(
      isUpgrade,
      'must be functions by the version that they read, such as { 1: (record) => … }',
    )
    .optional(),
  limits: z
    .strictObject({
      concurrency: z.int().min(1).max(64).optional(),
      batchBytes: z
        .int()
        .min(1024)
        .max(64 * 1024 * 1024)
        .optional(),
      batchRecords: z.int().min(1).max(1_000_000).optional(),
      recordBytes: z
        .int()
        .min(64)
        .max(64 * 1024 * 1024)
        .optional(),
      decompressedBytes: z
        .int()
        .min(1024 * 1024)
        .max(1024 ** 4)
        .optional(),
    })
    .default({}),
  allowAllRejected: z.boolean().optional(),
  unknownFields: z
    .enum(unknownFieldsChoices, 'can only be “reject”, “keep” or “drop”; without it they are rejected')
    .optional(),
  rowSource: z.boolean().optional(),
  deadline: z
    .string()
    .refine((text) => {
      const durationMs = parseDuration(text);
      return durationMs !== undefined && durationMs >= 1000 && durationMs <= 366 * dayMs;
    }, 'must be a duration such as 90m, 12h or 7d, of 1s to 366d')
    .default('7d'),
  priority: z.enum(runPriorities).optional(),
  retention: WrittenRetention.optional(),
  schedule: z.unknown().optional(),
  approval: WrittenApproval.optional(),
  enrich: WrittenEnrich.optional(),
  quality: WrittenQuality.optional(),
};

const written = new WeakMap<Connectors, ReturnType<typeof writtenOf>>();

function writtenWith(connectors: Connectors): ReturnType<typeof writtenOf> {
  const known = written.get(connectors) ?? writtenOf(connectors);
  written.set(connectors, known);
  return known;
}

/** Sources, formats and sinks are those of the list, each with the options of its kind. */
function writtenOf({ sources, formats, sinks }: Connectors) {
  const format = oneOf(
    'name',
    formats.map(({ name, options }) => z.strictObject({ name: z.literal(name), ...options.shape })),
  );
  const source = oneOf(
    'kind',
    sources.map((one) =>
      z.strictObject({
        kind: z.literal(one.kind),
        ...(one.format === 'chosen' && { format }),
        ...one.options.shape,
      }),
    ),
  );
  const sink = oneOf(
    'kind',
    sinks.map(({ kind, options }) => z.strictObject({ kind: z.literal(kind), ...options.shape })),
  );
  return z
    .strictObject({ ...fields, source, sink: sink.optional(), outputs: outputsOf(sink).optional() })
    .refine((d) => (d.sink === undefined) !== (d.outputs === undefined), {
      path: ['sink'],
      error: 'must say where rows go, or outputs must, and not both',
    })
    .refine(({ version, upgrade = {} }) => Object.keys(upgrade).every((from) => Number(from) < version), {
      path: ['upgrade'],
      error: 'names a version that is not older than this one',
    })
    .refine((d) => d.outputs === undefined || (d.transform !== undefined && d.output === undefined), {
      path: ['outputs'],
      error: 'need a transform, which returns the rows of each, and no output beside them',
    })
    .refine((d) => d.outputs !== undefined || (d.transform === undefined) === (d.output === undefined), {
      path: ['output'],
      error:
        'output and transform go together: with a transform say what its rows are, without one leave output out',
    });
}

const outputName = /^[a-z][A-Za-z0-9_]{0,62}$/;

function outputsOf(sink: z.ZodType) {
  return z
    .record(
      z.string().regex(outputName, 'must be a letter and up to 62 of A-Z, a-z, 0-9 and _'),
      z.strictObject({ row: schema, sink }),
    )
    .refine((outputs) => Object.keys(outputs).length >= 2, 'must be two or more; one is output and sink')
    .refine((outputs) => Object.keys(outputs).length <= 16, 'are more than 16');
}

function oneOf(name: string, options: readonly z.ZodObject[]): z.ZodType {
  return z.discriminatedUnion(name, options as never);
}

/** Throws `DefinitionError`. */
function describeSource(
  source: SourceManifest,
  records: { input: z.ZodType; unknownFields: Manifest['unknownFields'] },
  connectors: Connectors,
): SourceManifest {
  const { input } = records;
  const described = connectors.source(source.kind).describe?.(source, input) ?? source;
  if (source.cursor === 'bytes' && compressionOf(source, source))
    throw new DefinitionError('source', [
      { path: 'cursor', message: 'cannot be “bytes”: a compressed file does not grow at its end' },
    ]);
  if (!described.format) return described;
  const format = connectors.format(described.format);
  if (source.cursor === 'bytes' && (!format.kind.growing || format.unpack)) {
    const message = format.kind.growing
      ? 'cannot be “bytes”: only the bytes of UTF-8 are those of the file'
      : `cannot be “bytes”: a file of ${format.kind.name} does not grow at its end`;
    throw new DefinitionError('source', [{ path: 'cursor', message }]);
  }
  return { ...described, format: format.kind.describe?.(described.format, records) ?? described.format };
}

function toIssue(issue: z.core.$ZodIssue): { path: string; message: string } {
  return { path: issue.path.join('.'), message: issue.message };
}

function nameOf(definition: unknown): string {
  const id =
    typeof definition === 'object' && definition !== null && 'id' in definition ? definition.id : undefined;
  return typeof id === 'string' ? JSON.stringify(id.slice(0, 80)) : 'without id';
}

function dropUndefined(record: object): object {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
