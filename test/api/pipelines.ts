import {
  csv,
  definePipeline,
  file,
  http,
  inline,
  ndjson,
  postgres,
  json as records,
  rowDigest,
  upload,
} from 'waybill';
import { z } from 'zod';
import type { AnyPipeline } from '../../domain/pipelines/pipeline.ts';
import type { Definitions, LoadedPipeline } from '../../domain/ports/definitions.ts';

const Row = z.strictObject({ id: z.string(), n: z.number().optional() });
const Cells = z.strictObject({ id: z.string(), n: z.string() });
const sink = postgres({ table: 'rows', key: ['id'] });

/** One pipeline for each way in which data reaches a run. `lines` has small batches: ten records. */
const defined: AnyPipeline[] = [
  definePipeline({
    id: 'lines',
    source: upload(ndjson()),
    input: Row,
    sink,
    limits: { batchRecords: 10 },
    parameters: z.strictObject({
      limit: z.number().optional(),
      dry: z.boolean().optional(),
      name: z.string().default('n'),
    }),
  }),
  definePipeline({
    id: 'cells',
    source: upload(csv()),
    input: Cells,
    sink: postgres({ table: 'cells', key: rowDigest() }),
  }),
  definePipeline({ id: 'items', source: upload(records()), input: Row, sink }),
  definePipeline({ id: 'few', source: inline(), input: Row, sink }),
  definePipeline({ id: 'files', source: file(ndjson()), input: Row, sink }),
  definePipeline({
    id: 'urls',
    source: http(ndjson(), { url: 'https://example.com/rows' }),
    input: Row,
    sink,
  }),
  definePipeline({
    id: 'own',
    source: http(ndjson(), { url: 'https://example.com/rows', auth: 'caller' }),
    input: Row,
    sink,
  }),
  definePipeline({
    id: 'kept',
    source: file(ndjson(), { path: 'kept.ndjson' }),
    input: Row,
    sink,
    approval: {
      before: 'publish',
      by: 'data-steward',
      quorum: 2,
      within: '2h',
      onTimeout: 'escalate',
      escalateTo: 'operator',
      notify: 'https://hooks.example/a-secret',
    },
    schedule: { cron: '0 6 * * *', timeZone: 'Europe/Vienna' },
  }),
];

defined.push(
  definePipeline({
    id: 'whole',
    source: inline(),
    input: Row,
    sink: postgres({ table: 'whole', mode: 'replace' }),
  }),
);

const loaded: LoadedPipeline[] = defined.map(
  ({ manifest, parameters, input, output, approval, quality }) => ({
    modulePath: `/${manifest.id}.ts`,
    digest: manifest.id.padEnd(64, '0'),
    manifest,
    parameters,
    input,
    output,
    approval,
    quality,
  }),
);

export const definitions: Definitions = {
  list: () => loaded,
  listDigests: () => loaded.map(({ digest }) => digest),
  find: (id, digest) =>
    loaded.find((one) => one.manifest.id === id && (digest === undefined || one.digest === digest)),
  require: (id) => loaded.find(({ manifest }) => manifest.id === id)!,
};
