import { createHash } from 'node:crypto';
import { Random } from './random.ts';
import { type Order, spoilers } from './spoil.ts';

/**
 * Orders for the pipeline beside: NDJSON of about 350 bytes a line. Half a per cent are the shop’s own test orders,
 * one in a thousand is an earlier order delivered again, changed or not. `expected` may be asked once all chunks
 * were taken. Constant memory: only the last few hundred orders can be delivered again.
 */
export function generateOrders(options: OrdersOptions): {
  chunks: Iterable<Uint8Array>;
  expected(): Expected;
} {
  const tally = new Tally(options);
  return { chunks: inChunks(lines(options, tally)), expected: () => tally.expected() };
}

export interface OrdersOptions {
  rows: number;
  seed: string;
  /** Share of the lines that are spoiled, 0 to 1. */
  invalid: number;
  /** Currency of the valid orders, which is the run’s parameter. */
  currency: string;
}

/** How a run over these lines ends, on a table that has none of them. */
export interface Expected {
  read: number;
  passed: number;
  filtered: number;
  rejected: number;
  /** Dead letters by their code, and by the way in which the line was spoiled. */
  rejectedByCode: Record<string, number>;
  rejectedByKind: Record<string, number>;
  emitted: number;
  stored: number;
  deduplicated: number;
  /** Orders delivered again, and how many of them had changed. */
  redelivered: number;
  redeliveredChanged: number;
  /** Sum over the rows of the table: see README.md for the SQL that computes the same. */
  checksum: string;
  /** Lower-case hex SHA-256 of the file. */
  digest: string;
  sizeBytes: number;
}

const recentMax = 512;

function* lines(options: OrdersOptions, tally: Tally): Generator<Uint8Array> {
  const random = new Random(`orders ${options.seed}`);
  const prefix = prefixOf(options.seed);
  const recent: Order[] = [];
  for (let row = 0; row < options.rows; row++) {
    const draw = random.next();
    const isInvalid = draw < options.invalid;
    // The order in which the draws are made is part of the format: changing it changes every file.
    const again =
      !isInvalid && recent.length > 0 && random.next() < 0.001 ? random.whole(0, recent.length - 1) : -1;
    if (again >= 0) {
      const earlier = recent[again]!;
      const order = random.next() < 0.5 ? earlier : changed(earlier, random);
      recent[again] = order;
      yield tally.redeliver(earlier, order);
      continue;
    }
    const order = createOrder(row, prefix, options.currency, random);
    if (isInvalid) {
      const spoiler = spoilers[random.whole(0, spoilers.length - 1)]!;
      yield tally.spoil(spoiler.kind, spoiler.code, spoiler.spoil(order));
    } else if (random.next() < 0.005) {
      yield tally.filter({ ...order, test: true });
    } else {
      recent[Math.min(row % recentMax, recent.length)] = order;
      yield tally.pass(order);
    }
  }
}

const countries = ['DE', 'FR', 'NL', 'ES', 'IT', 'PL', 'AT', 'BE', 'SE', 'PT', 'IE', 'FI'] as const;
const notes = [
  'Please ring twice',
  'Gift — no invoice',
  'Für Oma',
  'Leave at the door',
  'Grüße aus Köln 🐦',
] as const;
const statuses = ['placed', 'paid', 'shipped', 'returned'] as const;
const firstPlacedAtMs = Date.UTC(2025, 0, 1);

function createOrder(row: number, prefix: string, currency: string, random: Random): Order {
  const items = random.whole(1, 3);
  const customer = base36(random.whole(0, 2 ** 31), 8);
  return {
    order_id: orderId(row, prefix),
    placed_at: new Date(firstPlacedAtMs + row * 997).toISOString(),
    customer: {
      id: `cus_${customer}`,
      country: random.pick(countries),
      email: random.next() < 0.9 ? `${customer}@example.com` : null,
    },
    currency,
    lines: Array.from({ length: items }, () => ({
      sku: `${random.pick(['ABC', 'KLM', 'XYZ'])}-${String(random.whole(0, 99_999)).padStart(5, '0')}`,
      quantity: random.whole(1, 12),
      unit_price_cents: random.whole(99, 49_999),
    })),
    channel: random.pick(['web', 'app', 'store']),
    status: random.pick(statuses.slice(0, 3)),
    test: false,
    ...(random.next() < 0.2 && { note: random.pick(notes) }),
  };
}

/** The same order a step further on. */
function changed(order: Order, random: Random): Order {
  const { note: _, ...rest } = order;
  const status = statuses[statuses.indexOf(order.status as (typeof statuses)[number]) + 1] ?? 'returned';
  return { ...rest, status, note: `Update ${random.whole(1, 99_999)}` };
}

/** Unique for each row of a file, and looking like no sequence: the factor shares no divisor with 36⁸. */
function orderId(row: number, prefix: string): string {
  return `ord_${prefix}${base36((row * 1_000_003 + 7) % 36 ** 8, 8)}`;
}

/** Orders of another seed are other orders. */
function prefixOf(seed: string): string {
  return base36(createHash('sha256').update(seed).digest().readUInt32BE(0) % 36 ** 4, 4);
}

function base36(number: number, digits: number): string {
  return number.toString(36).padStart(digits, '0');
}

/** Counts what is written, apart from the pipeline, so that a run has something to be compared with. */
class Tally {
  readonly #options: OrdersOptions;
  readonly #digest = createHash('sha256');
  readonly #byCode: Record<string, number> = {};
  readonly #byKind: Record<string, number> = {};
  #rows = 0;
  #filtered = 0;
  #rejected = 0;
  #redelivered = 0;
  #changed = 0;
  #checksum = 0n;
  #sizeBytes = 0;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  pass(order: Order): Uint8Array {
    this.#checksum += sumOf(order);
    return this.#write(JSON.stringify(order));
  }

  redeliver(earlier: Order, order: Order): Uint8Array {
    this.#redelivered++;
    if (order !== earlier) this.#changed++;
    this.#checksum -= sumOf(earlier);
    return this.pass(order);
  }

  filter(order: Order): Uint8Array {
    this.#filtered++;
    return this.#write(JSON.stringify(order));
  }

  spoil(kind: string, code: string, line: string | Uint8Array): Uint8Array {
    this.#rejected++;
    this.#byCode[code] = (this.#byCode[code] ?? 0) + 1;
    this.#byKind[kind] = (this.#byKind[kind] ?? 0) + 1;
    return this.#write(line);
  }

  #write(line: string | Uint8Array): Uint8Array {
    const bytes = Buffer.concat([Buffer.from(line as string), Buffer.from('\n')]);
    this.#rows++;
    this.#sizeBytes += bytes.length;
    this.#digest.update(bytes);
    return bytes;
  }

  expected(): Expected {
    if (this.#rows !== this.#options.rows) throw new Error('not all rows were taken yet');
    const emitted = this.#rows - this.#filtered - this.#rejected;
    return {
      read: this.#rows,
      passed: emitted,
      filtered: this.#filtered,
      rejected: this.#rejected,
      rejectedByCode: sorted(this.#byCode),
      rejectedByKind: sorted(this.#byKind),
      emitted,
      stored: emitted - this.#redelivered,
      deduplicated: this.#redelivered,
      redelivered: this.#redelivered,
      redeliveredChanged: this.#changed,
      checksum: this.#checksum.toString(),
      digest: this.#digest.copy().digest('hex'),
      sizeBytes: this.#sizeBytes,
    };
  }
}

/** 48 bits of a row that every column goes into; sums do not depend on the order of rows. */
function sumOf(order: Order): bigint {
  const amount = order.lines.reduce((sum, line) => sum + line.quantity * line.unit_price_cents, 0);
  const items = order.lines.reduce((sum, line) => sum + line.quantity, 0);
  const { order_id, customer, currency, channel, status, note = '' } = order;
  const text = [order_id, customer.id, customer.country, currency, amount, items, channel, status, note].join(
    '|',
  );
  return BigInt(`0x${createHash('md5').update(text).digest('hex').slice(0, 12)}`);
}

function sorted(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Lines in pieces of at least 64 KiB, for writing line by line takes longer than making them. */
function* inChunks(lines: Iterable<Uint8Array>): Generator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const line of lines) {
    pending.push(line);
    sizeBytes += line.length;
    if (sizeBytes < 64 * 1024) continue;
    yield Buffer.concat(pending);
    pending = [];
    sizeBytes = 0;
  }
  if (sizeBytes > 0) yield Buffer.concat(pending);
}
