import { InvalidArgumentError } from 'commander';

/** How many items a list may show at once. */
export function pageLimit(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 100)
    throw new InvalidArgumentError('It is a number from 1 to 100.');
  return n;
}
