import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DevStack } from '../../test/support/devStack.ts';

const main = fileURLToPath(new URL('slowAnswersMain.ts', import.meta.url));

/** Two workers of `slowAnswersMain.ts`, for a stack that has none of its own (`WAYBILL_WORKERS=0`). */
export async function startSlowWorkers(
  stack: DevStack,
  guard: 'guarded' | 'unguarded' | 'unclaimed',
): Promise<{ pids(): number[]; stop(): Promise<void> }> {
  const env = {
    PATH: process.env.PATH,
    ...(JSON.parse(readFileSync(join(stack.home, 'keys/worker.json'), 'utf8')) as Record<string, string>),
  };
  const workers = new Set<ChildProcess>();
  let stopped = false;

  function launch(): ChildProcess {
    const child = fork(main, [stack.info().databaseUrl, guard], {
      env,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    workers.add(child);
    child.once('exit', () => {
      workers.delete(child);
      if (!stopped) launch();
    });
    return child;
  }
  await Promise.all([launch(), launch()].map((child) => once(child, 'message')));

  return {
    pids: () => [...workers].flatMap(({ pid }) => pid ?? []),
    async stop() {
      stopped = true;
      await Promise.all(
        [...workers].map((child) => {
          const ended = once(child, 'exit');
          child.kill('SIGKILL');
          return ended;
        }),
      );
    },
  };
}
