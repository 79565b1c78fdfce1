import {
  ApplicationFailure,
  condition,
  defineUpdate,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import type { Principal } from 'waybill/temporal';
import { verifiedCaller } from 'waybill/temporal/workflow';
import type { activities, Expense } from './activities.ts';

const { pay } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export const approve = defineUpdate<void>('approve');

/** Pays an expense once a steward other than the requester has approved it. */
export async function reimburse(expense: Expense): Promise<string> {
  let approver: Principal | undefined;
  const requester = verifiedCaller();
  setHandler(approve, async () => {
    // Within the handler of a message the caller is its sender.
    const caller = await verifiedCaller();
    if (caller.id === (await requester).id) throw ApplicationFailure.nonRetryable('Ask another person.');
    if (!caller.roles.includes('data-steward')) throw ApplicationFailure.nonRetryable('Ask a steward.');
    approver = caller;
  });
  await requester;
  await condition(() => approver !== undefined);
  return pay(expense, approver!.subject);
}
