import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type InstallOptions, installOnce, locateAt } from './installOnce.ts';
import { runToEnd } from './runToEnd.ts';

/** What checks the alerts of Prometheus, where it is in our cache. */
export function locatePromtool({ cache }: Pick<InstallOptions, 'cache'>): Promise<string | undefined> {
  return locateAt(pathIn(cache));
}

/** Takes it from Debian’s package, which apt compares with the signed index; nothing of it is installed in the system. */
export async function installPromtool(
  options: Pick<InstallOptions, 'cache' | 'signal' | 'say'>,
): Promise<string> {
  const unpack = async (folder: string) => {
    options.say('Downloading Debian’s package prometheus.');
    await runToEnd('apt-get', ['download', 'prometheus'], { cwd: folder, signal: options.signal });
    const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
    await runToEnd('dpkg', ['--extract', archive ?? '', 'package'], { cwd: folder, signal: options.signal });
    return join(folder, 'package', 'usr', 'bin', 'promtool');
  };
  const check = async (program: string) => {
    const said = await runToEnd(program, ['--version']);
    return said.includes('promtool') ? undefined : 'it is another program';
  };
  return installOnce(pathIn(options.cache), [['package of Debian', unpack]], check, options);
}

function pathIn(cache: string): string {
  return join(cache, 'promtool');
}
