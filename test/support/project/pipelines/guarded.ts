import { definePipeline, http, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** Reads a URL that each run names, as the person who asked for the run. */
export default definePipeline({
  id: 'guarded',
  source: http(ndjson(), { auth: 'caller' }),
  input: z.strictObject({ id: z.string(), reader: z.string().nullable() }),
  sink: postgres({ table: 'guarded', key: ['id'] }),
});
