import { sweepOrphans } from '../application/runs/sweepOrphans.ts';
import { type Swept, sweepRuns } from '../application/runs/sweepRuns.ts';

/** The activity of `sweepRuns`. It takes no argument and needs no grant: the database decides what is due. */
export function createSweeper(ports: Parameters<typeof sweepRuns>[0] & Parameters<typeof sweepOrphans>[0]) {
  return {
    async sweep(): Promise<Swept> {
      const swept = await sweepRuns(ports);
      if (swept.more) return swept;
      return { ...swept, more: await sweepOrphans(ports) };
    },
  };
}

export type Sweeper = ReturnType<typeof createSweeper>;
