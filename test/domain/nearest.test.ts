import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { similarTo } from '../../domain/nearest.ts';

describe('a name that was probably meant', () => {
  const known = ['birdstrikes', 'orders', 'few'];

  it('is one that differs by two letters, or by a third of its own', () => {
    assert.equal(similarTo('oders', known), 'orders');
    assert.equal(similarTo('fwe', known), 'few');
    assert.equal(similarTo('bird-strike', known), 'birdstrikes');
  });

  it('is none that has little in common with it', () => {
    for (const name of ['', 'countries', 'x', 'abc', 'o'.repeat(100_000)])
      assert.equal(similarTo(name, known), undefined, name.slice(0, 9));
    assert.equal(similarTo('orders', []), undefined);
  });
});
