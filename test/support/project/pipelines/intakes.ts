import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';

/** Keeps what its senders add. */
export default definePipeline({
  id: 'intakes',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.string(), at: z.strictObject({ city: z.string() }).optional() }),
  unknownFields: 'keep',
  sink: postgres({ table: 'intakes', key: ['id'] }),
});
