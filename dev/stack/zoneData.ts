import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd } from '../binaries/runToEnd.ts';
import { nodeFlags, packageFile } from './nodeService.ts';

/** Where Go looks for zone data, unless `ZONEINFO` names another folder. */
const systemZones = '/usr/share/zoneinfo';

export interface ZoneDataOptions {
  /** Our folder below the user’s cache. */
  cache: string;
  signal: AbortSignal;
  say(line: string): void;
  /** Default: `systemZones`. */
  system?: string;
}

/**
 * The folder from which the embedded Temporal server reads zones, so that it has the same rules as Node; `undefined` if
 * the system has the same version. Made once for each version (about 4 s), in a process of its own. Without it the
 * server reads older rules, and the schedules that this concerns are blocked; so a failure does not end the start.
 */
export async function ensureZoneData(options: ZoneDataOptions): Promise<string | undefined> {
  const { cache, signal, say, system = systemZones } = options;
  if ((await versionOfZones(system)) === process.versions.tz) return undefined;
  const target = zoneDataIn(cache);
  if (await isFolder(target)) return target;
  try {
    await mkdir(cache, { recursive: true });
    const folder = await mkdtemp(join(cache, 'making-zones-'));
    try {
      const main = packageFile('dev/stack/zoneDataMain.ts');
      await runToEnd(process.execPath, [...nodeFlags, main, folder, system], { signal });
      await rename(folder, target);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      // Another start made it first.
      if (!(await isFolder(target))) throw error;
    }
    return target;
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    if (!signal.aborted)
      say(`Temporal keeps the zone data of the system; Node's could not be copied (${reason}).`);
    return undefined;
  }
}

/** What `waybill doctor` says of zone data. */
export async function describeZoneData(zoneInfo: string | undefined, system = systemZones): Promise<string> {
  const node = process.versions.tz;
  const folder = zoneInfo || system;
  const version = await versionOfZones(folder);
  const found = version ?? 'of an unknown version';
  const temporal = zoneInfo
    ? `the embedded Temporal reads ${folder} (ZONEINFO): ${version === node ? 'the same' : `${found}, which may differ`}`
    : version === node
      ? 'the embedded Temporal reads the same from the system'
      : `the system's is ${found}, which may differ, so the embedded Temporal gets a copy of Node's`;
  return `Node has ${node}; ${temporal}. In production keep the tzdata of the Temporal server as new as Node's: schedules are blocked at times on which they differ`;
}

/** `2026c`; `undefined` if the folder does not say. */
async function versionOfZones(folder: string): Promise<string | undefined> {
  const first = async (file: string) =>
    (await readFile(join(folder, file), 'utf8').catch(() => '')).split('\n', 1)[0]!;
  const [, version] = /^# version (\S+)/.exec(await first('tzdata.zi')) ?? [];
  return version ?? ((await first('+VERSION')).trim() || undefined);
}

function zoneDataIn(cache: string): string {
  return join(cache, `zones-${process.versions.tz}`);
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
