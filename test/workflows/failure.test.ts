import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure } from '@temporalio/common';
import { isRetryable } from '../../workflows/failure.ts';

describe('a step that has failed near', () => {
  it('goes on far where it was not answered in time, or where waiting helps', () => {
    assert.ok(isRetryable(around(new TimeoutFailure('Activity timed out', undefined, 'START_TO_CLOSE'))));
    assert.ok(isRetryable(ApplicationFailure.create({ type: 'DatabaseUnavailable' })));
  });

  it('ends there where it was refused for good, or cancelled', () => {
    assert.ok(!isRetryable(ApplicationFailure.create({ type: 'GrantInvalid', nonRetryable: true })));
    assert.ok(!isRetryable(around(new CancelledFailure('The run was cancelled.'))));
  });

  /** As the SDK wraps what was not thrown by the step itself. */
  function around(cause: Error): ActivityFailure {
    return new ActivityFailure('Local Activity', 'finalize', '1', 'CANCEL_REQUESTED', undefined, cause);
  }
});
