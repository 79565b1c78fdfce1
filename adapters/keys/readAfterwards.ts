/**
 * Answers each call by a read that began after the call, and never reads twice at a time: those who ask while a read is
 * under way share the next one. So anybody may ask as often as they like, and nobody gets an answer from before.
 */
export function readAfterwards<T>(read: () => Promise<T>): () => Promise<T> {
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
