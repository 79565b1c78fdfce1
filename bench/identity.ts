import { decisions } from './decisions.ts';
import { endToEnd } from './endToEnd.ts';
import type { Figure } from './figure.ts';
import { verifications } from './verifications.ts';
import { withdrawals } from './withdrawals.ts';

/** What it costs that identity reaches every task, and how soon a right that is withdrawn is gone. */
export async function identity(): Promise<Figure[]> {
  return [
    ...(await endToEnd()),
    ...(await decisions()),
    ...(await verifications()),
    ...(await withdrawals()),
  ];
}
