import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

/** The smallest pipeline there is, so that what is measured is Waybill and not the work. */
export default definePipeline({
  id: 'pings',
  source: inline(),
  input: z.strictObject({ id: z.uuid(), amount: z.int() }),
  sink: postgres({ table: 'pings', key: ['id'] }),
});
