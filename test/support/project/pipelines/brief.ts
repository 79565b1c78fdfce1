import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** Its grants last for a few seconds only. */
export default definePipeline({
  id: 'brief',
  source: http(ndjson()),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'brief', key: ['id'] }),
  limits: { batchRecords: 10 },
  deadline: '12s',
});
