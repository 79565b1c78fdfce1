import type { Client } from '@temporalio/client';
import { carryingGrant, createCallerAuthenticator, type GrantMinter } from 'waybill/temporal';
import type { Expense } from './activities.ts';
import { approve, reimburse } from './workflows.ts';

export const taskQueue = 'expenses';

/** What HTTP handlers call, each with the access token of its request. */
export function openApi(options: { client: Client; minter: GrantMinter; issuerUrl: string }) {
  const { client, minter } = options;
  const callers = createCallerAuthenticator([
    { issuer: options.issuerUrl, audience: 'waybill', tenants: 'any' },
  ]);

  return {
    async request(token: string, expense: Expense): Promise<string> {
      const principal = await callers.authenticate(token);
      const workflowId = `expense-${expense.id}`;
      const args: [Expense] = [expense];
      const grant = await minter.mint({
        principal,
        workflowType: 'reimburse',
        workflowId,
        args,
        activities: ['pay'],
        lifetimeMs: 7 * 86_400_000,
      });
      await carryingGrant(grant, () => client.workflow.start(reimburse, { workflowId, taskQueue, args }));
      return workflowId;
    },

    async approve(token: string, workflowId: string): Promise<void> {
      const principal = await callers.authenticate(token);
      const grant = await minter.mint({
        principal,
        workflowType: 'reimburse',
        workflowId,
        message: { name: 'approve', args: [] },
        activities: [],
        lifetimeMs: 60_000,
      });
      await carryingGrant(grant, () => client.workflow.getHandle(workflowId).executeUpdate(approve));
    },
  };
}
