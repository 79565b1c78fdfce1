import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { RunSweeps } from '../../domain/ports/runSweeps.ts';

const objectsMax = 1_000;
/** What is younger may belong to a request that has not come as far as its record. */
const youngMs = 3_600_000;

/**
 * One bounded step through the objects of all tenants: removes those that no record names, as a crash leaves them between an object and its
 * row. Steps go on where the one before has stopped, and begin again at the end. Resolves with whether it has not come there yet.
 */
export async function sweepOrphans({
  sweeps,
  objects,
  now = Date.now,
}: {
  sweeps: Pick<RunSweeps, 'findOrphans' | 'objectPosition' | 'moveObjectPosition'>;
  objects: Pick<ObjectStore, 'list' | 'removeListed'>;
  now?: () => number;
}): Promise<boolean> {
  const listed = await objects.list(await sweeps.objectPosition(), objectsMax);
  const old = listed.filter(({ writtenAtMs }) => now() - writtenAtMs > youngMs);
  const orphans = old.length > 0 ? await sweeps.findOrphans(old) : [];
  if (orphans.length > 0) await objects.removeListed(orphans.map(({ key }) => key));
  const more = listed.length === objectsMax;
  const bytes = orphans.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const removed = orphans.length > 0 ? { objects: orphans.length, bytes } : null;
  await sweeps.moveObjectPosition(more ? listed.at(-1)!.key : '', removed);
  return more;
}
