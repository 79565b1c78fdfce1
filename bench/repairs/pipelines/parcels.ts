import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { input, output, transform } from '../shipment.ts';

/** The table keeps every row, so that a record that is stored twice is seen. */
export default definePipeline({
  id: 'parcels',
  source: upload(ndjson()),
  input,
  output,
  transform,
  sink: postgres({ table: 'parcels', mode: 'append' }),
  approval: { before: 'publish', by: 'data-steward' },
  allowAllRejected: true,
  limits: { batchRecords: 1_000 },
});
