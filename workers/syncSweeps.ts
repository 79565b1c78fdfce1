import { type Client, ScheduleAlreadyRunning } from '@temporalio/client';

/** No id of a tenant’s schedule: those have a colon. */
const scheduleId = 'waybill-sweep';
const everyMs = 3_600_000;

/** Gives Temporal the schedule that removes what is kept no longer, unless it is there. All workers may do it at once. */
export async function syncSweeps({
  client,
  taskQueue,
}: {
  client: Client;
  taskQueue: string;
}): Promise<void> {
  try {
    await client.schedule.create({
      scheduleId,
      spec: { intervals: [{ every: everyMs }] },
      action: {
        type: 'startWorkflow',
        workflowType: 'sweepRuns',
        workflowId: scheduleId,
        taskQueue,
        args: [],
      },
      policies: { overlap: 'SKIP', catchupWindow: everyMs },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}
