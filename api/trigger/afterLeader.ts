/**
 * Lets the first of several that want the same go ahead, and the others follow once it is done, whatever became of
 * it; they then find what it left. Only saves work: that one run comes of one key is the database’s doing.
 */
export function afterLeader() {
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
