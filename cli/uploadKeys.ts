import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { CliContext } from './context.ts';
import { takeLock } from './lock.ts';
import { writeAtomically } from './writeAtomically.ts';

/** After that the API has given the upload up too. */
const keptMs = 24 * 3_600_000;

export interface UploadKey {
  key: string;
  /** Whether an earlier command began with it. */
  known: boolean;
  /** The upload is over; the next one of the same data is a new run. */
  forget(): void;
  /** A later command may go on. */
  release(): Promise<void>;
}

/**
 * The idempotency key of an upload, kept in a file until it is over, so that the same command continues what a killed one has begun. A
 * command that runs at the same time gets a key of its own.
 */
export async function takeUploadKey({ env }: CliContext, about: readonly unknown[]): Promise<UploadKey> {
  const folder = join(
    env.WAYBILL_HOME || join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'waybill'),
    'uploads',
  );
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, createHash('sha256').update(JSON.stringify(about)).digest('hex').slice(0, 32));
  const lock = await takeLock(`${file}.lock`);
  if (!lock.held) return { key: randomUUID(), known: false, forget() {}, release: async () => {} };
  const kept = readKey(file);
  const key = kept ?? randomUUID();
  if (!kept) writeAtomically(file, JSON.stringify({ key, at: Date.now() }));
  return {
    key,
    known: kept !== undefined,
    forget: () => rmSync(file, { force: true }),
    release: () => lock.release(),
  };
}

function readKey(file: string): string | undefined {
  try {
    const { key, at } = JSON.parse(readFileSync(file, 'utf8')) as { key: string; at: number };
    return Date.now() - at < keptMs ? key : undefined;
  } catch {
    return undefined;
  }
}
