import { listen } from './listen.ts';
import type { WaitForRun } from './progress.ts';

/** One listening connection for all waits of a process. A wait ends early rather than late: whoever waits looks again. */
export function watchRuns(databaseUrl: string): { wait: WaitForRun; close(): Promise<void> } {
  const waiting = new Map<string, Set<() => void>>();

  const listening = listen(databaseUrl, 'waybill_run', (runId) => {
    const woken = runId === undefined ? [...waiting.values()] : [waiting.get(runId)];
    for (const set of woken) for (const wake of [...(set ?? [])]) wake();
  });

  return {
    wait: (runId, timeoutMs, signal) =>
      new Promise<void>((resolve) => {
        const set = waiting.get(runId) ?? new Set();
        waiting.set(runId, set);
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          set.delete(wake);
          if (set.size === 0) waiting.delete(runId);
          resolve();
        };
        const timer = setTimeout(wake, timeoutMs);
        set.add(wake);
        signal.addEventListener('abort', wake);
        if (signal.aborted) wake();
      }),
    close: () => listening.close(),
  };
}
