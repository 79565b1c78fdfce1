import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { input, output, transform } from '../shipment.ts';

/** The table keeps every row, so that a record that is stored twice is seen. */
export default definePipeline({
  id: 'crates',
  source: upload(ndjson()),
  input,
  output,
  transform,
  sink: postgres({ table: 'crates', mode: 'append' }),
  approval: { before: 'ingest', by: 'data-steward' },
  allowAllRejected: true,
  limits: { batchRecords: 1_000 },
});
