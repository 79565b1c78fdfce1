import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coalesceReads } from '../../domain/singleFlight.ts';

test('each call gets what was there after it began, by few reads that follow one another', async () => {
  let value = 0;
  let reads = 0;
  let atOnce = 0;
  const read = coalesceReads(async () => {
    assert.equal(++atOnce, 1);
    reads++;
    const seen = value;
    await new Promise(setImmediate);
    atOnce--;
    if (seen === 3) throw new Error('three');
    return seen;
  });
  const asked: Promise<void>[] = [];
  for (let i = 0; i < 1_000; i++) {
    const since = ++value;
    const check = async () => {
      const seen = await read().catch(() => 3);
      assert.ok(seen >= since, `${seen} is older than ${since}`);
    };
    asked.push(check());
    if (i % 100 === 0 || i < 5) await new Promise(setImmediate);
  }
  await Promise.all(asked);
  assert.ok(reads < 40, `${reads} reads`);
  assert.equal(await read(), 1_000);
});
