import type { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { ActivityInterceptors } from '@temporalio/worker';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { RunOutcome } from '../../domain/runs/runFacts.ts';
import type { AttemptReports } from '../temporal/reportAttempts.ts';
import { boundedTenants } from './metrics.ts';

/** The outcome of records, as the counts of a run name them. */
const outcomes = ['passed', 'filtered', 'rejected', 'stored', 'unchanged', 'deduplicated'] as const;

/** Each attempt of an activity: how long it took, and the code that it failed with, or `ok`. */
export function measureSteps(registry: Registry): (context: Context) => ActivityInterceptors {
  const duration = new Histogram({
    name: 'waybill_step_duration_seconds',
    help: 'Time of an attempt of a step; outcome is “ok”, “cancelled” or the error code.',
    labelNames: ['step', 'outcome'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers: [registry],
  });
  return ({ info: { activityType: step } }) => ({
    inbound: {
      async execute(input, next) {
        const observe = duration.startTimer({ step });
        try {
          const result = await next(input);
          observe({ outcome: 'ok' });
          return result;
        } catch (error) {
          observe({ outcome: outcomeOf(error) });
          throw error;
        }
      },
    },
  });
}

function outcomeOf(error: unknown): string {
  if (error instanceof CancelledFailure) return 'cancelled';
  return (error instanceof ApplicationFailure && error.type) || 'Internal';
}

/** Counts runs that end in this process, and their records, and passes every report on. */
export function countRuns(registry: Registry, reports: AttemptReports): AttemptReports {
  const tenantLabel = boundedTenants();
  const runs = new Counter({
    name: 'waybill_runs_ended_total',
    help: 'Runs that ended, by the state in which they did.',
    labelNames: ['pipeline', 'tenant', 'state'] as const,
    registers: [registry],
  });
  const records = new Counter({
    name: 'waybill_records_total',
    help: 'Records of runs that ended, by what became of them.',
    labelNames: ['pipeline', 'tenant', 'outcome'] as const,
    registers: [registry],
  });
  const quality = new Counter({
    name: 'waybill_quality_results_total',
    help: 'Runs that ended and were measured by quality rules, by whether a rule was breached.',
    labelNames: ['pipeline', 'tenant', 'state'] as const,
    registers: [registry],
  });
  const breaches = new Counter({
    name: 'waybill_quality_breaches_total',
    help: 'Breaches of quality rules in runs that ended, by rule.',
    labelNames: ['pipeline', 'tenant', 'rule'] as const,
    registers: [registry],
  });
  return {
    ...reports,
    async succeeded(run, context, result) {
      if (context.info.activityType === 'finalize') {
        const { state, counts, quality: found } = result as EndedRun;
        const labels = { pipeline: pipelineOf(run.runId), tenant: tenantLabel(run.tenant) };
        runs.inc({ ...labels, state });
        for (const outcome of outcomes) records.inc({ ...labels, outcome }, counts[outcome]);
        if (found) quality.inc({ ...labels, state: found.state });
        for (const rule of found?.breached ?? []) breaches.inc({ ...labels, rule });
      }
      await reports.succeeded(run, context, result);
    },
  };
}

/** What `finalize` says. */
type EndedRun = RunOutcome & { quality?: { state: string; breached: readonly string[] } };

/** A run is named after its pipeline and a UUID. */
function pipelineOf(runId: string): string {
  return runId.slice(0, -'-00000000-0000-0000-0000-000000000000'.length);
}
