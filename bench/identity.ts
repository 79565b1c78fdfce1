import { decisions } from './decisions.ts';
import { endToEnd } from './endToEnd.ts';
import type { Figure } from './figure.ts';
import { revocations } from './revocations.ts';
import { verifications } from './verifications.ts';

/** What it costs that identity reaches every task, and how soon a revoked right is gone. */
export async function identity(): Promise<Figure[]> {
  return [
    ...(await endToEnd()),
    ...(await decisions()),
    ...(await verifications()),
    ...(await revocations()),
  ];
}
