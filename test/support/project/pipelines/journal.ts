import { csv, definePipeline, file, postgres } from 'waybill';
import { z } from 'zod';

/** Reads what was appended to a file. */
export default definePipeline({
  id: 'journal',
  source: file(csv(), { cursor: 'bytes' }),
  input: z.strictObject({ id: z.string(), text: z.string() }),
  sink: postgres({ table: 'journal', key: ['id'] }),
  limits: { batchRecords: 10 },
});
