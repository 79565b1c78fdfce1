/** Each way in which a line goes wrong, with the code of the dead letter that it becomes: one fault a line. */
export const spoilers: readonly Spoiler[] = [
  // What is no JSON, or no record.
  text('truncated', 'MalformedJson', (json) => json.slice(0, json.length >> 1)),
  text('single-quoted', 'MalformedJson', (json) => json.replaceAll('"', "'")),
  text('trailing-comma', 'MalformedJson', (json) => `${json.slice(0, -1)},}`),
  text('two-records', 'MalformedJson', (json) => `${json} ${json}`),
  text('not-a-number', 'MalformedJson', (json) => json.replace(/"quantity":\d+/, '"quantity":NaN')),
  text('array', 'NotAnObject', (json) => `[${json}]`),
  text('string', 'NotAnObject', (json) => JSON.stringify(json)),
  text('null', 'NotAnObject', () => 'null'),
  text('too-deep', 'TooDeep', (json) => `${json.slice(0, -1)},"note":${'['.repeat(100)}${']'.repeat(100)}}`),
  text('prototype', 'UnsafeKey', (json) => `${json.slice(0, -1)},"__proto__":{"admin":true}}`),
  text('nul', 'NulByte', (json) => `${json.slice(0, -1)},"note":"a\\u0000b"}`),
  {
    kind: 'invalid-utf-8',
    code: 'InvalidUtf8',
    spoil: (order) => {
      const [head, tail] = JSON.stringify({ ...order, note: '¤' }).split('¤') as [string, string];
      return Buffer.concat([Buffer.from(head), Buffer.from([0xc3, 0x28]), Buffer.from(tail)]);
    },
  },
  // What the schema does not name.
  field('unknown-field', 'UnknownField', (order) => ({ ...order, colour: 'green' })),
  field('unknown-nested-field', 'UnknownField', (order) => ({
    ...order,
    customer: { ...order.customer, vip: true },
  })),
  // What it names differently.
  field('missing-id', 'SchemaMismatch', ({ order_id: _, ...order }) => order),
  field('null-id', 'SchemaMismatch', (order) => ({ ...order, order_id: null })),
  field('malformed-id', 'SchemaMismatch', (order) => ({ ...order, order_id: order.order_id.toUpperCase() })),
  field('local-time', 'SchemaMismatch', (order) => ({ ...order, placed_at: order.placed_at.slice(0, -1) })),
  field('impossible-date', 'SchemaMismatch', (order) => ({ ...order, placed_at: '2025-02-30T10:00:00Z' })),
  field('no-customer', 'SchemaMismatch', (order) => ({ ...order, customer: null })),
  field('country-name', 'SchemaMismatch', (order) => ({
    ...order,
    customer: { ...order.customer, country: 'Germany' },
  })),
  field('malformed-email', 'SchemaMismatch', (order) => ({
    ...order,
    customer: { ...order.customer, email: 'at example' },
  })),
  field('unknown-currency', 'SchemaMismatch', (order) => ({ ...order, currency: 'ZZZ' })),
  field('no-lines', 'SchemaMismatch', (order) => ({ ...order, lines: [] })),
  field('lines-as-object', 'SchemaMismatch', (order) => ({ ...order, lines: { ...order.lines } })),
  field('zero-quantity', 'SchemaMismatch', (order) => withLine(order, { quantity: 0 })),
  field('fractional-quantity', 'SchemaMismatch', (order) => withLine(order, { quantity: 1.5 })),
  field('price-as-text', 'SchemaMismatch', (order) => withLine(order, { unit_price_cents: '1299' })),
  field('negative-price', 'SchemaMismatch', (order) => withLine(order, { unit_price_cents: -1 })),
  field('malformed-sku', 'SchemaMismatch', (order) => withLine(order, { sku: 'ABC12345' })),
  field('test-as-text', 'SchemaMismatch', (order) => ({ ...order, test: 'false' })),
  field('long-note', 'SchemaMismatch', (order) => ({ ...order, note: 'x'.repeat(201) })),
  // What only the pipeline knows to be wrong.
  field('another-currency', 'CurrencyUnexpected', (order) => ({ ...order, currency: 'GBP' })),
];

export interface Spoiler {
  kind: string;
  code: string;
  spoil(order: Order): string | Uint8Array;
}

function text(kind: string, code: string, spoil: (json: string) => string): Spoiler {
  // Without a note, for some faults are put where it would be.
  return { kind, code, spoil: ({ note: _, ...order }) => spoil(JSON.stringify(order)) };
}

function field(kind: string, code: string, spoil: (order: Order) => object): Spoiler {
  return { kind, code, spoil: (order) => JSON.stringify(spoil(order)) };
}

function withLine(order: Order, change: object): object {
  return { ...order, lines: [{ ...order.lines[0], ...change }, ...order.lines.slice(1)] };
}

export interface Order {
  order_id: string;
  placed_at: string;
  customer: { id: string; country: string; email: string | null };
  currency: string;
  lines: { sku: string; quantity: number; unit_price_cents: number }[];
  channel: string;
  status: string;
  test: boolean;
  note?: string;
}
