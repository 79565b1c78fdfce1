import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import { exportJWK } from 'jose';
import type { AuditEvent } from '../../../domain/audit.ts';
import {
  allowAll,
  createGrantMinter,
  createVerifier,
  currentCaller,
  type GrantTerms,
  identityPlugin,
  type Principal,
} from '../../../sdk/temporal.ts';
import { makeKey } from '../../support/keys.ts';
import { startTemporalForTest } from './server.ts';

export const alice = person('alice', 'acme');
export const bob = person('bob', 'acme');
export const dave = person('dave', 'globex');

function person(subject: string, tenant: string): Principal {
  const issuer = 'https://issuer.test';
  return { id: `prn_${subject}`, issuer, subject, kind: 'person', tenant, roles: ['data-engineer'] };
}

/** An effect of an activity: its label, who it was for, and the workflow that it belonged to. */
export interface Effect {
  label: string;
  by: string;
  workflowId: string;
}

const taskQueue = 'scripted';

/** Of a suite with a scripted worker: a worker that never answers ends as a failed test and keeps no process alive. */
export const suiteTimeoutMs = 180_000;
/** After `stop` the process ends by itself; this long after it, by force. */
const exitWithinMs = 30_000;

/** The scripted workflows on a real server, in a worker with the plugin and nothing else of Waybill. */
export async function startScripted() {
  const { env, binary } = await startTemporalForTest();
  const issuer = 'urn:test:app';
  const { privateKey } = await makeKey();
  const minter = await createGrantMinter({ issuer, key: await exportJWK(privateKey) });
  const effects: Effect[] = [];
  const audited: AuditEvent[] = [];
  const revoked = new Set<string>();

  const plugin = identityPlugin({
    verifier: createVerifier({ issuer, keys: minter.publicKeys }),
    authorizer: { ...allowAll, isRevoked: ({ claims }) => revoked.has(claims.sub) },
    audit: { append: async (event) => void audited.push(event) },
  });
  const bundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('scriptedWorkflows.ts', import.meta.url)),
    workflowInterceptorModules: [fileURLToPath(new URL('spyInterceptors.ts', import.meta.url))],
    plugins: [plugin],
    logger: new DefaultLogger('ERROR'),
  });
  let worker: Worker;
  let running: Promise<void>;

  async function startWorker(): Promise<void> {
    worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue,
      plugins: [plugin],
      workflowBundle: bundle,
      shutdownForceTime: '10s',
      activities: {
        async note(label: string, failing: number) {
          const { attempt, workflowExecution } = Context.current().info;
          if (attempt <= failing) throw new Error('not yet');
          effects.push({ label, by: currentCaller().subject, workflowId: workflowExecution!.workflowId });
        },
      },
    });
    running = worker.run();
    running.catch(() => {});
  }

  /** A worker that has failed is shutting down already. */
  async function stopWorker(): Promise<void> {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await running.catch((error: unknown) => console.error('The scripted worker failed.', error));
  }

  await startWorker();
  /** Carries what `carryingGrant` says; `bare` carries nothing by itself, as another program does. */
  const client = new Client({ connection: env.connection, plugins: [identityPlugin()] });
  const bare = new Client({ connection: env.connection });

  return {
    env,
    binary,
    client,
    bare,
    taskQueue,
    revoked,
    audited,
    mint: (terms: Partial<GrantTerms> & Pick<GrantTerms, 'workflowId'>) =>
      minter.mint({ principal: alice, workflowType: 'scripted', activities: ['note'], ...terms }),
    /** From where it made its first decision, as an operator may who reaches Temporal. */
    async reset(workflowId: string, runId: string): Promise<void> {
      const { events } = await bare.workflow.getHandle(workflowId, runId).fetchHistory();
      const decided = events!.find(({ workflowTaskCompletedEventAttributes: done }) => done)!;
      await env.connection.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId, runId },
        workflowTaskFinishEventId: decided.eventId!,
        requestId: randomUUID(),
        reason: 'test',
      });
    },
    /** Who each label was done for, in workflows with ids that begin so. */
    effectsOf: (workflowId: string) =>
      effects
        .filter((one) => one.workflowId.startsWith(workflowId))
        .map(({ label, by }) => `${label} for ${by}`),
    refusalsOf: (workflowId: string) =>
      audited
        .filter(({ runId }) => runId?.startsWith(workflowId))
        .map(({ actor, detail }) => `${detail.code}${actor ? ` of ${actor.id}` : ''}`),
    /** The one after it knows nothing, and replays. */
    async restartWorker() {
      await stopWorker();
      await startWorker();
    },
    async stop() {
      setTimeout(() => {
        console.error(`The scripted worker still holds this process ${exitWithinMs} ms after its stop.`);
        process.exit(1);
      }, exitWithinMs).unref();
      await stopWorker();
      await env.teardown();
    },
  };
}

export type Scripted = Awaited<ReturnType<typeof startScripted>>;
