import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import { WaybillError } from '../../domain/errors.ts';
import type { AuditLog } from '../../domain/ports/audit.ts';
import { type DeliveryRef, deliveryOf } from '../../domain/webhooks/webhookDelivery.ts';
import { toActivityFailure } from './stepInterceptor.ts';

const deliveries = new AsyncLocalStorage<DeliveryRef>();

/** The one delivery that the attempt at hand is about. */
export function currentDelivery(): DeliveryRef {
  const delivery = deliveries.getStore();
  if (!delivery)
    throw new WaybillError('GrantMissing', { detail: 'asked for a delivery outside of an attempt' });
  return delivery;
}

/**
 * Guards the delivery activities, which carry no grant. An attempt may touch one row: the delivery that its workflow is named
 * after, as Temporal itself says. Another workflow, or one that is named after an unknown delivery, is rejected and audited.
 */
export function deliveryInterceptor(context: Context, audit: AuditLog): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        try {
          return await deliveries.run(deliveryFor(context), () => next(input));
        } catch (error) {
          const failure = toActivityFailure(error, context);
          if (isRefused(error)) await audit.append(refusalOf(error, context)).catch(() => {});
          throw failure;
        }
      },
    },
  };
}

function deliveryFor({ info }: Context): DeliveryRef {
  const delivery = deliveryOf(info.workflowType ?? '', info.workflowExecution?.workflowId ?? '');
  if (!delivery)
    throw new WaybillError('GrantMissing', { detail: 'the workflow is named after no delivery' });
  return delivery;
}

function isRefused(error: unknown): error is WaybillError {
  return error instanceof WaybillError && ['GrantMissing', 'DeliveryNotFound'].includes(error.code);
}

function refusalOf({ code }: WaybillError, { info }: Context) {
  const workflowId = info.workflowExecution?.workflowId ?? '';
  const { namespace, workflowType, activityType } = info;
  return {
    action: 'attempt.denied',
    outcome: 'denied',
    tenant: null,
    actor: null,
    runId: null,
    txn: null,
    detail: { namespace, workflowId, workflowType, activityType, code },
  } as const;
}
