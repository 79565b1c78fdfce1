import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { burstOf, leastMsOf } from '../../domain/deadLetters/throttle.ts';
import { perSecondOf, ratePattern } from '../../domain/duration.ts';

describe('the throttle of a redrive', () => {
  it('is a number of records in a second, minute or hour', () => {
    const right = ['1/s', '50/s', '999999/s', '600/m', '100/h'];
    const wrong = ['0/s', '-1/s', '1.5/s', '50', '50/d', '50 /s', '50/s ', '1000000/s', '050/s', '', '50/S'];
    for (const text of right) assert.match(text, ratePattern);
    for (const text of wrong) assert.doesNotMatch(text, ratePattern);
    assert.deepEqual(['50/s', '600/m', '36/h'].map(perSecondOf), [50, 10, 0.01]);
  });

  it('gives five seconds of records at a time, or one', () => {
    assert.deepEqual(['50/s', '60/m', '36/h'].map(burstOf), [250, 5, 1]);
  });

  it('says how long a redrive takes at least: the last burst needs no pause', () => {
    assert.deepEqual(
      [0, 1, 250, 251, 1_000].map((records) => leastMsOf('50/s', records)),
      [0, 0, 0, 5_000, 15_000],
    );
    assert.equal(leastMsOf('36/h', 3), 200_000);
  });
});
