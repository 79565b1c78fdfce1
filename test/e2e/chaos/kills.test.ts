import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fireTogether } from '../../../bench/chaos/fireTogether.ts';
import { killUnderLoad } from '../../../bench/chaos/killUnderLoad.ts';
import { killWorkers } from '../../../bench/chaos/killWorkers.ts';
import { triggerSmall } from '../../../bench/smallRun.ts';
import { hasEnded, type RunState } from '../../../domain/runs/run.ts';
import { type DevStack, startDevStack } from '../../support/devStack.ts';
import { makeProject, type TestProject } from '../../support/makeProject.ts';

// The short form of `npm run chaos`, which says more.

describe('kill -9 of a worker between the commit of a batch and the answer', () => {
  let stack: DevStack;
  before(async () => {
    stack = await startDevStack({ workers: 0 });
  });
  after(() => stack?.stop());

  it('changes nothing', async () => {
    const { violations, killed } = await killWorkers(stack, { rows: 8_000, kills: 2, workers: 'guarded' });
    assert.deepEqual(violations, []);
    assert.ok(killed > 0);
  });

  it('would be noticed without the ledger', async () => {
    const { violations, killed } = await killWorkers(stack, { rows: 8_000, kills: 2, workers: 'unguarded' });
    assert.notDeepEqual(violations, []);
    assert.ok(killed > 0);
  });
});

describe('kill -9', () => {
  let project: TestProject;
  let stack: DevStack;
  before(async () => {
    project = await makeProject({ from: ['bench/project', 'examples/acme'] });
    stack = await startDevStack({ project: project.path });
  });
  after(async () => {
    await stack?.stop();
    await project?.remove();
  });

  it('of a worker in the middle of a run loses nothing and stores nothing twice', async () => {
    const { violations, killed } = await killWorkers(stack, { rows: 8_000, kills: 2, workers: 'own' });
    assert.deepEqual(violations, []);
    assert.ok(killed > 0);
  });

  for (const name of ['api', 'temporal', 'postgres']) {
    it(`of ${name} while runs come in breaks no promise that was made`, async () => {
      assert.deepEqual(await killUnderLoad(stack, { name, kills: 1, perKill: 15 }), []);
    });
  }

  it('of api, worker and temporal around the firings of schedules: each has fired once', async () => {
    const harm = { schedules: 9, kill: ['api', 'worker-1', 'temporal'], jitter: '4s' };
    const lines = await fireTogether(stack, harm);
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('(')),
      [],
    );
  });

  it('of postgres for eight seconds on end ends no run that was accepted', async () => {
    const call = await stack.as('alice');
    const accepted = await Promise.all(Array.from({ length: 40 }, () => triggerSmall(call)));
    for (const until = performance.now() + 8_000; performance.now() < until; await pause(100)) {
      const pid = stack.pid('postgres');
      if (pid !== undefined) tryKill(pid);
    }
    for (const { id } of accepted) assert.equal(await untilEndedPatiently(id), 'completed');
  });

  async function untilEndedPatiently(id: string): Promise<string> {
    for (const until = performance.now() + 120_000; ; await pause(200)) {
      const call = await stack.as('alice');
      const answer = await call(`/v1/runs/${id}`);
      const { state } = (await answer.json()) as { state?: RunState };
      if (state && hasEnded(state)) return state;
      if (performance.now() > until) return state ?? 'unknown';
    }
  }
});

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is just being replaced.
  }
}
