import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import type { DevStack } from '../test/support/devStack.ts';

export const bareQueue = 'bench-bare';

/** The same server, a workflow of four empty activities and as many workers as Waybill has. */
export async function startBare(stack: DevStack): Promise<{ client: Client; stop(): Promise<void> }> {
  const address = stack.info().temporalAddress;
  const workers: ChildProcess[] = [];
  for (let i = 0; i < 2; i++) {
    const worker = fork(fileURLToPath(new URL('bareMain.ts', import.meta.url)), [address, bareQueue], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      // A session of its own, as Waybill’s workers have.
      detached: true,
    });
    await once(worker, 'message');
    workers.push(worker);
  }
  const connection = await Connection.connect({ address });
  return {
    client: new Client({ connection }),
    async stop() {
      await connection.close();
      await Promise.all(
        workers.map(async (worker) => {
          worker.disconnect();
          await once(worker, 'exit');
        }),
      );
    },
  };
}
