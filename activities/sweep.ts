import { type Swept, sweepRuns } from '../application/runs/sweepRuns.ts';

/** The activity of `sweepRuns`. It takes no argument and needs no grant: the database decides what is due. */
export function createSweeper(ports: Parameters<typeof sweepRuns>[0]) {
  return {
    sweep: (): Promise<Swept> => sweepRuns(ports),
  };
}

export type Sweeper = ReturnType<typeof createSweeper>;
