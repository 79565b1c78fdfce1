import { upsertMemo, type WorkflowInterceptorsFactory } from '@temporalio/workflow';

/** Keeps in the memo which signals came with which headers, for a test to see. */
export const interceptors: WorkflowInterceptorsFactory = () => {
  const seen: Record<string, string[]> = {};
  return {
    inbound: [
      {
        handleSignal(input, next) {
          seen[input.signalName] = Object.keys(input.headers);
          upsertMemo({ seen });
          return next(input);
        },
      },
    ],
  };
};
