import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { attempt, attemptLines, codeOf } from '../../dev/attack/attack.ts';
import type { Scene } from '../../dev/attack/scene.ts';

/** What `waybill attack` would say if something got through; test/cli/commands.test.ts shows that nothing does. */
describe('an attack', () => {
  /** Rows as they are before and after, and whether the refusal is on record. */
  const scene = (before: string, after: string, audited: boolean) => {
    const reads = [before, after];
    const ledger = { read: async () => reads.shift(), isAudited: async () => audited };
    return { ledger } as unknown as Scene;
  };
  const tried = { tried: 'something', code: 'GrantMissing' } as const;

  async function lines(at: Scene, code: string | undefined): Promise<string[]> {
    const attempted = await attempt(at, { ...tried, attempt: async () => ({ code, runId: 'r' }) });
    return attemptLines(attempted).map(stripVTControlCharacters);
  }

  it('holds where it is refused by its code, touches nothing and is on record', async () => {
    assert.deepEqual(await lines(scene('a', 'a', true), 'GrantMissing'), ['✓ something: GrantMissing']);
  });

  it('is seen where it is not refused, or by another code', async () => {
    assert.deepEqual(await lines(scene('a', 'a', true), undefined), [
      '✗ something: not refused',
      '  it has to be GrantMissing',
    ]);
    assert.deepEqual(await lines(scene('a', 'a', true), 'Internal'), [
      '✗ something: Internal',
      '  it has to be GrantMissing',
    ]);
  });

  it('is seen where it touches a row, whatever it is told, or is not on record', async () => {
    assert.deepEqual((await lines(scene('a', 'b', true), 'GrantMissing'))[1], '  something was touched');
    assert.deepEqual((await lines(scene('a', 'a', false), 'GrantMissing'))[1], '  it is not in the audit');
  });

  it('at the API has no run of which the audit could show it', async () => {
    const attempted = await attempt(scene('a', 'a', false), {
      ...tried,
      attempt: async () => 'GrantMissing',
    });
    assert.ok(attempted.held);
  });

  it('that fails for a reason of its own is no refusal', async () => {
    const broken = new Error('no connection');
    await assert.rejects(codeOf(Promise.reject(broken)), broken);
    assert.equal(await codeOf(Promise.resolve()), undefined);
  });
});
