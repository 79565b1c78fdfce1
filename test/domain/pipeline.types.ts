/**
 * What the compiler must refuse and what it must infer. `tsc --noEmit` is the test: each expected error that does
 * not happen is an error itself. `test/domain/pipelineTypes.test.ts` checks what the messages say.
 */
import { z } from 'zod';
import {
  csv,
  definePipeline,
  file,
  http,
  inline,
  ndjson,
  postgres,
  rowDigest,
  upload,
} from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';

const input = z.strictObject({
  id: z.string(),
  at: z.iso.datetime().pipe(z.coerce.date()),
  n: z.coerce.number(),
});
const output = z.strictObject({ key: z.string(), at: z.date(), n: z.int().default(0) });
const parameters = z.strictObject({ currency: z.enum(['EUR', 'USD']).default('EUR') });

function is<T>(_value: T): void {}
type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;

export const inferred = definePipeline({
  id: 'inferred',
  parameters,
  source: upload(ndjson()),
  input,
  output,
  transform: (record, context) => {
    // The record is what the input schema returns, not what it takes in.
    is<Same<typeof record, { id: string; at: Date; n: number }>>(true);
    is<Same<typeof context.parameters, { currency: 'EUR' | 'USD' }>>(true);
    if (record.n === 0) return context.skip('Zero');
    if (record.n < 0) return context.reject('Negative', { path: 'n' });
    // A row is what the output schema takes in: `n` has a default there.
    return record.n > 9
      ? [{ key: record.id, at: record.at }]
      : { key: record.id, at: record.at, n: record.n };
  },
  sink: postgres({ table: 'inferred', key: ['key', 'at'] }),
});

export const withoutTransform = definePipeline({
  id: 'without-transform',
  source: inline(),
  input,
  sink: postgres({ table: 'without_transform', key: ['id'] }),
});
is<Same<z.output<typeof withoutTransform.output>, { id: string; at: Date; n: number }>>(true);

const base = {
  id: 'base',
  source: upload(csv()),
  input,
  output,
  transform: () => ({ key: '', at: new Date() }),
};

export const keyOfDigest = definePipeline({ ...base, sink: postgres({ table: 'base', key: rowDigest() }) });

// ERROR: The key names “id”, which is not a field of the output.
// @ts-expect-error The transform renamed `id`.
export const lostKey = definePipeline({ ...base, sink: postgres({ table: 'base', key: ['id'] }) });

const wrongKey = postgres({ table: 'a', key: ['idd'] });
// ERROR: The key names “idd”, which is not a field of the output.
// @ts-expect-error Without a transform the output is the input.
export const wrong = definePipeline({ id: 'a', source: inline(), input, sink: wrongKey });

// @ts-expect-error A key without columns identifies nothing.
export const emptyKey = postgres({ table: 'base', key: [] });

export const measured = definePipeline({
  ...base,
  sink: postgres({ table: 'base', key: ['key'] }),
  quality: {
    maxRejected: '0.5%',
    rules: [
      { kind: 'complete', column: 'key' },
      { kind: 'unique', columns: ['key', 'at'] },
      { kind: 'custom', name: 'few', check: ({ read, rejected }) => rejected * 2 < read },
    ],
    onBreach: 'warn',
  },
});

export const measuresLostColumn = definePipeline({
  ...base,
  sink: postgres({ table: 'base', key: ['key'] }),
  quality: {
    // ERROR: Type '"id"' is not assignable to type
    // @ts-expect-error The transform renamed `id`.
    rules: [{ kind: 'complete', column: 'id' }],
    onBreach: 'warn',
  },
});

export const measuresWithoutTransform = definePipeline({
  id: 'a',
  source: inline(),
  input,
  sink: postgres({ table: 'a', key: ['id'] }),
  // ERROR: Type '"key"' is not assignable to type
  // @ts-expect-error Without a transform the output is the input.
  quality: { rules: [{ kind: 'unique', columns: ['id', 'key'] }], onBreach: 'warn' },
});

export const wrongShare = definePipeline({
  ...base,
  sink: postgres({ table: 'base', key: ['key'] }),
  // @ts-expect-error A share is a percentage.
  quality: { maxRejected: 0.01, onBreach: 'warn' },
});

const byKey = postgres({ table: 'base', key: ['key'] });

// ERROR: An upload cannot be scheduled: no caller sends its data then.
// @ts-expect-error The data of an upload comes with the request.
export const scheduled = definePipeline({ ...base, sink: byKey, schedule: { cron: '0 4 * * *' } });

export const schedulable = () => [
  definePipeline({ ...base, source: http(csv()), sink: byKey, schedule: { cron: '0 4 * * *' } }),
  definePipeline({
    ...base,
    source: file(csv()),
    sink: byKey,
    schedule: [{ every: '1h' }, { name: 'b', cron: '0 4 * * *' }],
  }),
];

export const scheduledWith = definePipeline({
  ...base,
  parameters,
  source: http(csv(), { url: 'https://example.com' }),
  sink: byKey,
  // ERROR: Type '"GBP"' is not assignable to type '"EUR" | "USD" | undefined'.
  // @ts-expect-error The parameters are those of the schema.
  schedule: { every: '1h', parameters: { currency: 'GBP' } },
});

// @ts-expect-error A source is read as the caller or without a principal.
export const asSomebody = http(csv(), { auth: 'me' });

const byTime = { field: 'at', parameter: 'since' } as const;
export const sinceThen = definePipeline({ ...base, source: http(csv(), { cursor: byTime }), sink: byKey });
export const growing = definePipeline({ ...base, source: file(csv(), { cursor: 'bytes' }), sink: byKey });

const unknownField = http(csv(), { cursor: { field: 'when', parameter: 'since' } });
// ERROR: The cursor names “when”, which is not a field of the input.
// @ts-expect-error The cursor is a field of the input.
export const sinceNever = definePipeline({ ...base, source: unknownField, sink: byKey });

const byId = postgres({ table: 'a', key: ['id'] });
const same = (record: z.output<typeof input>) => ({ ...record, at: record.at.toISOString() });
// ERROR: Property 'output' is missing
// @ts-expect-error A transform needs to say what its rows are.
export const noOutput = definePipeline({ id: 'a', source: inline(), input, transform: same, sink: byId });

// @ts-expect-error An output without a transform is never made.
export const noTransform = definePipeline({ id: 'a', source: inline(), input, output, sink: byKey });

export const wrongRow = definePipeline({
  ...base,
  // ERROR: Type 'number' is not assignable to type 'string'.
  // @ts-expect-error `key` is a string.
  transform: () => ({ key: 1, at: new Date() }),
  sink: byKey,
});

// ERROR: Type 'null' is not assignable
// @ts-expect-error `null` is no way to leave a record out.
export const nothing = definePipeline({ ...base, transform: () => null, sink: byKey });

const async = async () => ({ key: '', at: new Date() });
// ERROR: is not assignable to type
// @ts-expect-error A transform is synchronous.
export const later = definePipeline({ ...base, transform: async, sink: byKey });

export const unknownParameter = definePipeline({
  ...base,
  parameters,
  // ERROR: Property 'colour' does not exist on type '{ currency: "EUR" | "USD"; }'.
  // @ts-expect-error The parameters are those of the schema.
  transform: (_, context) => ({ key: context.parameters.colour, at: new Date() }),
  sink: byKey,
});

// @ts-expect-error CSV takes one of two ways to read an empty field.
export const wrongFormat = csv({ emptyAs: 'undefined' });

export const gatedBeforePublish = definePipeline({
  ...base,
  parameters,
  sink: byKey,
  approval: {
    before: 'publish',
    by: 'data-steward',
    when: (summary) => {
      is<Same<typeof summary.parameters, { currency: 'EUR' | 'USD' }>>(true);
      return (
        summary.emitted > 10 || summary.changes.changed > 0 || (summary.rejectedByCode.Negative ?? 0) > 0
      );
    },
  },
});

export const gatedBeforeIngest = definePipeline({
  ...base,
  parameters,
  sink: byKey,
  approval: {
    before: 'ingest',
    by: ['data-steward', 'operator'],
    when: (summary) => summary.requestedBy.kind === 'service' && summary.parameters.currency === 'USD',
    onTimeout: 'escalate',
    escalateTo: 'operator',
  },
});

export const seesTooMuch = definePipeline({
  ...base,
  sink: byKey,
  // ERROR: Property 'emitted' does not exist on type 'IngestSummary
  // @ts-expect-error Before the first byte the number of rows is unknown.
  approval: { before: 'ingest', by: 'operator', when: (summary) => summary.emitted > 10 },
});

export const undecided = definePipeline({
  ...base,
  sink: byKey,
  // @ts-expect-error A condition is one or the other.
  approval: { before: 'publish', by: 'operator', when: (summary) => summary.emitted },
});

export const escalatesToNobody = definePipeline({
  ...base,
  sink: byKey,
  // ERROR: Property 'escalateTo' is missing
  // @ts-expect-error Who may decide then?
  approval: { before: 'publish', by: 'operator', onTimeout: 'escalate' },
});

const outputs = {
  orders: {
    row: z.strictObject({ order_id: z.string(), total: z.int() }),
    sink: postgres({ table: 'orders', key: ['order_id'] }),
  },
  lines: {
    row: z.strictObject({ order_id: z.string(), line: z.int(), unit: z.string().default('kg') }),
    sink: postgres({ table: 'order_lines', key: ['order_id', 'line'] }),
  },
};
const several = { id: 'several', source: upload(ndjson()), input };

export const severalOutputs = definePipeline({
  ...several,
  outputs,
  transform: (record, context) => {
    is<Same<typeof record, { id: string; at: Date; n: number }>>(true);
    if (record.n === 0) return context.skip('Zero');
    return { orders: { order_id: record.id, total: 1 }, lines: [{ order_id: record.id, line: 1 }] };
  },
});

export const severalStored = async () => {
  const { stored } = await testPipeline(severalOutputs, []);
  is<Same<(typeof stored.lines)[number]['unit'], string>>(true);
  is<Same<(typeof stored.orders)[number]['total'], number>>(true);
};

export const wrongOutput = definePipeline({
  ...several,
  outputs,
  // ERROR: Property 'lines' is missing
  // @ts-expect-error The output is called `lines`.
  transform: () => ({ orders: [], linez: [] }),
});

export const wrongRowOfOutput = definePipeline({
  ...several,
  outputs,
  // ERROR: Type 'string' is not assignable to type 'number'.
  // @ts-expect-error A line has a number.
  transform: (record) => ({ orders: [], lines: [{ order_id: record.id, line: 'one' }] }),
});

export const lostKeyOfOutput = definePipeline({
  ...several,
  outputs: {
    ...outputs,
    // ERROR: The key names “id”, which is not a field of the output.
    // @ts-expect-error The row of the output has no `id`.
    other: { row: outputs.orders.row, sink: postgres({ table: 'other', key: ['id'] }) },
  },
  transform: () => ({ orders: [], lines: [], other: [] }),
});
