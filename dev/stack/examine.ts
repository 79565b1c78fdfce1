import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { readDevJson } from '../../cli/embedded/devJson.ts';
import { runToEnd } from '../binaries/runToEnd.ts';
import { findGo, locateTemporal, type TemporalSearch } from '../binaries/temporalBinary.ts';
import { isFree } from './ports.ts';
import { postgresBinaries } from './postgresBinaries.ts';
import { elsewhere } from './postgresCluster.ts';
import type { StackSettings } from './stackSettings.ts';
import { unprivilegedUser } from './unprivileged.ts';
import { describeZoneData } from './zoneData.ts';

export interface Check {
  name: string;
  ok: boolean;
  /** What was found, and what to do about it. */
  detail: string;
}

export interface Machine {
  settings: StackSettings;
  search: Pick<TemporalSearch, 'cliPath' | 'searchPath' | 'cache'>;
  /** `ZONEINFO`, if the environment names a folder of zones. */
  zoneInfo: string | undefined;
}

/** Looks at everything that `waybill dev` depends on and changes nothing. A check never throws. */
export async function examine(machine: Machine): Promise<Check[]> {
  const home = resolve(machine.settings.WAYBILL_HOME);
  const checks: [string, () => Promise<Omit<Check, 'name'>>][] = [
    ['node', checkNode],
    ['home', () => checkHome(home)],
    ['disk', () => checkDisk(home)],
    ['postgres', checkPostgres],
    ['temporal', () => checkTemporal(machine)],
    ['zones', async () => ({ ok: true, detail: await describeZoneData(machine.zoneInfo) })],
    ['go', () => checkGo(machine)],
    ['ports', () => checkPorts(machine.settings, home)],
    ['systems', () => checkSystems(home)],
  ];
  return Promise.all(
    checks.map(async ([name, check]) => {
      try {
        return { name, ...(await check()) };
      } catch (error) {
        return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}

const diskBytesMin = 2 * 1024 ** 3;

async function checkNode() {
  return { ok: true, detail: `${process.versions.node} (22.18 or later is needed)` };
}

async function checkHome(home: string) {
  const existing = await nearestExisting(home);
  return access(existing, constants.W_OK | constants.X_OK).then(
    () => ({ ok: true, detail: `${home} can be written` }),
    () => ({ ok: false, detail: `${existing} cannot be written. Set WAYBILL_HOME to a folder of yours.` }),
  );
}

async function checkDisk(home: string) {
  const { bavail, bsize } = await statfs(await nearestExisting(home));
  const gib = ((bavail * bsize) / 1024 ** 3).toFixed(1);
  return bavail * bsize >= diskBytesMin
    ? { ok: true, detail: `${gib} GiB free` }
    : { ok: false, detail: `${gib} GiB free. Make room for 2 GiB, or set WAYBILL_HOME to another disk.` };
}

async function checkPostgres() {
  const user = unprivilegedUser();
  const { postgres } = await postgresBinaries(user, elsewhere);
  const as = user ? { uid: user.uid, gid: user.gid } : {};
  const version = (await runToEnd(postgres, ['--version'], { ...as, cwd: '/', env: {} })).trim();
  return { ok: true, detail: user ? `${version}, runs as ${user.name}` : version };
}

async function checkTemporal(machine: Machine) {
  const found = await locateTemporal({ ...machine.search, say: () => {} });
  if (found) return { ok: true, detail: found };
  return {
    ok: true,
    detail: 'not here yet; the first start downloads it (45 MB), or builds it with Go (about four minutes)',
  };
}

async function checkGo(machine: Machine) {
  const go = findGo(machine.search.searchPath);
  const version = go && (await runToEnd(go, ['version']).catch(() => undefined));
  return {
    ok: true,
    detail: version?.trim() ?? 'not installed; only needed where Temporal cannot be downloaded',
  };
}

async function checkPorts(settings: StackSettings, home: string) {
  if (readDevJson(join(home, 'dev.json'))) return { ok: true, detail: 'in use by the stack of this home' };
  const wanted = Object.entries(settings).filter(([name]) => name.endsWith('_PORT')) as [string, number][];
  const taken: string[] = [];
  for (const [name, port] of wanted) {
    if (port !== 0 && !(await isFree(port))) taken.push(`${port} (${name})`);
  }
  if (taken.length === 0)
    return { ok: true, detail: `${wanted.map(([, port]) => port).join(', ')} are free` };
  return { ok: true, detail: `${taken.join(', ')} taken; a free one will be used and said` };
}

/** What the workers of a stack that is up say of the systems that they call. */
async function checkSystems(home: string) {
  const workers = readDevJson(join(home, 'dev.json'))?.processes.filter(({ name }) =>
    name.startsWith('worker'),
  );
  const texts = await Promise.all(
    (workers ?? []).map(({ metricsUrl }) => metricsUrl && readText(metricsUrl)),
  );
  const away = texts.flatMap((text) =>
    [...(text ?? '').matchAll(/^waybill_breaker_state\{kind="([^"]*)",system="([^"]*)"\} [12]$/gm)].map(
      ([, kind, system]) => `the ${kind} ${system}`,
    ),
  );
  if (away.length === 0)
    return { ok: true, detail: workers ? 'no run waits for another system' : 'no stack is up' };
  return { ok: false, detail: `Runs wait for ${[...new Set(away)].join(', ')}. Check that system.` };
}

const answerMaxMs = 2_000;

async function readText(url: string): Promise<string | undefined> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(answerMaxMs) }).catch(() => undefined);
  return answer?.ok ? answer.text() : undefined;
}

async function nearestExisting(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    if (
      await access(folder).then(
        () => true,
        () => false,
      )
    )
      return folder;
    if (folder === dirname(folder)) return folder;
  }
}
