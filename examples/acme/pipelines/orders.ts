import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';

const Line = z.strictObject({
  sku: z.string().regex(/^[A-Z]{3}-\d{5}$/),
  quantity: z.int().min(1).max(1000),
  unit_price_cents: z.int().min(0).max(100_000_000),
});

/** An order as the shop sends it: nested, and exactly these fields. */
const Order = z.strictObject({
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

const OrderRow = z.strictObject({
  order_id: z.string(),
  placed_at: z.iso.datetime(),
  customer_id: z.string(),
  country: z.string(),
  currency: z.string(),
  amount_cents: z.int(),
  items: z.int32(),
  lines: z.array(Line),
  channel: z.string(),
  status: z.string(),
  note: z.string().nullable(),
});

/** Orders in one currency; the shop’s own test orders are left out. A later delivery of an order replaces it. */
export default definePipeline({
  id: 'orders',
  version: 1,
  labels: { classification: 'internal' },
  parameters: z.strictObject({ currency: z.enum(['EUR', 'USD']).default('EUR') }),
  source: upload(ndjson()),
  input: Order,
  output: OrderRow,
  transform: (order, { parameters, reject, skip }) => {
    if (order.test) return skip('TestOrder');
    if (order.currency !== parameters.currency) {
      return reject('CurrencyUnexpected', {
        path: 'currency',
        message: 'The order is in another currency than the run.',
      });
    }
    const amount = order.lines.reduce((sum, line) => sum + line.quantity * line.unit_price_cents, 0);
    return {
      order_id: order.order_id,
      placed_at: order.placed_at,
      customer_id: order.customer.id,
      country: order.customer.country,
      currency: order.currency,
      amount_cents: amount,
      items: order.lines.reduce((sum, line) => sum + line.quantity, 0),
      lines: order.lines,
      channel: order.channel,
      status: order.status,
      note: order.note ?? null,
    };
  },
  sink: postgres({ table: 'orders', key: ['order_id'] }),
  limits: { concurrency: 4 },
  deadline: '7d',
});
