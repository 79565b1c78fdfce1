import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

/** Waits for a moment only, then for another role as long. */
export default definePipeline({
  id: 'hasty',
  source: inline(),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'hasty', key: ['id'] }),
  approval: {
    before: 'publish',
    by: 'operator',
    within: '4s',
    remind: '2s',
    onTimeout: 'escalate',
    escalateTo: 'data-steward',
  },
});
