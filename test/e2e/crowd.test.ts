import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { crowdOfEnvelopes, crowdOfPreviews } from '../../bench/chaos/crowd.ts';
import { benchProject } from '../../bench/project.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';

describe('one tenant that asks for more than its share', () => {
  let stack: DevStack;
  before(async () => {
    stack = await startDevStack({ project: benchProject });
  });
  after(() => stack?.stop());
  const violations = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('('));

  it('does not take the memory of the API by 50 envelopes of 4 MB at once', async () => {
    const lines = await crowdOfEnvelopes(stack, { envelopes: 50, apiMaxMiB: 1_024, healthMaxMs: 5_000 });
    assert.deepEqual(violations(lines), [], lines.join('\n'));
  });

  it('does not delay the firings of another tenant by 300 previews at once', async () => {
    const lines = await crowdOfPreviews(stack, { previews: 300, firingMaxMs: 15_000 });
    assert.deepEqual(violations(lines), [], lines.join('\n'));
  });
});
