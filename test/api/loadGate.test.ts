import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createLoadGate } from '../../api/loadGate.ts';
import { until } from '../support/until.ts';

const always = ['cancelRun', 'revoke', 'pauseSchedule', 'health', 'ready'] as const;

describe('an API with more to do than it can', () => {
  it('sheds requests while too many queries wait, but for what stops work and tells of it', () => {
    let waiting = 2_001;
    const gate = createLoadGate(() => waiting);
    assert.throws(() => gate.check('createRun'), { code: 'Overloaded', retryAfterMs: 2_000 });
    for (const route of always) gate.check(route);
    waiting = 2_000;
    gate.check('createRun');
    gate.close();
  });

  it('sheds requests while its event loop is late, and no longer', async () => {
    const gate = createLoadGate(() => 0);
    const sheds = () => {
      try {
        gate.check('createRun');
        return false;
      } catch {
        for (const route of always) gate.check(route);
        return true;
      }
    };
    assert.equal(sheds(), false);
    for (let turn = 0; turn < 10 && !sheds(); turn++) {
      for (const by = performance.now() + 1_200; performance.now() < by; );
      await pause(0);
    }
    assert.ok(sheds());
    await until('it takes requests again', () => !sheds());
    gate.close();
  });
});
