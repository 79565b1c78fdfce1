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
