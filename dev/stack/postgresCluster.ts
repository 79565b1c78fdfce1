import { chmod, chown, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runToEnd } from '../binaries/runToEnd.ts';
import { ensurePasswords, hasPasswords, type Passwords } from './passwords.ts';
import { canReach, type UnprivilegedUser } from './unprivileged.ts';

/** Where root's clusters go when their user cannot reach the home: survives a reboot, unlike a temporary folder. */
export const elsewhere = '/var/lib/waybill-dev';

/**
 * Chooses where the cluster of a home lies: in the home, or, where its user could not pass through the folders
 * above, below `elsewhere` under the hash of the home.
 */
export async function clusterFolder(
  home: { path: string; hash: string },
  user: UnprivilegedUser | undefined,
): Promise<string> {
  const inside = join(home.path, 'postgres');
  return (await canReach(inside, user)) ? inside : join(elsewhere, home.hash);
}

/**
 * Makes the cluster if there is none yet: UTF-8, the builtin C.UTF-8 locale (the same order on every machine),
 * SCRAM for every connection. An initialisation that was interrupted starts again; so does a cluster elsewhere of
 * which the home was deleted, because its passwords are gone.
 */
export async function ensureCluster(
  folder: string,
  passwordFolder: string,
  initdb: string,
  user: UnprivilegedUser | undefined,
  durable: boolean,
): Promise<Passwords> {
  const data = join(folder, 'data');
  const known = hasPasswords(passwordFolder);
  const made = await stat(data).catch(() => undefined);
  if (known && made) return ensurePasswords(passwordFolder);
  if (made && !folder.startsWith(elsewhere)) {
    throw new Error(
      `${passwordFolder} is gone, so the database of this home cannot be opened. Delete the home to start again from nothing.`,
    );
  }
  await rm(folder, { recursive: true, force: true });
  const passwords = ensurePasswords(passwordFolder);
  await initialise(folder, initdb, passwords.of('postgres'), user, durable);
  // The rename is what says that the cluster is whole.
  await rename(join(folder, 'data.partial'), data);
  return passwords;
}

async function initialise(
  folder: string,
  initdb: string,
  password: string,
  user: UnprivilegedUser | undefined,
  durable: boolean,
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true, mode: 0o711 });
  await mkdir(folder, { mode: 0o700 });
  const pwfile = join(folder, 'superuser');
  await writeFile(pwfile, password, { mode: 0o600 });
  if (user) {
    await chown(folder, user.uid, user.gid);
    await chown(pwfile, user.uid, user.gid);
  }
  await runToEnd(
    initdb,
    [
      `--pgdata=${join(folder, 'data.partial')}`,
      '--username=postgres',
      `--pwfile=${pwfile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      ...(durable ? [] : ['--no-sync']),
    ],
    {
      ...(user ? { uid: user.uid, gid: user.gid } : {}),
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
    },
  );
  await rm(pwfile);
  await chmod(folder, 0o700);
}
