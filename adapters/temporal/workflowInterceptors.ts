import type { Headers } from '@temporalio/common';
import { AsyncLocalStorage, log, type WorkflowInterceptorsFactory, workflowInfo } from '@temporalio/workflow';
import { rejectsAttempt } from '../../domain/grants/attemptRejection.ts';
import { takeGrantOfChild } from '../../domain/grants/childGrant.ts';
import { type BindingFault, findMessageFault, findStartFault } from '../../domain/grants/grantBinding.ts';
import { replaceGrantActivity, replaceGrantUpdate } from '../../domain/grants/grantHeader.ts';
import {
  type CarriedGrant,
  forActivity,
  forContinuation,
  forOthers,
  grantOf,
  isContinued,
  withGrant,
} from './grantHeader.ts';

/**
 * Carries the grant from the start of a workflow to everything that the workflow starts. The SDK begins each
 * outbound call with empty headers, continue-as-new included, so each is filled here. Runs in the sandbox:
 * it carries, and does not verify; that is for activities. What it can see and they cannot is whether the grant was
 * signed for these arguments, this parent, this message; a fault goes along with the grant, and they refuse it.
 *
 * What the handler of a message starts carries what the message carried, and nothing where it carried nothing: its
 * sender acts there, not the principal that started the workflow. Only the update `waybill-replace-grant` replaces the workflow’s own
 * grant, and only once the local activity that verifies the new one has succeeded under it.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let own: CarriedGrant = {};
  const heard = new Set<unknown>();
  const ofMessage = new AsyncLocalStorage<Message>();

  function current(): CarriedGrant {
    const message = ofMessage.getStore();
    if (message?.isQuery) throw new Error(startedByQuery);
    return message?.carried ?? own;
  }

  function messageOf(name: string, { args, headers }: { args: unknown[]; headers: Headers }): Message {
    if (name === replaceGrantUpdate)
      return { carried: carriedGrantOf(headers, () => undefined), replacesGrant: true };
    return {
      carried: carriedGrantOf(headers, (grant) => findMessageFault(grant, { name, args }, own.grant, heard)),
    };
  }

  /** A local activity: any client of Temporal could complete another activity with a result of its own. */
  function verifying<T>(activityType: string, work: Promise<T>): Promise<T> {
    const message = ofMessage.getStore();
    if (!message?.replacesGrant || activityType !== replaceGrantActivity) return work;
    return work.then((result) => {
      message.verified = true;
      return result;
    });
  }

  return {
    inbound: [
      {
        execute(input, next) {
          const { namespace, workflowId, parent, firstExecutionRunId } = workflowInfo();
          const continued = isContinued(input.headers, firstExecutionRunId);
          const beginning = { namespace, workflowId, parent, continued, args: input.args };
          own = carriedGrantOf(input.headers, (grant) => findStartFault(grant, beginning));
          return next(input);
        },
        handleSignal: (input, next) =>
          ofMessage.run(messageOf(input.signalName, input), async () => {
            try {
              await next(input);
            } catch (error) {
              dropRefused(input.signalName, error);
            }
          }),
        handleQuery: (input, next) => ofMessage.run({ carried: {}, isQuery: true }, () => next(input)),
        handleUpdate: async (input, next) => {
          const message = messageOf(input.name, input);
          const answer = await ofMessage.run(message, () => next(input));
          if (message.verified) own = message.carried;
          return answer;
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(carrying(input, forActivity(current(), resetExecution()))),
        scheduleLocalActivity: (input, next) =>
          verifying(input.activityType, next(carrying(input, forActivity(current(), resetExecution())))),
        startChildWorkflowExecution(input, next) {
          const grant = takeGrantOfChild(input.options.workflowId);
          return next(carrying(input, grant === undefined ? forOthers(current()) : withGrant({}, grant)));
        },
        signalWorkflow: (input, next) => next(carrying(input, forOthers(current()))),
        // The workflow itself continues under its own grant, whichever message woke it.
        continueAsNew: (input, next) =>
          next(carrying(input, forContinuation(own, workflowInfo().firstExecutionRunId))),
      },
    ],
  };
};

/** Asked for each activity, since a reset execution begins with what the one before had decided. */
function resetExecution(): string | undefined {
  const { runId, originalExecutionRunId } = workflowInfo();
  return runId === originalExecutionRunId ? undefined : originalExecutionRunId;
}

/** A command in the answer to a query shuts the worker down (SDK 1.24), which then serves no workflow any more. */
const startedByQuery =
  'The handler of a query must not start anything. Start it in the handler of a signal or an update.';

interface Message {
  carried: CarriedGrant;
  isQuery?: true;
  /** Whether it is there to replace the workflow’s own grant, and whether that was verified. */
  replacesGrant?: true;
  verified?: true;
}

function carriedGrantOf(
  headers: Headers,
  faultOf: (grant: string) => BindingFault | undefined,
): CarriedGrant {
  const grant = grantOf(headers);
  if (grant === undefined) return {};
  const fault = faultOf(grant);
  return fault ? { grant, fault } : { grant };
}

function carrying<T extends { headers: Headers }>(input: T, carried: Headers): T {
  return { ...input, headers: { ...input.headers, ...carried } };
}

/**
 * A failure that leaves the handler of a signal fails the whole workflow, and any client of Temporal can send
 * one. So a signal with a rejected grant is dropped; the activity that rejected it has audited that.
 */
function dropRefused(signal: string, error: unknown): void {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('type' in cause && rejectsAttempt(cause.type)) {
      log.warn('dropped a signal with a rejected grant', { signal, code: cause.type });
      return;
    }
  }
  throw error;
}
