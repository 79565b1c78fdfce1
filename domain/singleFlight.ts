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

/**
 * Answers each call by a read that began after the call, and runs one read at a time: calls during a read share the next one. So a
 * caller may ask as often as it likes, and never gets an answer that is older than its question. Throws what the read throws.
 */
export function coalesceReads<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  return () => {
    next ??= (async () => {
      await running?.catch(() => {});
      running = next;
      next = undefined;
      return read();
    })();
    return next;
  };
}
