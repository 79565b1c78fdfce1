import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The user that runs a server that refuses root. */
export interface UnprivilegedUser {
  name: string;
  uid: number;
  gid: number;
}

const candidates = ['nobody', 'daemon', 'postgres'];

/**
 * `undefined` where we are not root and so stay who we are. The user must have an entry in the password file,
 * because `initdb` looks itself up there.
 */
export function unprivilegedUser(passwdFile = '/etc/passwd'): UnprivilegedUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entries = readFileSync(passwdFile, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of candidates) {
    const entry = entries.find((fields) => fields[0] === name);
    if (entry && Number(entry[2]) !== 0) return { name, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new Error(
    `PostgreSQL refuses to run as root, and there is no user ${candidates.join(', ')} to run it as. Start Waybill as an ordinary user.`,
  );
}

/** Whether `user` may pass through every directory above `path`. Always true for `undefined`, who is ourselves. */
export async function canReach(path: string, user: UnprivilegedUser | undefined): Promise<boolean> {
  if (!user) return true;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
