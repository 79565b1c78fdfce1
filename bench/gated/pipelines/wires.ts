import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

/** Waits so briefly that a vote, a cancellation and the end of its patience can come at one moment. */
export default definePipeline({
  id: 'wires',
  source: inline(),
  input: z.strictObject({ id: z.uuid() }),
  sink: postgres({ table: 'wires', key: ['id'] }),
  approval: { before: 'publish', by: 'data-steward', within: '4s' },
});
