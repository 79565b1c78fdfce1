import type { Headers } from '@temporalio/common';
import { AsyncLocalStorage, type WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { adoptUpdate, grantHeader } from '../../domain/grantHeader.ts';

/**
 * Carries the grant from the start of a workflow to everything that the workflow starts. The SDK begins each
 * outbound call with empty headers, continue-as-new included, so each is filled here. Runs in the sandbox:
 * it carries, and does not verify; that is for activities.
 *
 * What the handler of a message starts carries what the message carried, and nothing where it carried nothing: its
 * sender acts there, not whoever started the workflow. Only the update `waybill-adopt` replaces the workflow’s own
 * grant, and only once its handler, which had the new one verified by an activity, has returned.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let own: Headers = {};
  const ofMessage = new AsyncLocalStorage<Headers>();

  function carry<T extends { headers: Headers }>(input: T): T {
    return { ...input, headers: { ...input.headers, ...(ofMessage.getStore() ?? own) } };
  }

  return {
    inbound: [
      {
        execute(input, next) {
          own = grantIn(input.headers);
          return next(input);
        },
        handleSignal: (input, next) => ofMessage.run(grantIn(input.headers), () => next(input)),
        handleQuery: (input, next) => ofMessage.run(grantIn(input.headers), () => next(input)),
        handleUpdate: async (input, next) => {
          const carried = grantIn(input.headers);
          const answer = await ofMessage.run(carried, () => next(input));
          if (input.name === adoptUpdate) own = carried;
          return answer;
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(carry(input)),
        scheduleLocalActivity: (input, next) => next(carry(input)),
        startChildWorkflowExecution: (input, next) => next(carry(input)),
        signalWorkflow: (input, next) => next(carry(input)),
        continueAsNew: (input, next) => next(carry(input)),
      },
    ],
  };
};

function grantIn(headers: Headers): Headers {
  const grant = headers[grantHeader];
  return grant ? { [grantHeader]: grant } : {};
}
