import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { bundleModule, definitionDigestOf, loadBundle } from './loadModule.ts';

/*
 * The code of pipelines as it was served before, one file a definition: `<pipeline>.<digest>.mjs`. Runs that are under way or wait end on
 * the definition that they began with. A file is loaded only if its content is of the digest in its name.
 */

const fileName = /^([a-z][a-z0-9-]{0,62})\.([0-9a-f]{64})\.mjs$/;

/** Of each pipeline, besides those that runs still need. */
const newestMax = 3;

/** Keeps the definitions that are served from now on. Of each pipeline the newest stay, and those of `needed` digests. */
export async function keepDefinitions(
  folder: string,
  served: readonly LoadedPipeline[],
  needed: ReadonlySet<string>,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const one of served) await keep(folder, one);
  const kept = await list(folder);
  const seen = new Map<string, number>();
  for (const { id, digest, path } of kept.sort((a, b) => b.atMs - a.atMs)) {
    const before = seen.get(id) ?? 0;
    seen.set(id, before + 1);
    if (before >= newestMax && !needed.has(digest)) await rm(path, { force: true });
  }
}

/** Those of the kept definitions that load, besides the served ones. One that does not, such as of another version of Waybill, is gone. */
export async function loadKept(
  folder: string,
  served: ReadonlyMap<string, LoadedPipeline>,
  resolveFrom: string,
): Promise<LoadedPipeline[]> {
  const loaded: LoadedPipeline[] = [];
  for (const { id, digest, path } of await list(folder)) {
    if (served.get(id)?.digest === digest) continue;
    const module = await loadBundle(path, resolveFrom).catch(() => undefined);
    if (module?.digest !== digest || module.pipeline.manifest.id !== id) continue;
    const { manifest, parameters, input, output, enrich, approval, quality } = module.pipeline;
    const code = { parameters, input, output, enrich, approval, quality };
    loaded.push({ modulePath: path, resolveFrom, digest, manifest, ...code });
  }
  return loaded;
}

async function keep(folder: string, { modulePath, manifest, digest }: LoadedPipeline): Promise<void> {
  const path = join(folder, `${manifest.id}.${digest}.mjs`);
  const now = new Date();
  if (
    await utimes(path, now, now).then(
      () => true,
      () => false,
    )
  )
    return;
  const code = bundleModule(modulePath);
  // The file was edited since it was loaded: the next load keeps it.
  if (definitionDigestOf(manifest, code) !== digest) return;
  await writeFile(`${path}.new`, code, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function list(folder: string): Promise<{ id: string; digest: string; path: string; atMs: number }[]> {
  const names = await readdir(folder).catch(() => []);
  const found = names.flatMap((name) => {
    const [, id, digest] = fileName.exec(name) ?? [];
    return id && digest ? [{ id, digest, path: resolve(folder, name) }] : [];
  });
  return Promise.all(
    found.map(async (one) => ({
      ...one,
      atMs: await stat(one.path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    })),
  );
}
