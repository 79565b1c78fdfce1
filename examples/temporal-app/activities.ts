import { currentCaller } from 'waybill/temporal';

export interface Expense {
  id: string;
  purpose: string;
  amount: number;
}

/** Each starts only after the worker has verified its grant and that its principal may still do this. */
export const activities = {
  async pay({ id, amount }: Expense, approvedBy: string): Promise<string> {
    const { subject, tenant } = currentCaller();
    return `${id}: paid ${amount} to ${subject} of ${tenant}, approved by ${approvedBy}`;
  },
};
