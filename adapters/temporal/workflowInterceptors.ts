import type { Headers } from '@temporalio/common';
import type { WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { grantHeader } from '../../domain/grantHeader.ts';

/**
 * Carries the grant from the start of a workflow to everything that the workflow starts. The SDK begins each
 * outbound call with empty headers, continue-as-new included, so each is filled here. Runs in the sandbox:
 * it carries, and does not verify; that is for activities.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let carried: Headers = {};

  function carry<T extends { headers: Headers }>(input: T): T {
    return { ...input, headers: { ...input.headers, ...carried } };
  }

  return {
    inbound: [
      {
        execute(input, next) {
          const grant = input.headers[grantHeader];
          carried = grant ? { [grantHeader]: grant } : {};
          return next(input);
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
