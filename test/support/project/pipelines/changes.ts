import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** Asks its source for what is new. */
export default definePipeline({
  id: 'changes',
  source: http(ndjson(), { cursor: { field: 'updated_at', parameter: 'since' } }),
  input: z.strictObject({ id: z.string(), updated_at: z.iso.datetime({ offset: true }), n: z.int() }),
  sink: postgres({ table: 'changes', key: ['id'] }),
  limits: { batchRecords: 10 },
});
