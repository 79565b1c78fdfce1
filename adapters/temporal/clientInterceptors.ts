import { AsyncLocalStorage } from 'node:async_hooks';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { withGrant } from './grantHeader.ts';

const carried = new AsyncLocalStorage<string>();

/** Whatever `work` starts or sends through a client with the interceptor carries this grant. */
export function carryingGrant<T>(grant: string, work: () => Promise<T>): Promise<T> {
  return carried.run(grant, work);
}

/**
 * Adds the grant of the surrounding `carryingGrant` to starts and messages; without one it adds nothing. A schedule
 * is left alone: it would keep the grant, and each later trigger or update would act as its creator.
 */
export const grantClientInterceptor: WorkflowClientInterceptor = {
  startWithDetails: (input, next) => next(carry(input)),
  signalWithStart: (input, next) => next(carry(input)),
  signal: (input, next) => next(carry(input)),
  query: (input, next) => next(carry(input)),
  startUpdate: (input, next) => next(carry(input)),
  startUpdateWithStart(input, next) {
    const grant = carried.getStore();
    if (!grant) return next(input);
    return next({
      ...input,
      workflowStartHeaders: withGrant(input.workflowStartHeaders, grant),
      updateHeaders: withGrant(input.updateHeaders, grant),
    });
  },
};

function carry<T extends { headers: Parameters<typeof withGrant>[0] }>(input: T): T {
  const grant = carried.getStore();
  return grant ? { ...input, headers: withGrant(input.headers, grant) } : input;
}
