import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { connectors } from '../../connectors/index.ts';
import { WaybillError } from '../../domain/errors.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import { outputsOf } from '../../domain/pipelines/outputs.ts';
import type { Definitions, LoadedPipeline } from '../../domain/ports/definitions.ts';
import { loadKept } from './keptDefinitions.ts';
import { loadModule } from './loadModule.ts';

/**
 * Loads each `<folder>/pipelines/*.ts`, which exports a pipeline by default. Tests beside them (`*.test.ts`) and
 * declarations are left alone. What is loaded stays as it is until the process ends.
 * @param kept the folder of definitions that were served before, which runs under way may still need
 * Throws `DefinitionError`: no such folder, a module that does not load, an id or a table that two pipelines claim.
 */
export async function loadProject(folder: string, kept?: string): Promise<Definitions> {
  const byId = new Map<string, LoadedPipeline>();
  for (const modulePath of await findModules(folder)) {
    const { pipeline, digest } = await loadModule(modulePath);
    const { manifest, parameters, input, output, enrich, approval, quality } = pipeline;
    const loaded = { modulePath, digest, manifest, parameters, input, output, enrich, approval, quality };
    checkTogether(manifest.id, byId, loaded);
    byId.set(manifest.id, loaded);
  }
  const list = Object.freeze([...byId.values()].sort((a, b) => (a.manifest.id < b.manifest.id ? -1 : 1)));
  const before = kept ? await loadKept(kept, byId, list[0]!.modulePath) : [];
  const find = (id: string, digest?: string) => {
    const newest = byId.get(id);
    if (digest === undefined || newest?.digest === digest) return newest;
    return before.find((one) => one.manifest.id === id && one.digest === digest);
  };
  return {
    list: () => list,
    listDigests: () => [...list, ...before].map(({ digest }) => digest),
    find,
    require(id, digest) {
      const found = find(id, digest);
      if (found) return found;
      const newest = byId.get(id);
      const detail = newest
        ? `${id} is here as ${newest.digest}, not as ${digest}`
        : `${id} is not in ${folder}`;
      throw new WaybillError('DefinitionUnavailable', { detail });
    },
  };
}

/** Sorted, so that every process loads alike and reports the same error first. */
async function findModules(folder: string): Promise<string[]> {
  const pipelines = resolve(folder, 'pipelines');
  const names = await readdir(pipelines).catch(() => {
    throw new DefinitionError(folder, [{ path: '', message: `there is no folder ${pipelines}` }]);
  });
  const modules = names.filter((name) => name.endsWith('.ts') && !/\.(d|test)\.ts$/.test(name)).sort();
  if (modules.length === 0)
    throw new DefinitionError(folder, [{ path: '', message: `${pipelines} holds no *.ts` }]);
  return modules.map((name) => join(pipelines, name));
}

/** One id is one pipeline; one table has one key and one mode, and one type for each of its columns. */
function checkTogether(
  id: string,
  others: ReadonlyMap<string, LoadedPipeline>,
  loaded: LoadedPipeline,
): void {
  const twin = others.get(id);
  if (twin) {
    const message = `${twin.modulePath} has the same id. Choose another`;
    throw new DefinitionError(loaded.modulePath, [{ path: 'id', message }]);
  }
  checkScheduleIds(loaded, others);
  for (const { sink } of outputsOf(loaded.manifest.sink)) {
    for (const other of others.values()) {
      const same = outputsOf(other.manifest.sink).find((one) => one.sink.table === sink.table);
      if (!same) continue;
      const differs =
        same.sink.kind === sink.kind
          ? connectors.sink(sink.kind).conflict(sink, same.sink)
          : 'with another kind of sink';
      if (differs === undefined) continue;
      const message = `pipeline ${other.manifest.id} writes to “${sink.table}” too, ${differs}`;
      throw new DefinitionError(loaded.modulePath, [{ path: 'sink', message }]);
    }
  }
}

/** `a` with a schedule `b-c` would meet `a-b` with a schedule `c`. */
function checkScheduleIds(
  { modulePath, manifest }: LoadedPipeline,
  others: ReadonlyMap<string, LoadedPipeline>,
): void {
  const idsOf = ({ schedules = [] }: LoadedPipeline['manifest']) => schedules.map(({ id }) => id);
  const taken = new Map(
    [...others.values()].flatMap((other) => idsOf(other.manifest).map((id) => [id, other])),
  );
  for (const id of idsOf(manifest)) {
    const other = taken.get(id);
    if (!other) continue;
    const message = `would be called ${id}, as one of pipeline ${other.manifest.id}`;
    throw new DefinitionError(modulePath, [{ path: 'schedule', message }]);
  }
}
