import { join } from 'node:path';
import { buildSync } from 'esbuild';

/** The absolute paths of the modules and of every file of the project that they import. */
export function projectFiles(modules: readonly string[]): string[] {
  const { metafile } = buildSync({
    entryPoints: [...modules],
    absWorkingDir: '/',
    outdir: '/out',
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    tsconfigRaw: '{}',
    logLevel: 'silent',
    metafile: true,
    write: false,
  });
  return Object.keys(metafile.inputs).map((path) => join('/', path));
}
