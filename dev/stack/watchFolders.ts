import { type FSWatcher, readdirSync, watch } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * Watches a folder and all below it, those that come later too. Each folder has a watcher of its own: Node’s recursive
 * one follows files by their inode on Linux, and so misses an editor that saves by renaming a new file over the old.
 * `onChange` is given the path relative to `root`.
 */
export function watchFolders(
  root: string,
  ignored: ReadonlySet<string>,
  onChange: (path: string) => void,
): { close(): void } {
  const watchers = new Map<string, FSWatcher>();
  let closed = false;

  function add(folder: string): void {
    if (closed || watchers.has(folder)) return;
    try {
      const watcher = watch(folder, (_, name) => {
        if (name === null || ignored.has(name)) return;
        onChange(relative(root, join(folder, name)));
        add(join(folder, name));
      });
      watcher.on('error', () => drop(folder));
      watchers.set(folder, watcher);
      for (const entry of readdirSync(folder, { withFileTypes: true }))
        if (entry.isDirectory() && !ignored.has(entry.name)) add(join(folder, entry.name));
    } catch {
      // A file, or a folder that is gone already: there is nothing in it to watch.
      drop(folder);
    }
  }

  function drop(folder: string): void {
    watchers.get(folder)?.close();
    watchers.delete(folder);
  }

  add(root);
  return {
    close() {
      closed = true;
      for (const folder of [...watchers.keys()]) drop(folder);
    },
  };
}
