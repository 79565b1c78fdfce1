import { CancellationScope, proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { fetchQueueOf } from '../domain/taskQueues.ts';
import { asCancelled, isRetryable } from './failure.ts';
import type { RunInput } from './messages.ts';
import { localTimeouts, timeouts } from './timeouts.ts';

type Step = (argument: unknown) => Promise<unknown>;

/** The steps of a run: local activities inside the workflow task where `useLocalActivities` is set, activities otherwise. */
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
      uncancelled(() => local(argument)).catch((error: unknown) => {
        if (!isRetryable(error)) throw error;
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
    // Remote: concurrent local activities do not replay in the order in which they ended, and messages arrive at any time.
    decide: remote('decide'),
    processApprovalTimers: remote('processApprovalTimers'),
    publish: step('publish'),
    suspend: remote('suspend'),
    // Always local: every client that reaches Temporal can complete a waiting activity with a result of its choice.
    replaceGrant: proxyLocalActivities<Activities>(localTimeouts.replaceGrant).replaceGrant,
    resume: remote('resume'),
    finalize: local('finalize'),
  };
}

/**
 * Does not cancel a local step that has begun, since it is short. A cancellation between the end of the step and the moment in which
 * the workflow learns of it makes the SDK (1.24) fail the workflow task, and its worker may then never continue that run.
 */
function uncancelled<T>(work: () => Promise<T>): Promise<T> {
  return CancellationScope.current().consideredCancelled ? work() : CancellationScope.nonCancellable(work);
}
