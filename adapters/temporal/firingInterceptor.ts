import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import { WaybillError } from '../../domain/errors.ts';
import { type FiringRef, scheduleOfFiring } from '../../domain/schedules/firing.ts';
import { scheduleOf } from '../../domain/schedules/schedule.ts';
import { toActivityFailure } from './stepInterceptor.ts';

/** The one firing that the attempt at hand may ask for. */
export interface CurrentFiring {
  schedule: string;
  execution: FiringRef;
}

const firings = new AsyncLocalStorage<CurrentFiring>();

export function currentFiring(): CurrentFiring {
  const firing = firings.getStore();
  if (!firing) throw new WaybillError('GrantMissing', { detail: 'asked for a firing outside of an attempt' });
  return firing;
}

/**
 * Stands before activities that carry no grant, in place of the guard that asks for one. Such an attempt may do one thing: ask the
 * API about the execution that Temporal itself says it belongs to. Which schedule that is of, and whether it is due, is for
 * the API to find out; here only what does not even look like a firing is turned away.
 */
export function firingInterceptor(context: Context): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        try {
          return await firings.run(firingIn(context), () => next(input));
        } catch (error) {
          throw toActivityFailure(error, context);
        }
      },
    },
  };
}

function firingIn({ info }: Context): CurrentFiring {
  const { workflowId = '', runId = '' } = info.workflowExecution ?? {};
  const temporalId = scheduleOfFiring(info.workflowType ?? '', workflowId);
  const place = temporalId === undefined ? undefined : scheduleOf(temporalId);
  if (!place) throw new WaybillError('FiringRefused', { detail: 'the workflow is named after no schedule' });
  return { schedule: place.id, execution: { workflowId, runId } };
}
