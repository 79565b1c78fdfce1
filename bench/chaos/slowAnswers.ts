import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DevStack } from '../../test/devStack.ts';

const main = fileURLToPath(new URL('slowAnswersMain.ts', import.meta.url));

/** Stops the stack’s own workers (SIGSTOP) and puts those of `slowAnswersMain.ts` in their place. Linux only. */
export async function startSlowWorkers(
  stack: DevStack,
  guard: 'guarded' | 'unguarded',
): Promise<{ pids(): number[]; stop(): Promise<void> }> {
  const own = [stack.pid('worker-1')!, stack.pid('worker-2')!];
  const environ = readFileSync(`/proc/${own[0]}/environ`, 'utf8').split('\0');
  const env = Object.fromEntries(
    environ.filter(Boolean).map((entry) => entry.split(/=(.*)/s) as [string, string]),
  );
  for (const pid of own) process.kill(pid, 'SIGSTOP');

  const workers: (ChildProcess | undefined)[] = [undefined, undefined];
  let stopped = false;
  function launch(slot: number): void {
    const child = fork(main, [stack.info().databaseUrl, guard], {
      env,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    workers[slot] = child;
    child.once('exit', () => {
      if (!stopped) launch(slot);
    });
  }
  for (const slot of workers.keys()) launch(slot);

  return {
    pids: () => workers.flatMap((worker) => (worker?.pid === undefined ? [] : [worker.pid])),
    async stop() {
      stopped = true;
      await Promise.all(
        workers.map(
          (worker) =>
            new Promise<void>((resolve) => {
              if (!worker || worker.exitCode !== null || worker.signalCode !== null) return resolve();
              worker.once('exit', () => resolve());
              worker.kill('SIGKILL');
            }),
        ),
      );
      for (const pid of own) process.kill(pid, 'SIGCONT');
    },
  };
}
