/** A secret from which the keys of all tenants are derived. Times are seconds since 1970. */
export interface WebhookRoot {
  id: string;
  createdAtS: number;
}

/**
 * How long a root that was superseded goes on signing beside its successor: longer than any delivery is retried, and long
 * enough for receivers that wrote a public key down instead of fetching it.
 */
export const overlapS = 7 * 86_400;

/** The roots that sign at a moment, newest first. An event carries a signature by each. */
export function rootsInUse<R extends WebhookRoot>(roots: readonly R[], nowS: number): R[] {
  const newestFirst = [...roots].sort((a, b) => b.createdAtS - a.createdAtS || (a.id < b.id ? 1 : -1));
  return newestFirst.filter((_, i) => i === 0 || nowS < newestFirst[i - 1]!.createdAtS + overlapS);
}
