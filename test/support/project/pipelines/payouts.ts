import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';

/** Waits before a row is visible, unless it is small and said to be routine. */
export default definePipeline({
  id: 'payouts',
  parameters: z.strictObject({ routine: z.boolean().default(false) }),
  source: upload(ndjson()),
  input: z.strictObject({ account: z.string().min(1), cents: z.int() }),
  output: z.strictObject({ account: z.string(), cents: z.int() }),
  transform: (payout, { reject, skip }) => {
    if (payout.cents === 0) return skip('NothingToPay');
    return payout.cents < 0
      ? reject('Negative', { path: 'cents', message: 'An amount is never negative.' })
      : payout;
  },
  sink: postgres({ table: 'payouts', key: ['account'] }),
  approval: {
    before: 'publish',
    by: 'data-steward',
    when: (summary) => !summary.parameters.routine || summary.changes.added > 10,
  },
  limits: { batchRecords: 10 },
});
