import { z } from 'zod';
import type { ApprovalCode } from '../approvals/approvalTerms.ts';
import { describeApproval, WrittenApproval } from '../approvals/describeApproval.ts';
import { parseDuration } from '../duration.ts';
import { describeSchedules } from '../schedules/declaredSchedule.ts';
import { withCursor } from '../sources/sourceCursor.ts';
import { DefinitionError } from './definitionError.ts';
import { defaultLimits, type Limits, type Manifest, type SinkManifest } from './manifest.ts';
import { columnsOf } from './sqlTypes.ts';
import { checkStrict } from './strictSchema.ts';

/**
 * Checks a definition as it was written and splits it into its manifest, which is data, and its schemas and code,
 * which are not. Throws `DefinitionError` with every issue of the plain fields, else the first of the schemas.
 */
export function describePipeline(definition: unknown): Described {
  const written = Written.safeParse(definition);
  if (!written.success)
    throw new DefinitionError(`pipeline ${nameOf(definition)}`, written.error.issues.map(toIssue));
  const { id, version, labels, source, sink, limits, deadline, approval, transform } = written.data;
  const parameters = written.data.parameters ?? z.strictObject({});
  const input = written.data.input;
  const output = written.data.output ?? input;
  return inPipeline(id, () => {
    checkStrict('parameters', parameters);
    checkStrict('input', input);
    if (output !== input) checkStrict('output', output);
    const deadlineMs = parseDuration(deadline)!;
    const gate = approval && describeApproval(approval, deadlineMs);
    const read = withCursor(source, input);
    const { schedule } = written.data;
    const schedules =
      schedule === undefined ? undefined : describeSchedules(schedule, { id, source: read, parameters });
    const manifest: Manifest = {
      id,
      version,
      labels,
      source: read,
      sink: describeSink(sink, columnsOf(output)),
      limits: { ...defaultLimits, ...(dropUndefined(limits) as Partial<Limits>) },
      ...(gate && { approval: gate.terms }),
      ...(schedules && { schedules }),
      deadlineMs,
    };
    const schemas = { parameters, input, output };
    return { manifest: deepFreeze(manifest), ...schemas, transform, approval: gate?.code ?? {} };
  });
}

export interface Described {
  manifest: Manifest;
  parameters: z.ZodType;
  input: z.ZodType;
  output: z.ZodType;
  transform: ((record: never, context: never) => unknown) | undefined;
  approval: ApprovalCode;
}

const schema = z.custom<z.ZodType>(
  (value) => typeof value === 'object' && value !== null && '_zod' in value,
  'must be a zod 4 schema',
);

const format = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('ndjson') }),
  z.strictObject({
    name: z.literal('csv'),
    delimiter: z
      .string()
      .regex(/^[\t\x20-\x7e]$/, 'must be one ASCII character')
      .regex(/^[^"]$/, 'cannot be a quote'),
    emptyAs: z.enum(['string', 'null']),
  }),
]);

const dayMs = 24 * 60 * 60 * 1000;
const later = (what: string) =>
  z.undefined(`${what} come with a later version of Waybill. Leave it out for now`).optional();

function isAlmost(name: string, wanted: string): boolean {
  return name !== wanted && name.toLowerCase().replaceAll(/[_.-]/g, '') === wanted;
}

const Written = z
  .strictObject({
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
    source: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('upload'), format }),
      z.strictObject({ kind: z.literal('inline') }),
      z.strictObject({
        kind: z.literal('file'),
        format,
        path: z.string().min(1).max(4096).optional(),
        cursor: z.literal('bytes', 'can only be “bytes”').optional(),
      }),
      z.strictObject({
        kind: z.literal('http'),
        format,
        url: z
          .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
          .max(4096)
          .optional(),
        auth: z.literal('caller', 'can only be “caller”').optional(),
        cursor: z
          .strictObject({
            field: z.string().min(1),
            parameter: z
              .string()
              .regex(/^[A-Za-z0-9_.~-]{1,64}$/, 'must be 1 to 64 of A-Z, a-z, 0-9, _ . ~ -'),
            initial: z.union([z.string(), z.number()]).optional(),
          })
          .optional(),
      }),
    ]),
    input: schema,
    output: schema.optional(),
    transform: z
      .custom<(record: never, context: never) => unknown>(
        (value) => typeof value === 'function',
        'must be a function',
      )
      .optional(),
    sink: z.strictObject({
      kind: z.literal('postgres'),
      table: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a letter and up to 62 of a-z, 0-9 and _'),
      key: z.union([
        z.literal('row-digest'),
        z
          .array(z.string())
          .min(1)
          .max(16)
          .refine((key) => new Set(key).size === key.length, 'names a column twice'),
      ]),
    }),
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
      })
      .default({}),
    deadline: z
      .string()
      .refine((text) => {
        const durationMs = parseDuration(text);
        return durationMs !== undefined && durationMs >= 1000 && durationMs <= 366 * dayMs;
      }, 'must be a duration such as 90m, 12h or 7d, of 1s to 366d')
      .default('7d'),
    schedule: z.unknown().optional(),
    approval: WrittenApproval.optional(),
    quality: later('quality rules'),
  })
  .refine((d) => (d.transform === undefined) === (d.output === undefined), {
    path: ['output'],
    error:
      'output and transform go together: with a transform say what its rows are, without one leave output out',
  });

function describeSink(
  sink: z.output<typeof Written>['sink'],
  columns: SinkManifest['columns'],
): SinkManifest {
  if (columns.length > 400)
    throw new DefinitionError('output', [{ path: '', message: 'has more than 400 columns' }]);
  if (sink.key !== 'row-digest') for (const name of sink.key) checkKeyColumn(name, columns);
  return { ...sink, columns };
}

function checkKeyColumn(name: string, columns: SinkManifest['columns']): void {
  const column = columns.find((c) => c.name === name);
  const wrong = !column
    ? `names “${name}”, which is not a field of the output`
    : column.nullable
      ? `names “${name}”, which may be missing or null; a key is always there`
      : column.type === 'jsonb'
        ? `names “${name}”, which is stored as jsonb and identifies nothing`
        : undefined;
  if (wrong) throw new DefinitionError('sink', [{ path: 'key', message: wrong }]);
}

/** Puts the name of the pipeline before what a deeper check says. */
function inPipeline<T>(id: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    const part = error.message.slice(0, error.message.indexOf(':'));
    throw new DefinitionError(
      `pipeline ${id}`,
      error.issues.map((i) => ({ path: [part, i.path].filter(Boolean).join('.'), message: i.message })),
    );
  }
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
