import type { DatabaseAddress } from '../address.ts';
import { listen } from '../listen.ts';

/** How often a watcher looks by itself, because a notification may be lost while the connection is away. */
const lookEveryMs = 2_000;

/**
 * One listening connection for all who watch runs in this process. It is opened with the first watcher, comes
 * back by itself when it breaks, and is closed with `close`, which also ends every watch.
 */
export function watchRuns(address: DatabaseAddress) {
  const watchers = new Map<string, Set<() => void>>();
  const closing = new AbortController();
  let listening: ReturnType<typeof listen> | undefined;

  function changed(runId: string | undefined): void {
    const woken = runId === undefined ? [...watchers.values()] : [watchers.get(runId) ?? []];
    for (const group of woken) for (const onChange of group) onChange();
  }

  return {
    watch(runId: string, onChange: () => void, signal: AbortSignal): void {
      const until = AbortSignal.any([signal, closing.signal]);
      if (until.aborted) return;
      listening ??= listen(address, 'waybill_run', changed);
      const group = watchers.get(runId) ?? new Set();
      watchers.set(runId, group.add(onChange));
      const look = setInterval(onChange, lookEveryMs);
      until.addEventListener('abort', () => {
        clearInterval(look);
        group.delete(onChange);
        if (group.size === 0 && watchers.get(runId) === group) watchers.delete(runId);
      });
    },
    /** Resolves at the next change, after `timeoutMs`, or when the signal aborts. May resolve early, never late. */
    wait(runId: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
      return new Promise((resolve) => {
        const done = new AbortController();
        const finish = () => {
          clearTimeout(timer);
          done.abort();
          resolve();
        };
        const timer = setTimeout(finish, timeoutMs);
        signal.addEventListener('abort', finish, { signal: done.signal });
        if (signal.aborted) return finish();
        this.watch(runId, finish, done.signal);
      });
    },
    async close(): Promise<void> {
      closing.abort();
      await listening?.close();
    },
  };
}
