import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { RunSweeps } from '../../domain/ports/runSweeps.ts';

/** So many runs are a step of some seconds. */
const runsMax = 50;

export interface Swept {
  runs: number;
  /** Something may be due still. */
  more: boolean;
}

/**
 * One bounded step of the sweep: removes what the retention of each pipeline does not keep any longer. Objects go after the database has
 * noted that they do, and before the rows that name them, so that a crash leaves no object behind and the next step goes on.
 */
export async function sweepRuns({
  sweeps,
  objects,
}: {
  sweeps: RunSweeps;
  objects: Pick<ObjectStore, 'remove'>;
}): Promise<Swept> {
  const due = await sweeps.listDue(runsMax);
  let more = due.length === runsMax;
  for (const run of due) {
    const begun = await sweeps.begin(run);
    if (begun.more) more = true;
    else {
      await objects.remove(run, begun.digests);
      await sweeps.finish(run);
    }
  }
  return { runs: due.length, more };
}
