import { join } from 'node:path';
import { type InstallOptions, installOnce, locateAt } from './installOnce.ts';
import { runToEnd } from './runToEnd.ts';
import { findGo } from './temporalBinary.ts';

/** A Go program of one version. Go compares its module and each that it needs with the public checksum database. */
const pinned = {
  module: 'github.com/versity/versitygw',
  version: 'v1.8.0',
  checksum: 'h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=',
};

/** The S3-compatible server with which the object store is tested, where it is in our cache. */
export function locateVersitygw({ cache }: Pick<InstallOptions, 'cache'>): Promise<string | undefined> {
  return locateAt(pathIn(cache));
}

/** Installs it to our cache: Go builds it from its module, about three minutes of one core. */
export async function installVersitygw(
  options: Pick<InstallOptions, 'cache' | 'signal' | 'say'> & {
    /** Of a process that may run Go. */
    env: Readonly<Record<string, string | undefined>>;
  },
): Promise<string> {
  const go = findGo(options.env.PATH ?? '');
  if (!go) throw new Error('There is no Go on PATH. Install Go 1.26, which builds versitygw.');
  const { module, version, checksum } = pinned;
  const build = async (folder: string) => {
    options.say(`Building versitygw ${version} with Go: about three minutes, once for this machine.`);
    await runToEnd(go, ['install', '-trimpath', '-ldflags=-s -w', `${module}/cmd/versitygw@${version}`], {
      // Without these three Go could be told to pass over the checksum database.
      env: { ...options.env, GOBIN: folder, GONOSUMDB: '', GOPRIVATE: '', GOSUMDB: 'sum.golang.org' },
      signal: options.signal,
    });
    return join(folder, 'versitygw');
  };
  const check = async (program: string) => {
    const built = (await runToEnd(go, ['version', '-m', program])).replaceAll(/\s+/g, ' ');
    return built.includes(`mod ${module} ${version} ${checksum}`) ? undefined : 'it is another module';
  };
  return installOnce(pathIn(options.cache), [['Go build', build]], check, options);
}

function pathIn(cache: string): string {
  return join(cache, `versitygw-${pinned.version.slice(1)}`);
}
