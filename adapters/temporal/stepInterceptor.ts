import { ApplicationFailure, CancelledFailure, type Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import { WaybillError } from '../../domain/errors.ts';
import { activityFailureOf, waitsOf } from './activityFailure.ts';

const heartbeatMs = 1_000;

/**
 * How every step of a pipeline is run, once its grant has let it begin. While it works, its attempt is heartbeat each
 * second; records are worked on in other threads, so that a busy step does not look like a dead one. Whatever
 * it throws becomes one of our codes.
 */
export function stepInterceptor(context: Context): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        const waits = waitsOf(context);
        const beat = setInterval(() => context.heartbeat(waits), heartbeatMs);
        try {
          return await next(input);
        } catch (error) {
          throw named(error, context);
        } finally {
          clearInterval(beat);
        }
      },
    },
  };
}

/** Whatever was thrown, as Temporal is told of it where no guard stands around. */
export function toActivityFailure(error: unknown, context: Context): unknown {
  const known = named(error, context);
  return known instanceof WaybillError ? activityFailureOf(known, context) : known;
}

/** One of Temporal’s, or one of our codes, which the guard around this audits and passes on. */
function named(error: unknown, context: Context): unknown {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (context.cancellationSignal.aborted)
    return new CancelledFailure('The step was cancelled.', [], error as Error);
  return error instanceof WaybillError ? error : new WaybillError('Internal', { cause: error });
}
