import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Service, ServiceName } from './service.ts';

export interface NodeServiceOptions {
  name: ServiceName;
  /** From the root of the package: `api/main.ts`. */
  entry: string;
  env: Readonly<Record<string, string | undefined>>;
  graceMs: number;
  /** Modules that its threads load first too, from the root of the package. */
  imports?: readonly string[];
}

/**
 * A Node process of ours: it sends `{ ready: true }` over its IPC channel once it serves, and ends when the channel
 * closes, which it does with its parent, however that ends.
 */
export function nodeService({ name, entry, env, graceMs, imports = [] }: NodeServiceOptions): Service {
  return {
    name,
    stopSignal: 'SIGTERM',
    graceMs,
    spawn(logFd) {
      const flags = [...nodeFlags, ...importFlags('dev/stack/releaseMemory.ts', ...imports)];
      return spawn(process.execPath, [...flags, packageFile(entry)], {
        env,
        stdio: ['ignore', logFd, logFd, 'ipc'],
        // Ctrl-C in the terminal is for the supervisor, which stops everything in order.
        detached: true,
      });
    },
    ready: (child) => untilItSaysSo(child, name),
  };
}

export const nodeFlags = ['--disable-warning=ExperimentalWarning'];

/** So that these modules are loaded first, in each thread. */
export function importFlags(...paths: readonly string[]): string[] {
  return paths.flatMap((path) => ['--import', pathToFileURL(packageFile(path)).href]);
}

export function packageFile(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

const readyMs = 180_000;

function untilItSaysSo(child: ChildProcess, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(new Error(`${name} was not ready after ${readyMs / 1000} s`)),
      readyMs,
    );
    const onMessage = (message: unknown) => {
      if (typeof message === 'object' && message !== null && 'ready' in message && message.ready) settle();
    };
    const onExit = (code: number | null, signal: string | null) =>
      settle(new Error(`${name} ended while it started (${code ?? signal})`));
    function settle(error?: Error) {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      if (error) reject(error);
      else resolve();
    }
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}
