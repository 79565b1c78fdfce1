import type { FiringAnswer, Scheduler } from '../domain/ports/scheduler.ts';
import type { FiringRef } from '../domain/schedules/firing.ts';

/** All that a firing needs of the world: who it is, and somebody to ask. */
export interface FirerDependencies {
  firing(): { schedule: string; execution: FiringRef };
  scheduler: Scheduler;
}

/** The activity of `fireSchedule`. It takes no argument: what it is about, Temporal says. */
export function createFirer({ firing, scheduler }: FirerDependencies) {
  return {
    fire(): Promise<FiringAnswer> {
      const { schedule, execution } = firing();
      return scheduler.fire(schedule, execution);
    },
  };
}

export type Firer = ReturnType<typeof createFirer>;
