import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { packageFile } from './nodeService.ts';
import type { RunningStack } from './startStack.ts';
import { watchFolders } from './watchFolders.ts';

/**
 * Reloads the stack when a file of the project changes; in a clone of Waybill, also when one of its own does. Policies
 * are only applied, since every process takes them up by itself.
 * Changes that come together are one, and those during a reload wait for the next. A project that does not load
 * is said, and the one before it goes on.
 */
export function watchProject(
  folder: string,
  stack: Pick<RunningStack, 'reload' | 'apply'>,
  say: (line: string) => void,
): { close(): void } {
  let timer: NodeJS.Timeout | undefined;
  let reloading = Promise.resolve();
  let code = false;
  const onChange = (name: string) => {
    if (!/\.(ts|cedar)$|^policies\/.*\.json$/.test(name)) return;
    code ||= name.endsWith('.ts');
    clearTimeout(timer);
    timer = setTimeout(() => {
      reloading = reloading.then(async () => {
        say(`${name} changed; loading the project again.`);
        const load = code ? stack.reload : stack.apply;
        code = false;
        await load().then(
          () => say('Loaded.'),
          (error: Error) => say(`Not loaded: ${error.message}`),
        );
      });
    }, settleMs);
  };
  const own = existsSync(packageFile('.git')) ? ownSources.map(packageFile) : [];
  const watchers = [resolve(folder), ...own].map((path) => watchFolders(path, ignored, onChange));
  return {
    close() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

const settleMs = 200;
const ignored = new Set(['node_modules', '.git', '.waybill']);
const ownSources = ['domain', 'activities', 'adapters', 'api', 'sdk', 'workers'];
