/** Of the tasks that wait for a worker, those of a lower number come first; 3 is what Temporal takes without one. */
const priorityKeys = { interactive: 2, normal: 3, backfill: 4 } as const;

/** How urgent runs are; among those of one priority, tenants take turns. */
export type RunPriority = keyof typeof priorityKeys;
export const runPriorities = Object.keys(priorityKeys) as [RunPriority, ...RunPriority[]];

/** As Temporal wants it. Activities and new executions of a run have that of its workflow. */
export function temporalPriority(
  tenant: string,
  priority: RunPriority = 'normal',
): { fairnessKey: string; priorityKey?: number } {
  return { fairnessKey: tenant, ...(priority !== 'normal' && { priorityKey: priorityKeys[priority] }) };
}

/** A run for a time that has passed comes after the others of its pipeline. */
export function priorityOf(
  { priority }: { priority?: RunPriority },
  backfill: boolean,
): RunPriority | undefined {
  return backfill ? 'backfill' : priority;
}
