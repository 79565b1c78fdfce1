import {
  ApplicationFailure,
  CancellationScope,
  proxyActivities,
  proxyLocalActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { aheadSteps, type StepCall, type StepsAhead } from '../domain/runs/run.ts';
import { fetchQueueOf } from '../domain/taskQueues.ts';
import { asCancelled, isRetryable } from './failure.ts';
import { publishes, type RunInput } from './messages.ts';
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
      takeAhead(input, step, argument) ??
      uncancelled(() => local(argument)).catch((error: unknown) => {
        if (!isRetryable(error)) throw error;
        return (remote(step) as Step)(argument);
      });
    return call as Activities[K];
  }

  /** Has the worker take the steps after it too, where the input is one batch. */
  function ingestAhead({ after }: { after: number }): ReturnType<Activities['ingest']> {
    const { ingest } = proxyLocalActivities<Activities>(localTimeouts.ingest);
    return uncancelled(() => ingest({ after, ahead: stepsAfterIngest(input) })).then(
      ({ ahead, ...arrived }) => {
        if (ahead) steppedAhead.set(input, ahead);
        return arrived;
      },
      (error: unknown) => {
        if (!isRetryable(error)) throw error;
        return remote('ingest')({ after });
      },
    );
  }

  const step = input.useLocalActivities ? local : remote;
  return {
    fetch: remote('fetch'),
    ingest: input.useLocalActivities ? ingestAhead : remote('ingest'),
    validate: step('validate'),
    // Remote: it may wait long for another system.
    enrich: remote('enrich'),
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

/** The steps of a small run up to its end, or to the gate before which it waits. A call to another system is an activity of its own. */
function stepsAfterIngest(input: RunInput): readonly StepCall[] {
  if (input.enriches) return [];
  const moved = [
    ['validate', { seq: 0 }],
    ['transform', { seq: 0 }],
  ] as const;
  if (input.gate === 'publish') return moved;
  const stored = publishes(input) ? (['publish'] as const) : (['store', { seq: 0 }] as const);
  return [...moved, stored, ['finalize', { state: 'completed' }]];
}

const steppedAhead = new WeakMap<RunInput, StepsAhead>();

/** What came of a step that was taken ahead; each is told once, for a run that was suspended takes its steps again. */
function takeAhead(input: RunInput, step: string, argument: unknown): Promise<unknown> | undefined {
  const ahead = steppedAhead.get(input);
  const name = aheadSteps.find((one) => one === step);
  if (!ahead || !name || !isCompletion(step, argument)) return undefined;
  if (ahead.failed?.step === name) {
    steppedAhead.delete(input);
    const { code: type, message } = ahead.failed;
    return Promise.reject(ApplicationFailure.create({ type, message, nonRetryable: true }));
  }
  if (!(name in ahead.results)) return undefined;
  const { [name]: result, ...others } = ahead.results;
  steppedAhead.set(input, { ...ahead, results: others });
  return Promise.resolve(result);
}

/** A run may end in another way than it was about to when the steps were taken. */
function isCompletion(step: string, argument: unknown): boolean {
  return step !== 'finalize' || (argument as { state?: unknown }).state === 'completed';
}

/**
 * Does not cancel a local step that has begun, since it is short. A cancellation between the end of the step and the moment in which
 * the workflow learns of it makes the SDK (1.24) fail the workflow task, and its worker may then never continue that run.
 */
function uncancelled<T>(work: () => Promise<T>): Promise<T> {
  return CancellationScope.current().consideredCancelled ? work() : CancellationScope.nonCancellable(work);
}
