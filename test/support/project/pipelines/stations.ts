import { csv, definePipeline, file, postgres } from 'waybill';
import { z } from 'zod';

/** Reads a file below the configured roots, and says of each row which. */
export default definePipeline({
  id: 'stations',
  source: file(csv({ emptyAs: 'null' })),
  input: z.strictObject({ code: z.string().min(1), name: z.string(), opened: z.iso.date().nullable() }),
  sink: postgres({ table: 'stations', key: ['code'] }),
  rowSource: true,
  limits: { batchRecords: 10 },
});
