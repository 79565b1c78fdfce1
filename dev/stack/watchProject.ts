import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageFile } from './nodeService.ts';
import { ProjectError } from './prepareDatabase.ts';
import type { RunningStack } from './startStack.ts';
import { watchFolders } from './watchFolders.ts';

/**
 * Reloads the stack when a file that the project loads changes; in a clone of Waybill, also when one of its own
 * sources does. Policies are only applied, since every process takes them up by itself.
 * Changes that come together are one, and those during a reload wait for the next. A project that does not load is
 * reported, the one before goes on, and then any source of the project may mend it.
 */
export function watchProject(
  folder: string,
  stack: Pick<RunningStack, 'files' | 'reload' | 'apply'>,
  say: (line: string) => void,
): { close(): void } {
  const root = realpathSync(resolve(folder));
  let timer: NodeJS.Timeout | undefined;
  let reloading = Promise.resolve();
  let code = false;
  let broken = false;
  const onChange = (name: string) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      reloading = reloading.then(async () => {
        say(`${name} changed; loading the project again.`);
        const load = code ? stack.reload : stack.apply;
        code = false;
        broken = await load().then(
          () => false,
          (error: Error) => {
            say(`Not loaded: ${error.message}`);
            return true;
          },
        );
        if (!broken) say('Loaded.');
      });
    }, settleMs);
  };
  const own = existsSync(packageFile('.git')) ? ownSources.map(packageFile) : [];
  const watchers = [
    watchFolders(root, ignored, (name) => {
      const loads = isModule(name) || (isSource(name) && (broken || stack.files().has(join(root, name))));
      if (!loads && !isPolicy(name)) return;
      code ||= loads;
      onChange(name);
    }),
    ...own.map((path) =>
      watchFolders(path, ignored, (name) => {
        if (!isSource(name)) return;
        code = true;
        onChange(name);
      }),
    ),
  ];
  return {
    close() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Loads the project, and where it is broken says why and tries again after each changed source. */
export async function loadWhenMended<T>(
  folder: string,
  load: () => Promise<T>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<T> {
  let changed = () => {};
  const watching = watchFolders(resolve(folder), ignored, (name) => {
    if (isSource(name) || isPolicy(name)) changed();
  });
  const stop = () => changed();
  signal.addEventListener('abort', stop);
  try {
    for (;;) {
      // A file that is saved while the project loads counts too.
      const change = new Promise<void>((done) => {
        changed = done;
      });
      try {
        return await load();
      } catch (error) {
        if (!(error instanceof ProjectError)) throw error;
        say(`The project does not load: ${error.message}`);
        say('Mend it and save: the start goes on with the next changed file.');
        await change;
        signal.throwIfAborted();
        await new Promise((done) => setTimeout(done, settleMs));
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
    watching.close();
  }
}

/** A module of its own, which need not have been there at the last load. */
function isModule(name: string): boolean {
  return /^pipelines\/[^/]+\.ts$/.test(name) && isSource(name);
}

function isSource(name: string): boolean {
  return /\.([cm]?[jt]s|json)$/.test(name) && !/\.(d|test)\.[cm]?ts$/.test(name) && !isPolicy(name);
}

function isPolicy(name: string): boolean {
  return /^policies\/.*\.(cedar|json)$/.test(name);
}

const settleMs = 200;
const ignored = new Set(['node_modules', '.git', '.waybill']);
const ownSources = [
  'activities',
  'adapters',
  'api',
  'application',
  'connectors',
  'domain',
  'engine',
  'sdk',
  'workers',
];
