import { definePipeline, postgres } from 'waybill';
import { shipments } from '../shipment.ts';

/** The table keeps every row, so that a record that is stored twice is seen. */
export default definePipeline({
  ...shipments,
  id: 'crates',
  sink: postgres({ table: 'crates', mode: 'append' }),
  approval: { before: 'ingest', by: 'data-steward' },
});
