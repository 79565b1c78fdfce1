import { createHash } from 'node:crypto';
import { createWriteStream, readFileSync } from 'node:fs';
import { access, chmod, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { takeLock } from '../../cli/lock.ts';
import { runToEnd } from './runToEnd.ts';
import { refusalOf } from './temporalVersion.ts';

export interface TemporalSearch {
  /** `TEMPORAL_CLI_PATH`: where it is set, nothing else is considered. */
  cliPath?: string | undefined;
  /** `PATH` */
  searchPath: string;
  /** Our folder below the user’s cache. */
  cache: string;
  /** Where the vendor’s archive for this platform is. */
  downloadUrl: string;
  /** Ends a download or a build that nobody waits for any more. */
  signal: AbortSignal;
  /** Told what is tried, in words for the person who waits. */
  say(line: string): void;
}

/**
 * Finds the Temporal CLI, which holds the server and its Web UI: `TEMPORAL_CLI_PATH`, then `temporal` on PATH, then
 * our cache, then the vendor’s download, then a build of the Go module beside this file (about four minutes on two
 * cores; the result is cached). Servers older than 1.29.5 or touched by CVE-2026-5199 are passed over.
 */
export async function findTemporal(search: TemporalSearch): Promise<string> {
  return (await locateTemporal(search)) ?? install(search);
}

/** Only where it is already: nothing is fetched or built. */
export async function locateTemporal(
  search: Pick<TemporalSearch, 'cliPath' | 'searchPath' | 'cache' | 'say'>,
): Promise<string | undefined> {
  if (search.cliPath) {
    const refusal = await refusalAt(search.cliPath);
    if (refusal) throw new Error(`TEMPORAL_CLI_PATH=${search.cliPath} cannot be used: ${refusal}.`);
    return search.cliPath;
  }
  const folders = search.searchPath.split(delimiter).filter(isAbsolute);
  for (const candidate of [...folders.map((folder) => join(folder, 'temporal')), cachedIn(search.cache)]) {
    if (!(await isExecutable(candidate))) continue;
    const refusal = await refusalAt(candidate);
    if (!refusal) return candidate;
    search.say(`Passing over ${candidate}: ${refusal}.`);
  }
  return undefined;
}

/** Another list of modules is another server. */
export function cachedIn(cache: string): string {
  const modules = readFileSync(new URL('./temporal/go.sum', import.meta.url));
  return join(cache, `temporal-${createHash('sha256').update(modules).digest('hex').slice(0, 8)}`);
}

/** One process installs, the others wait for it. */
async function install(search: TemporalSearch): Promise<string> {
  const cached = cachedIn(search.cache);
  await mkdir(search.cache, { recursive: true });
  for (let told = false; ; told = true) {
    search.signal.throwIfAborted();
    if (told && (await isUsable(cached))) return cached;
    const lock = await takeLock(join(search.cache, 'temporal.lock'));
    if (!lock.held) {
      if (!told) search.say(`Waiting for process ${lock.by.pid}, which is installing Temporal.`);
      await new Promise((resolve) => setTimeout(resolve, lockPollMs));
      continue;
    }
    try {
      // The one who held the lock may have installed it in the meantime.
      if (await isUsable(cached)) return cached;
      return await obtain(search, cached);
    } finally {
      await lock.release();
    }
  }
}

async function obtain(search: TemporalSearch, cached: string): Promise<string> {
  const folder = await mkdtemp(join(search.cache, 'installing-'));
  const reasons: string[] = [];
  try {
    for (const [name, way] of [
      ['download', download],
      ['Go build', build],
    ] as const) {
      try {
        const binary = await way(search, folder);
        await chmod(binary, 0o755);
        const refusal = await refusalAt(binary);
        if (refusal) throw new Error(refusal);
        await rename(binary, cached);
        return cached;
      } catch (error) {
        search.signal.throwIfAborted();
        reasons.push(`${name}: ${describe(error)}`);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  throw new Error(
    `There is no Temporal server. Install the Temporal CLI (server 1.29.5 or later) and set TEMPORAL_CLI_PATH to it, or install Go 1.26 and start again. Tried: ${reasons.join('; ')}.`,
  );
}

async function download(search: TemporalSearch, folder: string): Promise<string> {
  search.say('Looking for Temporal at its vendor’s download.');
  const patience = new AbortController();
  const signal = AbortSignal.any([patience.signal, search.signal]);
  let timer = setTimeout(
    () => patience.abort(new Error(`no answer within ${headersMs / 1000} s`)),
    headersMs,
  );
  try {
    const response = await fetch(search.downloadUrl, { signal }).catch((error) => {
      throw error.cause ?? error;
    });
    clearTimeout(timer);
    timer = setTimeout(() => patience.abort(new Error(`not complete within ${bodyMs / 1000} s`)), bodyMs);
    if (!response.ok || !response.body) throw new Error(`${search.downloadUrl} answered ${response.status}`);
    search.say('Downloading Temporal (about 60 MB).');
    const archive = join(folder, 'temporal.tar.gz');
    await pipeline(response.body, createWriteStream(archive));
    await runToEnd('tar', ['-xzf', archive, '-C', folder, 'temporal']);
    return join(folder, 'temporal');
  } finally {
    clearTimeout(timer);
  }
}

async function build(search: TemporalSearch, folder: string): Promise<string> {
  const go = await findGo(search.searchPath);
  if (!go) throw new Error('there is no Go');
  const start = performance.now();
  const elapsed = () => `${Math.round((performance.now() - start) / 1000)} s`;
  search.say('Building Temporal from source with Go: about four minutes, once for this machine.');
  const ticking = setInterval(() => search.say(`Still building Temporal (${elapsed()}).`), tickMs);
  const binary = join(folder, 'temporal');
  try {
    await runToEnd(
      go,
      ['build', '-trimpath', '-ldflags=-s -w', '-o', binary, 'github.com/temporalio/cli/cmd/temporal'],
      { cwd: fileURLToPath(new URL('./temporal/', import.meta.url)), signal: search.signal },
    );
  } finally {
    clearInterval(ticking);
  }
  search.say(`Built Temporal in ${elapsed()}.`);
  return binary;
}

const lockPollMs = 250;
const headersMs = 5_000;
const bodyMs = 300_000;
const tickMs = 15_000;

/** Where the vendor keeps the newest CLI for this platform. */
export function vendorUrl(platform: string, arch: string): string {
  const names: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
  return `https://temporal.download/cli/archive/latest?platform=${platform}&arch=${names[arch] ?? arch}`;
}

async function refusalAt(binary: string): Promise<string | undefined> {
  try {
    return refusalOf(await runToEnd(binary, ['--version']));
  } catch (error) {
    return describe(error);
  }
}

export async function findGo(searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(delimiter).filter(isAbsolute)) {
    if (await isExecutable(join(folder, 'go'))) return join(folder, 'go');
  }
  return undefined;
}

async function isUsable(binary: string): Promise<boolean> {
  return (await isExecutable(binary)) && !(await refusalAt(binary));
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
