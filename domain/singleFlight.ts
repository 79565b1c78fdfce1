/**
 * Of several concurrent calls with one key, the first goes ahead; the others follow once it is done, whatever its outcome, and find
 * what it left. This only saves work: that one key has one effect is for the database to ensure.
 */
export function singleFlight() {
  const leaders = new Map<string, Promise<unknown>>();
  return async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const leader = leaders.get(key);
    if (leader) {
      await leader.catch(() => {});
      return work();
    }
    const leading = work();
    leaders.set(key, leading);
    try {
      return await leading;
    } finally {
      leaders.delete(key);
    }
  };
}
