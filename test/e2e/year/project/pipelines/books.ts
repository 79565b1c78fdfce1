import { definePipeline, file, ndjson, postgres } from 'waybill';
import { z } from 'zod';

/** What was entered since the day before. No row is visible until two people approve. */
export default definePipeline({
  id: 'books',
  source: file(ndjson(), { cursor: 'bytes' }),
  input: z.strictObject({ id: z.string(), cents: z.int() }),
  sink: postgres({ table: 'books', key: ['id'] }),
  approval: {
    before: 'publish',
    by: 'duty',
    quorum: 2,
    within: '10h',
    remind: '3h',
    onTimeout: 'escalate',
    escalateTo: 'lead',
  },
});
