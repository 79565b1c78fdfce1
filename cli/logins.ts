import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { type CliContext, CliError } from './context.ts';
import { type Lock, takeLock } from './lock.ts';
import { writeAtomically } from './writeAtomically.ts';

/*
 * Who signed in with `waybill login`: one entry for each API, in a file that only its owner may read (0600):
 * `logins.json` in WAYBILL_HOME where that is set, otherwise in `waybill/` of the user’s configuration folder.
 */

const Login = z.object({
  issuer: z.url(),
  clientId: z.string(),
  accessToken: z.string(),
  /** RFC 3339. */
  expiresAt: z.iso.datetime(),
  /** Without one the login ends with its access token. */
  refreshToken: z.string().optional(),
});

export type Login = z.infer<typeof Login>;

const LoginsFile = z.object({ logins: z.record(z.string(), Login) });

export function findLogin(context: CliContext, apiUrl: string): Login | undefined {
  return read(fileOf(context))[keyOf(apiUrl)];
}

export async function keepLogin(context: CliContext, apiUrl: string, login: Login): Promise<void> {
  await exclusively(context, async ({ keep }) => keep(apiUrl, login));
}

export async function forgetLogin(context: CliContext, apiUrl: string): Promise<void> {
  await exclusively(context, async ({ keep }) => keep(apiUrl, undefined));
}

/**
 * While `work` runs, no other command changes the file. A refresh token is good for one use, so the command that uses it must be
 * alone.
 */
export async function exclusively<T>(
  context: CliContext,
  work: (logins: {
    find(apiUrl: string): Login | undefined;
    keep(apiUrl: string, login: Login | undefined): void;
  }) => Promise<T>,
): Promise<T> {
  const file = fileOf(context);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const lock = await waitForLock(`${file}.lock`);
  try {
    return await work({
      find: (apiUrl) => read(file)[keyOf(apiUrl)],
      keep(apiUrl, login) {
        const { [keyOf(apiUrl)]: _, ...others } = read(file);
        const logins = { ...others, ...(login && { [keyOf(apiUrl)]: login }) };
        writeAtomically(file, `${JSON.stringify({ logins }, undefined, 2)}\n`);
      },
    });
  } finally {
    await lock.release();
  }
}

const lockMs = 30_000;

async function waitForLock(file: string): Promise<Extract<Lock, { held: true }>> {
  for (const start = performance.now(); performance.now() - start < lockMs; ) {
    const lock = await takeLock(file);
    if (lock.held) return lock;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new CliError(`Another command holds ${file}.`);
}

function fileOf({ env }: CliContext): string {
  const folder = env.WAYBILL_HOME || join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'waybill');
  return join(folder, 'logins.json');
}

/** A slash at its end makes no other API. */
function keyOf(apiUrl: string): string {
  return new URL(apiUrl).href.replace(/\/$/, '');
}

function read(file: string): Record<string, Login> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CliError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
  }
  if (statSync(file).mode & 0o077)
    throw new CliError(`${file} holds your tokens and others may read it: chmod 600 ${file}`);
  try {
    return LoginsFile.parse(JSON.parse(text)).logins;
  } catch {
    throw new CliError(`${file} is not what waybill login writes. Remove it and sign in again.`);
  }
}
