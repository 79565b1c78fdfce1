import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** Reads a URL that each run names. */
export default definePipeline({
  id: 'feed',
  source: http(ndjson()),
  input: z.strictObject({ id: z.string(), at: z.coerce.date(), size: z.int() }),
  sink: postgres({ table: 'feed', key: ['id'] }),
  limits: { batchRecords: 10 },
});
