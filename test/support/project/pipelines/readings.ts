import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';

/** Batches of at most ten records, so that few records make many batches. */
export default definePipeline({
  id: 'readings',
  source: upload(ndjson()),
  input: z.strictObject({ sensor: z.string().min(1), value: z.number() }),
  output: z.strictObject({ sensor: z.string(), value: z.number() }),
  transform: (reading, { reject, skip }) => {
    if (reading.value < 0) return skip('BelowZero');
    if (reading.value > 1e6)
      return reject('OutOfRange', { path: 'value', message: 'The sensor cannot measure that.' });
    return reading;
  },
  sink: postgres({ table: 'readings', key: ['sensor'] }),
  limits: { batchRecords: 10, recordBytes: 1024 },
});
