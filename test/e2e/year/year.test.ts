import assert from 'node:assert/strict';
import { it } from 'node:test';
import { liveThrough } from './year.ts';

/** The short form of `npm run chaos -- year`, which lives through all of it, with consents of 90 days. */
it('a month of a daily gated pipeline comes to exactly what people made of each day', async (t) => {
  const lived = await liveThrough({ days: 31, lifetime: '9d' });
  if ('missing' in lived) return t.skip(lived.missing);
  assert.deepEqual(lived.violations, []);
  assert.equal(
    lived.summary,
    '31 days: 1 × 23 h after the one before; 2 × ApprovalExpired, escalated; 3 × ApprovalRejected, reminded; ' +
      '1 × DelegationExpired; 1 × DelegationRevoked; 1 × FiringSkipped; 3 × blocked; 15 × completed; ' +
      '2 × completed, escalated; 2 × completed, reminded; 1 × completed, suspended',
  );
});
