import { definePipeline, postgres } from 'waybill';
import { shipments } from '../shipment.ts';

/** The table keeps every row, so that a record that is stored twice is seen. */
export default definePipeline({
  ...shipments,
  id: 'parcels',
  sink: postgres({ table: 'parcels', mode: 'append' }),
  approval: { before: 'publish', by: 'data-steward' },
});
