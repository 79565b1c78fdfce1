import { csv, definePipeline, file, postgres, text } from 'waybill';
import { z } from 'zod';

/**
 * The countries that orders come from, from a file below a configured root; each morning, once `waybill apply` has put that in force.
 * Without a transform records are rows.
 */
export default definePipeline({
  id: 'countries',
  labels: { classification: 'public' },
  source: file(csv({ delimiter: ';', emptyAs: 'null' }), { path: 'countries.csv' }),
  input: z.strictObject({
    code: z.string().regex(/^[A-Z]{2}$/),
    name: z.string().min(1),
    population: text.integer().pipe(z.int().min(0)),
    area_km2: text.integer().pipe(z.int().min(0)),
    euro_since: z.iso.date().nullable(),
  }),
  sink: postgres({ table: 'countries', key: ['code'] }),
  schedule: { cron: '0 6 * * *', timeZone: 'Europe/Vienna', note: 'Before office hours.' },
});
