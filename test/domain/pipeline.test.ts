import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { parseDuration } from '../../domain/duration.ts';
import { applyTransform } from '../../domain/pipelines/applyTransform.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import { reject, skip } from '../../domain/pipelines/outcome.ts';
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

const plain = {
  id: 'plain',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.string(), n: z.int().optional() }),
  sink: postgres({ table: 'plain', key: ['id'] }),
};

const gated = (change: object) => ({ approval: { before: 'publish', by: 'data-steward', ...change } });

describe('a definition', () => {
  test('has defaults, and its manifest is frozen data', () => {
    const { manifest } = definePipeline(plain);
    assert.deepEqual(manifest, {
      id: 'plain',
      version: 1,
      labels: {},
      source: { kind: 'upload', format: { name: 'ndjson' } },
      sink: {
        kind: 'postgres',
        table: 'plain',
        key: ['id'],
        columns: [
          { name: 'id', type: 'text', nullable: false },
          { name: 'n', type: 'bigint', nullable: true },
        ],
      },
      limits: {
        concurrency: 4,
        batchBytes: 16_777_216,
        batchRecords: 100_000,
        recordBytes: 1_048_576,
        decompressedBytes: 68_719_476_736,
      },
      deadlineMs: 604_800_000,
    });
    assert.deepEqual(JSON.parse(JSON.stringify(manifest)), manifest);
    assert.ok(Object.isFrozen(manifest.sink.columns[0]));
  });

  test('says how long each part of a run is kept, as far as it does', () => {
    const { manifest } = definePipeline({ ...plain, retention: { input: '2d', runs: 'forever' } });
    assert.deepEqual(manifest.retention, { input: 172_800_000, runs: null });
  });

  test('names its source and format', () => {
    const sourceOf = (source: Parameters<typeof define>[0]) => define(source).manifest.source;
    const define = (source: ReturnType<typeof http> | ReturnType<typeof file> | ReturnType<typeof inline>) =>
      definePipeline({ ...plain, source });
    assert.deepEqual(sourceOf(inline()), { kind: 'inline' });
    assert.deepEqual(sourceOf(file(csv({ delimiter: ';' }), { path: 'a.csv' })), {
      kind: 'file',
      format: {
        name: 'csv',
        delimiter: ';',
        emptyAs: 'string',
        fields: { known: ['id', 'n'], required: ['id'] },
      },
      path: 'a.csv',
    });
    assert.deepEqual(sourceOf(http(ndjson(), { url: 'https://example.com/a' })), {
      kind: 'http',
      format: { name: 'ndjson' },
      url: 'https://example.com/a',
    });
  });

  test('says how the values of a cursor follow one another', () => {
    const fields = {
      moment: [
        z.iso.datetime({ offset: true }),
        'instant',
        '2026-01-01T00:00:00+01:00',
        '2025-12-31T23:00:00Z',
      ],
      date: [z.coerce.date(), 'instant', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'],
      day: [z.iso.date(), 'date', '2026-01-01', '2026-01-01'],
      number: [z.coerce.number().pipe(z.int()), 'integer', 7, '7'],
      big: [z.int64(), 'integer', '9007199254740993', '9007199254740993'],
    } as const;
    for (const [field, [schema, order, initial, first]] of Object.entries(fields)) {
      const { source } = definePipeline({
        ...plain,
        input: z.strictObject({ id: z.string(), [field]: schema }),
        source: http(ndjson(), { cursor: { field, parameter: 'since', initial } }),
      }).manifest;
      const cursor = { field, order, parameter: 'since', initial: first };
      assert.deepEqual(source, { kind: 'http', format: { name: 'ndjson' }, cursor });
    }
    const grows = definePipeline({ ...plain, source: file(csv(), { cursor: 'bytes' }) }).manifest.source;
    assert.equal('cursor' in grows && grows.cursor, 'bytes');
  });

  const timed = z.strictObject({
    id: z.string(),
    at: z.iso.datetime(),
    on: z.iso.date().nullable(),
    x: z.number(),
  });
  const since = (cursor: object, url?: string) => ({
    input: timed,
    source: { ...http(ndjson(), url ? { url } : {}), cursor: { field: 'at', parameter: 'since', ...cursor } },
  });

  test('says at which gate its runs wait; code and schema stay beside the manifest', () => {
    const form = z.strictObject({ reason: z.string().min(1) });
    const { manifest, approval } = definePipeline({
      ...plain,
      approval: {
        before: 'publish',
        by: ['data-steward', 'operator'],
        when: (summary) => summary.emitted > 10,
        quorum: 2,
        remind: '4h',
        onTimeout: 'escalate',
        escalateTo: 'operator',
        form,
        notify: 'https://chat.example/stewards',
      },
    });
    const { form: shown, ...terms } = manifest.approval!;
    assert.deepEqual(terms, {
      before: 'publish',
      by: ['data-steward', 'operator'],
      conditional: true,
      quorum: 2,
      withinMs: 86_400_000,
      onTimeout: 'escalate',
      escalateTo: ['operator'],
      remindMs: 14_400_000,
      notify: 'https://chat.example/stewards',
    });
    assert.deepEqual(shown!.required, ['reason']);
    assert.equal(approval.form, form);
    assert.equal(typeof approval.when, 'function');
    assert.deepEqual(JSON.parse(JSON.stringify(manifest)), manifest);
  });

  test('gives an approval a day, or as long as its runs may take', () => {
    const withinOf = (deadline: string, more: object = {}) =>
      definePipeline({
        ...plain,
        deadline,
        approval: { before: 'ingest', by: 'operator', ...more },
      }).manifest.approval!.withinMs;
    const escalating = { onTimeout: 'escalate', escalateTo: 'operator' };
    assert.deepEqual(
      [withinOf('7d'), withinOf('2h'), withinOf('2h', escalating)],
      [86_400_000, 7_200_000, 3_600_000],
    );
  });

  const every = (duration: string) => ({ every: duration });
  const daily = (more: object = {}) => ({
    source: file(ndjson(), { path: 'a.ndjson' }),
    schedule: { cron: '0 6 * * *', ...more },
  });

  test('has schedules with everything said that was left out, each under its own id', () => {
    const schedulesOf = (schedule: object) =>
      definePipeline({ ...plain, ...daily(), schedule } as never).manifest.schedules;
    const terms = {
      cron: '0 6 * * *',
      timeZone: 'Europe/Vienna',
      overlap: 'skip',
      catchUp: '1h',
      pauseOnFailure: false,
      parameters: {},
    };
    assert.deepEqual(schedulesOf({ cron: '0 6 * * *', timeZone: 'Europe/Vienna', note: 'Before work.' }), [
      { id: 'plain', terms, note: 'Before work.' },
    ]);
    const several = schedulesOf([every('1h'), { ...every('1d'), name: 'daily', jitter: '5m' }]);
    assert.deepEqual(
      several?.map(({ id, terms }) => [id, terms.every, terms.jitter]),
      [
        ['plain', '1h', undefined],
        ['plain-daily', '1d', '5m'],
      ],
    );
    assert.equal(definePipeline(plain).manifest.schedules, undefined);
  });

  const split = (partitionBy: object, key: unknown = ['id']) => ({
    sink: { ...plain.sink, key, partitionBy },
  });
  const shards = { ...plain.sink, shards: ['east', 'west'] };
  /** Where the definition is wrong, and the path that the error names. */
  const wrong: [string, object, string][] = [
    ['an id with capitals', { id: 'Plain' }, 'id'],
    ['an id that is too long', { id: 'a'.repeat(64) }, 'id'],
    ['version 0', { version: 0 }, 'version'],
    ['a table that needs quotes', { sink: { ...plain.sink, table: 'a b' } }, 'sink.table'],
    ['an empty key', { sink: { ...plain.sink, key: [] } }, 'sink.key'],
    ['a key that names a column twice', { sink: { ...plain.sink, key: ['id', 'id'] } }, 'sink.key'],
    ['a key that the output lacks', { sink: { ...plain.sink, key: ['idd'] } }, 'sink.key'],
    ['a key that may be missing', { sink: { ...plain.sink, key: ['n'] } }, 'sink.key'],
    ['a sink without key or mode', { sink: { kind: 'postgres', table: 'a' } }, 'sink.key'],
    ['a key of what is appended', { sink: { ...plain.sink, mode: 'append' } }, 'sink.key'],
    ['shards of what is appended', { sink: { ...shards, key: undefined, mode: 'append' } }, 'sink.shards'],
    ['shards of what is replaced', { sink: { ...shards, mode: 'replace' } }, 'sink.shards'],
    ['a shard that is named twice', { sink: { ...shards, shards: ['east', 'east'] } }, 'sink.shards'],
    ['a shard that is a URL', { sink: { ...shards, shards: ['postgres://east'] } }, 'sink.shards.0'],
    ['shards with rows that approvers publish at once', { sink: shards, ...gated({}) }, 'approval.before'],
    ['a mode that is not one', { sink: { ...plain.sink, mode: 'merge' } }, 'sink.mode'],
    [
      'a partition by a column that the output lacks',
      split({ hash: 'x', partitions: 2 }),
      'sink.partitionBy',
    ],
    ['a partition by what may be missing', split({ hash: 'n', partitions: 2 }), 'sink.partitionBy'],
    ['a partition beside the key', split({ hash: 'id', partitions: 2 }, rowDigest()), 'sink.partitionBy'],
    ['a range of texts', split({ range: 'id', every: 'day' }), 'sink.partitionBy'],
    ['one partition', split({ hash: 'id', partitions: 1 }), 'sink.partitionBy.partitions'],
    ['a range of quarters', split({ range: 'id', every: 'quarter' }), 'sink.partitionBy'],
    [
      'a partitioned table with a long name',
      { sink: { ...split({ hash: 'id', partitions: 2 }).sink, table: 'a'.repeat(55) } },
      'sink.partitionBy',
    ],
    [
      'a table that is replaced by what is new',
      { ...since({}), sink: postgres({ table: 'a', mode: 'replace' }) },
      'sink.mode',
    ],
    ['a retention in words', { retention: { input: 'a week' } }, 'retention.input'],
    ['a retention of minutes', { retention: { stages: '30m' } }, 'retention.stages'],
    ['a retention of what no run has', { retention: { rows: '30d' } }, 'retention'],
    ['a deadline in words', { deadline: 'a week' }, 'deadline'],
    ['a deadline of years', { deadline: '400d' }, 'deadline'],
    ['a limit out of bounds', { limits: { concurrency: 65 } }, 'limits.concurrency'],
    ['a limit that is not one', { limits: { rows: 1 } }, 'limits'],
    ['a field that is not one', { sinks: 1 }, ''],
    ['an approval without approvers', gated({ by: [] }), 'approval.by'],
    ['an approval at no gate', gated({ before: 'store' }), 'approval.before'],
    ['an approval of no people', gated({ quorum: 0 }), 'approval.quorum'],
    ['a condition that is not one', gated({ when: true }), 'approval.when'],
    ['an approval that takes a while', gated({ within: 'a while' }), 'approval.within'],
    ['an approval beyond the deadline', gated({ within: '8d' }), 'approval.within'],
    [
      'an approval that is beyond it once it escalates',
      gated({ within: '4d', onTimeout: 'escalate', escalateTo: 'operator' }),
      'approval.within',
    ],
    ['an escalation without a role', gated({ onTimeout: 'escalate' }), 'approval.escalateTo'],
    ['a role for an escalation that never happens', gated({ escalateTo: 'operator' }), 'approval.escalateTo'],
    ['a timeout that approves', gated({ onTimeout: 'approve' }), 'approval.onTimeout'],
    ['a reminder after the end', gated({ remind: '2d' }), 'approval.remind'],
    ['a form that is not strict', gated({ form: z.object({}) }), 'approval.form'],
    ['a form that JSON cannot say', gated({ form: z.strictObject({ at: z.date() }) }), 'approval.form'],
    ['a mail address to notify', gated({ notify: 'mailto:a@example.com' }), 'approval.notify'],
    ['an approval with a word of its own', gated({ approvers: 2 }), 'approval'],
    ['a schedule of what is sent', { schedule: { cron: '0 0 * * *' } }, 'schedule'],
    ['a schedule that is never due', daily({ cron: undefined }), 'schedule.cron'],
    ['a schedule without a file', { ...daily(), source: file(ndjson()) }, 'schedule.source'],
    ['a schedule of a URL, of a file', daily({ source: { url: 'https://example.com' } }), 'schedule.source'],
    ['a schedule with a parameter that there is not', daily({ parameters: { a: 1 } }), 'schedule.parameters'],
    ['a field of a schedule that is none', daily({ when: 'daily' }), 'schedule'],
    ['two schedules without names', { ...daily(), schedule: [every('1h'), every('2h')] }, 'schedule.1.name'],
    ['no schedule of several', { ...daily(), schedule: [] }, 'schedule'],
    [
      'one of several that is wrong',
      { ...daily(), schedule: [every('1h'), { ...every('2 hours'), name: 'b' }] },
      'schedule.1.every',
    ],
    ['a schema that is not one', { input: { id: 'string' } }, 'input'],
    ['an input that is not strict', { input: z.object({ id: z.string() }) }, 'input'],
    ['an input that is loose', { input: z.looseObject({ id: z.string() }) }, 'input'],
    [
      'an input that drops fields further in',
      { input: z.strictObject({ id: z.string(), a: z.array(z.object({})) }) },
      'input.a[]',
    ],
    [
      'an input that cannot travel',
      { input: z.strictObject({ id: z.string(), a: z.map(z.string(), z.int()) }) },
      'input.a',
    ],
    ['parameters that are not strict', { parameters: z.object({}) }, 'parameters'],
    ['an output without a transform', { output: plain.input }, 'output'],
    ['a transform without an output', { transform: () => ({}) }, 'output'],
    [
      'a column without a SQL type',
      { input: z.strictObject({ id: z.string(), a: z.string().transform(Number) }) },
      'output.a',
    ],
    [
      'a delimiter of two characters',
      { source: upload(csv({ delimiter: '||' })) },
      'source.format.delimiter',
    ],
    ['a quote as delimiter', { source: upload(csv({ delimiter: '"' })) }, 'source.format.delimiter'],
    ['a source read as an unknown principal', { source: { ...http(ndjson()), auth: 'me' } }, 'source.auth'],
    ['a URL that is not http', { source: http(ndjson(), { url: 'ftp://example.com' }) }, 'source.url'],
    ['a cursor of no field', since({ field: 'when' }), 'source.cursor.field'],
    ['a cursor that may be null', since({ field: 'on' }), 'source.cursor.field'],
    ['a cursor without an order', since({ field: 'x' }), 'source.cursor.field'],
    ['a cursor of text', since({ field: 'id' }), 'source.cursor.field'],
    ['a beginning that is none of its values', since({ initial: 'yesterday' }), 'source.cursor.initial'],
    ['a parameter that needs escaping', since({ parameter: 'a b' }), 'source.cursor.parameter'],
    ['a URL that has the parameter', since({}, 'https://example.com/?since=1'), 'source.url'],
    ['a file by lines', { source: { ...file(ndjson()), cursor: 'lines' } }, 'source.cursor'],
    [
      'a classification with a capital',
      { labels: { classification: 'Confidential' } },
      'labels.classification',
    ],
    ['one with a space', { labels: { classification: 'restricted ' } }, 'labels.classification'],
    ['no classification', { labels: { classification: '' } }, 'labels.classification'],
    ['a label that is almost one', { labels: { 'classi-fication': 'restricted' } }, 'labels'],
    [
      'too many labels',
      { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ''])) },
      'labels',
    ],
  ];
  for (const [name, change, path] of wrong) {
    test(`${name} is refused at ${path || 'the top'}`, () => {
      assert.throws(
        () => definePipeline({ ...plain, ...change } as never),
        (error) => error instanceof DefinitionError && error.issues[0]?.path === path,
      );
    });
  }

  test('durations have one unit', () => {
    assert.deepEqual(
      ['30s', '90m', '12h', '7d', '2w'].map(parseDuration),
      [30_000, 5_400_000, 43_200_000, 604_800_000, 1_209_600_000],
    );
    assert.deepEqual(
      ['', '7', 'd', '0d', '1.5h', '-1d', '1d2h', ' 1d'].map(parseDuration),
      Array(8).fill(undefined),
    );
  });
});

describe('a transform', () => {
  const run = (transform: (record: { id: string }) => unknown) =>
    applyTransform(
      definePipeline({
        ...plain,
        input: z.strictObject({ id: z.string() }),
        output: z.strictObject({ id: z.string(), n: z.int().default(7) }),
        transform: transform as never,
      }),
      { id: 'a' },
      {},
    );

  test('one object is one row, as the output schema returns it', () => {
    assert.deepEqual(
      run((r) => r),
      { kind: 'rows', rows: [{ id: 'a', n: 7 }] },
    );
  });
  test('an array is as many rows as it has, and none of them is filtered', () => {
    assert.deepEqual(
      run((r) => [r, { id: 'b', n: 1 }]),
      {
        kind: 'rows',
        rows: [
          { id: 'a', n: 7 },
          { id: 'b', n: 1 },
        ],
      },
    );
    assert.deepEqual(
      run(() => []),
      { kind: 'filtered', code: 'NoRows' },
    );
  });
  test('skip filters and reject refuses', () => {
    assert.deepEqual(
      run(() => skip('Test')),
      { kind: 'filtered', code: 'Test' },
    );
    assert.deepEqual(
      run(() => reject('Bad', { path: 'id', message: 'no' })),
      { kind: 'rejected', code: 'Bad', path: 'id', message: 'no' },
    );
  });
  for (const nothing of [null, undefined]) {
    test(`an accidental ${nothing} is refused, not lost`, () => {
      const outcome = run(() => nothing);
      assert.equal(outcome.kind === 'rejected' && outcome.code, 'OutputMismatch');
    });
  }
  for (const other of [
    false,
    0,
    '',
    'skip',
    Promise.resolve({ id: 'a' }),
    { id: 1 },
    { id: 'a', extra: 1 },
    [[{ id: 'a' }]],
  ]) {
    test(`${JSON.stringify(other)} does not fit the output`, () => {
      const outcome = run(() => other);
      assert.equal(outcome.kind === 'rejected' && outcome.code, 'OutputMismatch');
    });
  }
  test('an array with a row that does not fit is rejected as a whole, with the path of the first such row', () => {
    const outcome = run((r) => [r, { id: 5 }]);
    assert.deepEqual(outcome.kind === 'rejected' && [outcome.code, outcome.path], [
      'OutputMismatch',
      '[1].id',
    ]);
    assert.equal(run((r) => [r, skip('Test')]).kind, 'rejected');
  });
  test('what looks like a skip is not one', () => {
    assert.equal(run(() => ({ code: 'Test' })).kind, 'rejected');
  });
  test('what it throws passes through', () => {
    assert.throws(
      () =>
        run(() => {
          throw new RangeError('mine');
        }),
      RangeError,
    );
  });
  test('a malformed code throws', () => {
    for (const code of ['', 'two words', '1st', 'x'.repeat(64)]) assert.throws(() => skip(code), TypeError);
  });
  test('without one the record is the row', () => {
    const pipeline = definePipeline({ ...plain, sink: postgres({ table: 'plain', key: rowDigest() }) });
    assert.deepEqual(applyTransform(pipeline, { id: 'a' }, {}), { kind: 'rows', rows: [{ id: 'a' }] });
  });
});
