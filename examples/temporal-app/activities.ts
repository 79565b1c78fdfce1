import { currentCaller } from 'waybill/temporal';

export interface Expense {
  id: string;
  purpose: string;
  amount: number;
}

/** Each begins only once its grant was verified, and whoever it names may still do this. */
export const activities = {
  async pay({ id, amount }: Expense, approvedBy: string): Promise<string> {
    const { subject, tenant } = currentCaller();
    return `${id}: paid ${amount} to ${subject} of ${tenant}, approved by ${approvedBy}`;
  },
};
