import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WithStartWorkflowOperation, WorkflowIdConflictPolicy } from '@temporalio/client';
import { findTemporalForTest } from '../../adapters/temporal/server.ts';
import { type DevStack, startDevStack } from '../../support/devStack.ts';
import { until } from '../../support/until.ts';
import { change } from './claims.ts';
import { fingerprint } from './fingerprint.ts';
import { forgeries, header, lookAlikes, type Material } from './forgeries.ts';
import { attackOpenRuns } from './openRun.ts';
import { codeOf, type Outsider, openOutsider, startOf } from './outsider.ts';
import { signText } from './signText.ts';
import { materialOf, retireKey, runOf, type Victim } from './stackMaterial.ts';

const lanes = 12;

let stack: DevStack;
let outsider: Outsider;
/** Runs of alice’s that have ended. */
let victims: Victim[];
let others: Record<string, Victim>;
let material: Material;

before(async () => {
  stack = await startDevStack({
    workers: 1,
    project: fileURLToPath(new URL('../../support/project', import.meta.url)),
  });
  outsider = await openOutsider(stack);
  const retired = await retireKey(outsider.database, stack);
  victims = [];
  for (let i = 0; i < 4; i++) victims.push(await runOf(stack, outsider, 'alice'));
  others = {
    'another run of hers': victims[1]!,
    'a colleague': await runOf(stack, outsider, 'billing-service'),
    'an agent of hers': await runOf(stack, outsider, 'copilot'),
    'another tenant': await runOf(stack, outsider, 'dave'),
  };
  material = await materialOf(stack, victims[0]!, retired, others);
});
after(async () => {
  await outsider?.close();
  await stack?.stop();
});

/**
 * An attacker who reaches Temporal starts the workflow by hand with a forged grant: real
 * workers, PostgreSQL and Temporal, with all that the run would need to succeed.
 */
describe('a run that is started past Waybill', () => {
  let untouched: Awaited<ReturnType<typeof fingerprint>>;
  beforeEach(async () => {
    untouched = await fingerprint(outsider.database, stack.home);
  });
  afterEach(async () => {
    assert.deepEqual(await fingerprint(outsider.database, stack.home), untouched);
  });

  /** Claims that the key itself has signed, which no forger could have. */
  const signed = (claims: object) => signText(header(material.key), JSON.stringify(claims), material.key);

  async function inLanes<T>(items: readonly T[], work: (item: T, i: number) => Promise<void>): Promise<void> {
    let next = 0;
    const lane = async () => {
      for (let i = next++; i < items.length; i = next++) await work(items[i]!, i);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  it('has no effect, whatever grant it carries; each is refused by its code, and audited', async () => {
    const matrix = forgeries(material);
    assert.ok(matrix.length >= 200);
    const wrong: string[] = [];
    await inLanes(matrix, async ({ name, code, forge }, i) => {
      const id = `readings-forged-${i}`;
      const refused = await outsider.start(id, await forge(id));
      if (refused !== code) wrong.push(`${name}: ${refused} instead of ${code}`);
      const audited = await outsider.audited(id);
      if (audited.length === 0 || audited.some((one) => one.code !== code))
        wrong.push(`${name}: audited as ${JSON.stringify(audited)}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('has no effect where the record of the run says otherwise, however alike the names are', async () => {
    const crossed: [string, (right: Victim['claims']) => unknown][] = [
      ...Object.values(lookAlikes).flatMap((likeness): typeof crossed => [
        ['sub', ({ sub }) => likeness(sub)],
        ['tctx.tenant', ({ tctx }) => likeness(tctx.tenant)],
      ]),
      ['sub', () => others['a colleague']!.claims.sub],
      ['txn', () => others['another run of hers']!.claims.txn],
      ['tctx.tenant', () => 'globex'],
      ['tctx.version', () => 2],
      ['tctx.parametersDigest', () => '0'.repeat(64)],
    ];
    const wrong: string[] = [];
    // One after the other for each, since a workflow id has one execution at a time.
    await inLanes(victims.slice(2), async ({ id, claims }, lane) => {
      for (const [path, likeness] of crossed.filter((_, i) => i % 2 === lane)) {
        const value = likeness(claims);
        const refused = await outsider.start(id, await signed(change(claims, path.split('.'), value)));
        if (refused !== 'GrantMismatch') wrong.push(`${path} ${JSON.stringify(value)}: ${refused}`);
      }
      const audited = await outsider.audited(id);
      if (audited.some(({ code }) => code !== 'GrantMismatch')) wrong.push(JSON.stringify(audited));
    });
    assert.deepEqual(wrong, []);
  });

  it('has no effect with a true copy of everything, nor does a reset; the record names no actor', async () => {
    const { id, grant } = victims[0]!;
    assert.equal(await outsider.start(id, grant), 'RunEnded');
    await outsider.reset(outsider.handleOf(id));
    assert.equal(await codeOf(outsider.handleOf(id).result()), 'RunEnded');
    const audited = await outsider.audited(id);
    assert.equal(audited.length, 2);
    for (const event of audited) assert.deepEqual(event, { code: 'RunEnded', actor: null, tenant: 'acme' });
  });

  it('has no effect when its grant has expired, nor brings the run back', async () => {
    const { id, claims } = victims[1]!;
    const client = outsider.clientWith(await signed({ ...claims, exp: claims.iat }));
    const handle = await client.workflow.start('runPipeline', startOf(id));
    await until('it is refused', async () =>
      (await outsider.audited(id)).some(({ code }) => code === 'GrantExpired'),
    );
    // Its run has ended, so it may have ended by itself by now.
    await handle.terminate().catch((error: Error) => assert.equal(error.name, 'WorkflowNotFoundError'));
  });

  describe('by another way', () => {
    const idOf = (way: string) => `readings-by-${way}-${randomUUID()}`;

    async function isRefused(id: string, code: string): Promise<void> {
      assert.equal(await codeOf(outsider.handleOf(id).result()), code);
      const audited = await outsider.audited(id);
      assert.ok(audited.length > 0 && audited.every((one) => one.code === code));
    }

    it('such as Temporal’s command line, has none', async () => {
      const id = idOf('command-line');
      const { args } = startOf(id);
      await promisify(execFile)(await findTemporalForTest(), [
        ...['workflow', 'start', '--address', stack.info().temporalAddress, '--type', 'runPipeline'],
        ...['--task-queue', 'waybill', '--workflow-id', id, '--input', JSON.stringify(args[0])],
      ]);
      await isRefused(id, 'GrantMissing');
    });

    it('such as a signal that starts it, has none', async () => {
      const id = idOf('signal');
      const client = outsider.clientWith(victims[0]!.grant);
      await client.workflow.signalWithStart('runPipeline', {
        ...startOf(id),
        signal: 'recheckAuthorization',
      });
      await isRefused(id, 'GrantMismatch');
    });

    it('such as an update that starts it, has none', async () => {
      const id = idOf('update');
      const startWorkflowOperation = new WithStartWorkflowOperation('runPipeline', {
        ...startOf(id),
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      });
      const client = outsider.clientWith(victims[0]!.grant);
      const update = client.workflow.executeUpdateWithStart('waybill-replace-grant', {
        startWorkflowOperation,
      });
      assert.equal(await codeOf(update), 'GrantMismatch');
      await isRefused(id, 'GrantMismatch');
    });

    it('such as a schedule, has none', async () => {
      const id = idOf('schedule');
      const schedule = await outsider.clientWith(victims[0]!.grant).schedule.create({
        scheduleId: id,
        spec: {},
        action: { type: 'startWorkflow', workflowType: 'runPipeline', ...startOf(id) },
      });
      await schedule.trigger();
      const run = async () => (await schedule.describe()).info.recentActions[0]?.action.workflow.workflowId;
      await until('it is started', async () => (await run()) !== undefined);
      await isRefused((await run())!, 'GrantMismatch');
      await schedule.delete();
    });

    it('such as a cron under the id of a run that has ended, has none at any turn', async () => {
      const { id, grant } = victims[1]!;
      const cron = { ...startOf(id), cronSchedule: '@every 1s' };
      const handle = await outsider.clientWith(grant).workflow.start('runPipeline', cron);
      await until(
        'it is refused twice',
        async () => (await outsider.audited(id)).filter(({ code }) => code === 'RunEnded').length >= 2,
      );
      await handle.terminate();
    });
  });
});

describe('a run that is under way', () =>
  attackOpenRuns(() => ({ stack, outsider, other: victims[0]!, material })));
