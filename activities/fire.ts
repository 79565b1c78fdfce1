import type { FiringAnswer, Scheduler } from '../domain/ports/scheduler.ts';
import type { FiringRef } from '../domain/schedules/firing.ts';

/** The ports of `fireSchedule`: which firing this is, and the API to ask. */
export interface FirerDependencies {
  firing(): { schedule: string; execution: FiringRef };
  scheduler: Scheduler;
}

/** The activity of `fireSchedule`. It takes no argument: Temporal says which schedule and time it is. */
export function createFirer({ firing, scheduler }: FirerDependencies) {
  return {
    fire(): Promise<FiringAnswer> {
      const { schedule, execution } = firing();
      return scheduler.fire(schedule, execution);
    },
  };
}

export type Firer = ReturnType<typeof createFirer>;
