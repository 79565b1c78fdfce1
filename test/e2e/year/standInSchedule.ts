import { Client } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { searchAttributeNames } from '../../../adapters/temporal/searchAttributes.ts';
import { createTemporalSchedules } from '../../../adapters/temporal/temporalSchedules.ts';
import type { KnownSchedule, TemporalSchedules } from '../../../domain/ports/temporalSchedules.ts';
import { firingWorkflow, firingWorkflowId } from '../../../domain/schedules/firing.ts';
import { temporalScheduleId } from '../../../domain/schedules/schedule.ts';

/** As Temporal itself sets them on what a schedule starts. */
const scheduledBy = defineSearchAttributeKey('TemporalScheduledById', SearchAttributeType.KEYWORD);
const scheduledFor = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** `INDEXED_VALUE_TYPE_KEYWORD` and `INDEXED_VALUE_TYPE_DATETIME` of Temporal’s API. */
const [keyword, datetime] = [2, 6];

/** Temporal keeps the last ten of what a schedule has started. */
const recentMax = 10;

/**
 * What stands in for the schedule in a server that has none: `start` does what one does at each of its times, and `temporalSchedules` tells
 * the API which executions were started so. The rest the API asks the server, about those executions.
 */
export async function standInForSchedule(
  { connection }: TestWorkflowEnvironment,
  { id, timesMs, taskQueue }: { id: string; timesMs: readonly number[]; taskQueue: string },
) {
  // That server knows none before it is told.
  const keywords = [...searchAttributeNames, scheduledBy.name].map((name) => [name, keyword] as const);
  await connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries([...keywords, [scheduledFor.name, datetime]]),
  });
  const client = new Client({ connection });
  const scheduleId = temporalScheduleId({ tenant: 'acme', id });
  const recent: KnownSchedule['recent'] = [];
  // The schedule goes on after the simulated days, or it would be rejected as never due on the last of them.
  const due = [...timesMs, timesMs.at(-1)! + 86_400_000];
  const temporalSchedules: TemporalSchedules = {
    times: async (_, { fromMs, toMs }) => ({
      timesMs: due.filter((ms) => ms >= fromMs && ms <= toMs),
      complete: true,
      disputedMs: [],
    }),
    describe: async () => ({ asRecorded: true, paused: false, note: '', recent, nextMs: [] }),
    execution: createTemporalSchedules({ client, taskQueue }).execution,
    deleteAbandoned: async () => 0,
  };

  return {
    temporalSchedules,
    async start(nominalMs: number) {
      const at = new Date(nominalMs);
      const handle = await client.workflow.start(firingWorkflow, {
        workflowId: `${firingWorkflowId(scheduleId)}-${at.toISOString().slice(0, 19)}Z`,
        taskQueue,
        typedSearchAttributes: new TypedSearchAttributes([
          { key: scheduledBy, value: scheduleId },
          { key: scheduledFor, value: at },
        ]),
      });
      const { workflowId, firstExecutionRunId: firstRunId } = handle;
      recent.push({ workflowId, firstRunId, takenAtMs: nominalMs });
      if (recent.length > recentMax) recent.shift();
      return handle;
    },
  };
}
