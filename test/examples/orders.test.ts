import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { type Expected, generateOrders } from '../../examples/acme/generate/orders.ts';
import { spoilers } from '../../examples/acme/generate/spoil.ts';
import orders from '../../examples/acme/pipelines/orders.ts';
import { testPipeline } from '../../sdk/testing.ts';

function generate(options: { rows?: number; seed?: string; invalid?: number }): {
  bytes: Buffer;
  expected: Expected;
} {
  const { rows = 5000, seed = '7', invalid = 0.1 } = options;
  const { chunks, expected } = generateOrders({ rows, seed, invalid, currency: 'EUR' });
  const bytes = Buffer.concat([...chunks]);
  return { bytes, expected: expected() };
}

describe('generated orders', () => {
  test('are the same bytes for the same arguments, and others for another seed', () => {
    const { bytes, expected } = generate({});
    assert.equal(expected.digest, createHash('sha256').update(bytes).digest('hex'));
    assert.equal(expected.sizeBytes, bytes.length);
    assert.equal(generate({}).expected.digest, expected.digest);
    assert.notEqual(generate({ seed: '8' }).expected.digest, expected.digest);
  });

  test('have not changed since runs were first measured with them', () => {
    const { expected } = generate({ rows: 1000, seed: '1', invalid: 0.01 });
    assert.equal(expected.digest, '4af5d1ed8340029b8bab3c3215bc1cba297065e4bfa007ca0c9ab1989c501056');
  });

  test('take about 350 bytes a line', () => {
    const { expected } = generate({ invalid: 0 });
    assert.ok(
      Math.abs(expected.sizeBytes / expected.read - 350) < 20,
      String(expected.sizeBytes / expected.read),
    );
  });

  test('go wrong in at least 18 ways, all of them in a file of some size', () => {
    const { expected } = generate({ rows: 20_000 });
    assert.ok(spoilers.length >= 18);
    assert.deepEqual(Object.keys(expected.rejectedByKind), spoilers.map((s) => s.kind).sort());
  });

  test('are delivered again once in a thousand lines, half of them changed', () => {
    const { expected } = generate({ rows: 50_000, invalid: 0 });
    assert.ok(expected.redelivered > 30 && expected.redelivered < 70, String(expected.redelivered));
    assert.ok(expected.redeliveredChanged > 0 && expected.redeliveredChanged < expected.redelivered);
  });

  test('end as the generator says', async () => {
    const { bytes, expected } = generate({ rows: 20_000 });
    const { counts, rejected, stored } = await testPipeline(orders, { bytes });
    const { read, passed, filtered, emitted, deduplicated } = expected;
    assert.deepEqual(counts, {
      read,
      passed,
      filtered,
      rejected: expected.rejected,
      emitted,
      stored: expected.stored,
      unchanged: 0,
      deduplicated,
    });
    assert.deepEqual(tally(rejected.map((r) => r.code)), expected.rejectedByCode);
    assert.equal(checksumOf(stored), expected.checksum);
  });

  for (const spoiler of spoilers) {
    test(`${spoiler.kind} is refused as ${spoiler.code}`, async () => {
      const { bytes } = generate({ rows: 1, invalid: 0 });
      const order = JSON.parse(bytes.toString());
      // Behind a valid order: data that begins as an array does is of another format as a whole.
      const { rejected, stored } = await testPipeline(orders, {
        bytes: Buffer.concat([bytes, Buffer.from(spoiler.spoil(order) as string)]),
      });
      assert.deepEqual([rejected.map((r) => r.code), stored.length], [[spoiler.code], 1]);
    });
  }
});

test('a run in another currency refuses orders that would else pass', async () => {
  const { chunks } = generateOrders({ rows: 10, seed: '1', invalid: 0, currency: 'USD' });
  const bytes = Buffer.concat([...chunks]);
  assert.equal((await testPipeline(orders, { bytes })).counts.rejected, 10);
  assert.equal(
    (await testPipeline(orders, { bytes }, { parameters: { currency: 'USD' } })).counts.rejected,
    0,
  );
});

function tally(codes: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes.sort()) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

/** What the SQL in the project’s README computes. */
function checksumOf(rows: readonly Record<string, unknown>[]): string {
  const sum = rows.reduce((total, r) => {
    const columns = [
      r.order_id,
      r.customer_id,
      r.country,
      r.currency,
      r.amount_cents,
      r.items,
      r.channel,
      r.status,
      r.note ?? '',
    ];
    return total + BigInt(`0x${createHash('md5').update(columns.join('|')).digest('hex').slice(0, 12)}`);
  }, 0n);
  return sum.toString();
}
