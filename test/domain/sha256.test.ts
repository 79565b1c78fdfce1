import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sha256 } from '../../domain/sha256.ts';

const expected = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('SHA-256 in the sandbox', () => {
  it('is that of Node for every length around the blocks', () => {
    for (let length = 0; length < 200; length++) {
      const bytes = new Uint8Array(length).map((_, i) => i * 37 + length);
      assert.equal(sha256(bytes), expected(bytes), `${length} bytes`);
    }
  });

  it('is that of Node for any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => sha256(bytes) === expected(bytes)));
  });

  it('is that of Node for two mebibytes, the most that Temporal takes', () => {
    const bytes = new Uint8Array(2 ** 21).fill(0x5a);
    assert.equal(sha256(bytes), expected(bytes));
  });
});
