import { type Attack, codeOf } from './attack.ts';
import type { Scene } from './scene.ts';

/** An attacker who reaches Temporal. Each attack starts the workflow directly, with a copy of the input of alice’s run. */
export const temporalRequests: readonly Attack[] = [
  {
    tried: 'a run started in Temporal, with no grant',
    code: 'GrantMissing',
    ...starting(() => undefined),
  },
  {
    tried: 'with the grant of alice’s run, copied from its history',
    code: 'GrantMismatch',
    ...starting(({ grant }) => grant),
  },
  {
    tried: 'with that grant issued to bob',
    code: 'GrantInvalid',
    ...starting(({ forger, grant }) => forger.altered(grant, (claims) => ({ ...claims, sub: 'prn_bob' }))),
  },
  {
    tried: 'with that grant bound to this run, signed with another key under the same key id',
    code: 'GrantInvalid',
    ...starting(({ forger, grant }, id) => forger.resigned(grant, boundTo(id))),
  },
  {
    tried: 'with that grant bound to this run, without a signature',
    code: 'GrantAlgorithmUnsupported',
    ...starting(({ forger, grant }) => forger.unsigned(grant)),
  },
  {
    tried: 'with alice’s own access token in its place',
    code: 'GrantAlgorithmUnsupported',
    ...starting(({ token }) => token),
  },
  {
    tried: 'with half of the grant',
    code: 'GrantMalformed',
    ...starting(({ grant }) => grant.slice(0, grant.length / 2)),
  },
  {
    tried: 'by a schedule that keeps the copied grant',
    code: 'GrantMismatch',
    async attempt(scene) {
      const { temporalWith, grant, startOf, freshId } = scene;
      const scheduleId = freshId();
      const schedule = await temporalWith(grant).schedule.create({
        scheduleId,
        spec: {},
        action: { type: 'startWorkflow', workflowType: 'runPipeline', ...startOf(scheduleId) },
      });
      try {
        await schedule.trigger();
        const started = await firstOf(async () => (await schedule.describe()).info.recentActions[0]);
        const { workflowId } = started.action.workflow;
        scene.ledger.watch(workflowId);
        const code = await codeOf(temporalWith(undefined).workflow.getHandle(workflowId).result());
        return { code, runId: workflowId };
      } finally {
        await schedule.delete();
      }
    },
  },
  {
    tried: 'an exact copy under the id of alice’s run, which has ended',
    code: 'RunEnded',
    ...starting(
      ({ grant }) => grant,
      ({ victim }) => victim.id,
    ),
  },
];

function starting(
  grantOf: (scene: Scene, workflowId: string) => unknown,
  idOf: (scene: Scene) => string = (scene) => scene.freshId(),
): Pick<Attack, 'attempt'> {
  return {
    async attempt(scene) {
      const runId = idOf(scene);
      const client = scene.temporalWith(await grantOf(scene, runId));
      return { code: await codeOf(client.workflow.execute('runPipeline', scene.startOf(runId))), runId };
    },
  };
}

function boundTo(workflowId: string) {
  return (claims: object & { tctx?: object }) => ({ ...claims, tctx: { ...claims.tctx, workflowId } });
}

async function firstOf<T>(find: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 100; tries++) {
    const found = await find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('The schedule has started nothing within 10 s.');
}
