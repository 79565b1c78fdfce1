import { z } from 'zod';

const Line = z.strictObject({
  sku: z.string().regex(/^[A-Z]{3}-\d{5}$/),
  quantity: z.int().min(1).max(1000),
  unit_price_cents: z.int().min(0).max(100_000_000),
});

/** The input of the pipeline `orders` of examples/acme. */
export const Order = z.strictObject({
  order_id: z.string().regex(/^ord_[0-9a-z]{12}$/),
  placed_at: z.iso.datetime(),
  customer: z.strictObject({
    id: z.string().regex(/^cus_[0-9a-z]{8}$/),
    country: z.string().regex(/^[A-Z]{2}$/),
    email: z.email().max(254).nullable(),
  }),
  currency: z.enum(['EUR', 'USD', 'GBP']),
  lines: z.array(Line).min(1).max(50),
  channel: z.enum(['web', 'app', 'store']),
  status: z.enum(['placed', 'paid', 'shipped', 'returned']),
  test: z.boolean(),
  note: z.string().max(200).optional(),
});

export type OrderRecord = z.output<typeof Order>;
