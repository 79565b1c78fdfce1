import { ndjson, reject, upload } from 'waybill';
import { z } from 'zod';

/** A record that can be rejected in ten ways, five of which each of two rules mends. */
const input = z.strictObject({
  n: z.int(),
  size: z.enum(['small', 'large']),
  grams: z.int().max(30_000),
  day: z.iso.date(),
  country: z.string().length(2),
  fragile: z.boolean(),
  street: z.string().min(1),
  phone: z.string().regex(/^\d+$/),
  price: z.number().min(0),
  label: z.string(),
  service: z.string(),
});

const output = z.strictObject({ n: z.int(), grams: z.int() });

function transform({ n, grams, label, service }: z.output<typeof input>) {
  if (label === '') return reject('LabelMissing', { path: 'label' });
  if (service === 'ship') return reject('ServiceEnded', { path: 'service' });
  return { n, grams };
}

/** What the pipelines have in common. */
export const shipments = {
  source: upload(ndjson()),
  input,
  output,
  transform,
  allowAllRejected: true,
  limits: { batchRecords: 1_000 },
};
