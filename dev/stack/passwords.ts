import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeAtomically } from '../../cli/writeAtomically.ts';

/** Who connects to the database of a home. */
export const databaseRoles = [
  'postgres',
  'waybill_migrator',
  'waybill_api',
  'waybill_worker',
  'waybill_relay',
] as const;
export type DatabaseRole = (typeof databaseRoles)[number];

/**
 * A file for each role, which its owner alone may read: a process is told where its own is, and reads it at each connect,
 * so that replacing the file (and telling PostgreSQL) rotates the password. Made where they are missing.
 */
export interface Passwords {
  fileOf(role: DatabaseRole): string;
  of(role: DatabaseRole): string;
}

export function ensurePasswords(folder: string): Passwords {
  const fileOf = (role: DatabaseRole) => join(folder, role);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  takeOver(`${folder}.json`, fileOf);
  for (const role of databaseRoles) {
    if (!existsSync(fileOf(role))) writeAtomically(fileOf(role), randomBytes(24).toString('base64url'));
  }
  return { fileOf, of: (role) => readFileSync(fileOf(role), 'utf8').trimEnd() };
}

/** `postgres://role:password@127.0.0.1:port/database`, with the password of now. */
export function databaseUrl(
  passwords: Passwords,
  port: number,
  role: DatabaseRole,
  database: string,
): string {
  return `postgres://${role}:${encodeURIComponent(passwords.of(role))}@127.0.0.1:${port}/${database}`;
}

/** Whether there is anything with which to open a cluster that is there already. */
export function hasPasswords(folder: string): boolean {
  return existsSync(join(folder, 'postgres')) || existsSync(`${folder}.json`);
}

/** Homes used to keep all of them in one file. */
function takeOver(file: string, fileOf: Passwords['fileOf']): void {
  if (!existsSync(file)) return;
  const known = JSON.parse(readFileSync(file, 'utf8')) as Partial<Record<DatabaseRole, string>>;
  for (const role of databaseRoles) {
    if (known[role] && !existsSync(fileOf(role))) writeAtomically(fileOf(role), known[role]);
  }
  rmSync(file);
}
