import type { Page } from '../../sdk/client.ts';

/** What a page shows, or that there is nothing. */
export function pageLines<T>(
  { items, nextCursor }: Page<T>,
  shown: (items: readonly T[], now: number) => string[],
  nothing: string,
): string[] {
  return items.length === 0 ? [nothing] : [...shown(items, Date.now()), ...moreLines(nextCursor)];
}

export function moreLines(nextCursor: string | null): string[] {
  return nextCursor === null ? [] : ['', `There are more: --cursor ${nextCursor}`];
}
