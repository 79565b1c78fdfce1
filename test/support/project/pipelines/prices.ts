import { csv, definePipeline, file, postgres, text } from 'waybill';
import { z } from 'zod';

/** Each run replaces the whole table, which is partitioned by month. */
export default definePipeline({
  id: 'prices',
  source: file(csv()),
  input: z.strictObject({ sku: z.string().min(1), since: z.iso.date(), price: text.decimal(10, 2) }),
  sink: postgres({
    table: 'prices',
    mode: 'replace',
    key: ['sku', 'since'],
    partitionBy: { range: 'since', every: 'month' },
  }),
  limits: { batchRecords: 10 },
});
