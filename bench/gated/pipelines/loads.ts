import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';

/** Many rows that are published at once. */
export default definePipeline({
  id: 'loads',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.int(), note: z.string() }),
  sink: postgres({ table: 'loads', key: ['id'] }),
  approval: { before: 'publish', by: 'data-steward' },
});
