import { CancellationScope, proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { fetchQueueOf } from '../domain/taskQueues.ts';
import { asCancelled, mayPass } from './failure.ts';
import type { RunInput } from './messages.ts';
import { localTimeouts, timeouts } from './timeouts.ts';

type Step = (argument: unknown) => Promise<unknown>;

/** The steps of a run as it may call them: of a quick run near, inside the workflow task; of others as activities. */
export function stepsOf(input: RunInput): Activities {
  function remote<K extends keyof typeof timeouts>(step: K): Activities[K] {
    const taskQueue = step === 'fetch' ? fetchQueueOf(workflowInfo().taskQueue) : undefined;
    const proxy = proxyActivities<Activities>({ ...timeouts[step], ...(taskQueue && { taskQueue }) })[step];
    const call: Step = (argument) =>
      (proxy as Step)(argument).catch((error: unknown) => {
        throw asCancelled(error);
      });
    return call as Activities[K];
  }

  function local<K extends keyof typeof timeouts & keyof typeof localTimeouts>(step: K): Activities[K] {
    const local = proxyLocalActivities<Activities>(localTimeouts[step])[step] as Step;
    const call: Step = (argument) =>
      toItsEnd(() => local(argument)).catch((error: unknown) => {
        if (!mayPass(error)) throw error;
        return (remote(step) as Step)(argument);
      });
    return call as Activities[K];
  }

  const step = input.useLocalActivities ? local : remote;
  return {
    fetch: remote('fetch'),
    ingest: step('ingest'),
    validate: step('validate'),
    transform: step('transform'),
    store: step('store'),
    gate: step('gate'),
    // Far: local activities side by side do not replay in the order in which they ended, and messages come when they like.
    decide: remote('decide'),
    lapse: remote('lapse'),
    publish: step('publish'),
    suspend: remote('suspend'),
    // Never far: whoever reaches Temporal can complete an activity that waits there as they like.
    adopt: proxyLocalActivities<Activities>(localTimeouts.adopt).adopt,
    resume: remote('resume'),
    finalize: local('finalize'),
  };
}

/**
 * A near step that has begun is not asked to end, since it is short. Asked to after it has ended, which its workflow hears of a moment
 * later, the SDK (1.24) fails the workflow task, and its worker may then never go on with that run.
 */
function toItsEnd<T>(work: () => Promise<T>): Promise<T> {
  return CancellationScope.current().consideredCancelled ? work() : CancellationScope.nonCancellable(work);
}
