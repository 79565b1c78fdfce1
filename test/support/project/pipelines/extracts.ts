import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** Waits before its first byte is read. */
export default definePipeline({
  id: 'extracts',
  source: http(ndjson()),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'extracts', key: ['id'] }),
  approval: { before: 'ingest', by: 'data-steward', quorum: 2 },
  limits: { batchRecords: 10 },
});
