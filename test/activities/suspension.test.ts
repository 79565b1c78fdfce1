import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { knownReason } from '../../activities/suspension.ts';
import { errors } from '../../domain/errors.ts';

describe('the recorded reason of a run', () => {
  const failed = { step: 'transform', attempt: 1, nextAttemptAt: null };
  const precise = { ...failed, code: 'TransformFailed', message: 'The transform threw on line 7.' };

  it('has the message of the failed attempt, where that failed with the same code', () => {
    const given = { code: 'TransformFailed', message: 'm' };
    assert.deepEqual(knownReason(given, precise), { code: 'TransformFailed', message: precise.message });
    const other = knownReason({ code: 'SinkRejected', message: 'm' }, precise);
    assert.deepEqual(other, { code: 'SinkRejected', message: errors.SinkRejected.message });
  });

  it('never has a message or an unknown code that a client of Temporal chose', () => {
    for (const code of ['TransformFailed', 'toString', 'Nonsense', undefined]) {
      const { code: known, message } = knownReason({ code: code!, message: 'a lie' });
      assert.equal(known, code === 'TransformFailed' ? code : 'Internal');
      assert.equal(message, errors[known as keyof typeof errors].message);
    }
  });
});
