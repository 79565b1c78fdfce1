import { definePipeline, file, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** The smallest pipeline that can be scheduled: one record, the same each time. */
export default definePipeline({
  id: 'ticks',
  source: file(ndjson(), { path: 'ticks.ndjson' }),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'ticks', key: ['id'] }),
});
