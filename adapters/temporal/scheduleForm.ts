import type { ScheduleDescription, ScheduleOptions, ScheduleSpec } from '@temporalio/client';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { firingWorkflow, firingWorkflowId } from '../../domain/schedules/firing.ts';
import {
  durationMs,
  type Schedule,
  type ScheduleTerms,
  type ScheduleTiming,
  temporalScheduleId,
} from '../../domain/schedules/schedule.ts';

/**
 * A schedule as Temporal has it. What it starts is told nothing: which schedule it is of stands in its id, and what to do in our
 * record. No header: one would be copied to every run, and stay when another principal changes the schedule.
 */
export function formOf(schedule: Schedule, taskQueue: string): ScheduleOptions {
  const scheduleId = temporalScheduleId(schedule);
  const { terms, state, reason, note } = schedule;
  return {
    scheduleId,
    spec: { ...specOf(terms), ...(terms.jitter && { jitter: durationMs(terms.jitter) }) },
    action: {
      type: 'startWorkflow',
      workflowType: firingWorkflow,
      workflowId: firingWorkflowId(scheduleId),
      taskQueue,
      args: [],
    },
    policies: {
      overlap: overlapNames[terms.overlap],
      catchupWindow: durationMs(terms.catchUp),
      pauseOnFailure: terms.pauseOnFailure,
    },
    state: { paused: state !== 'active', note: noteOf(reason?.message ?? note) },
  };
}

/** Begins every note of ours, to tell it from other clients’ notes. */
const ours = 'Waybill: ';

function noteOf(text: string | null): string {
  return `${ours}${text ?? 'as recorded'}`;
}

export function isOurNote(note: string): boolean {
  return note.startsWith(ours);
}

/** Without jitter, which belongs to a schedule and not to its times. */
export function specOf({
  cron,
  every,
  offset,
  calendars = [],
  timeZone,
  startAt,
  endAt,
}: ScheduleTiming): ScheduleSpec {
  return {
    ...(every && { intervals: [{ every: durationMs(every), offset: durationMs(offset) }] }),
    cronExpressions: [
      ...(cron ? [cron] : []),
      // Temporal reads seven fields too.
      ...calendars.map(({ second, minute, hour, dayOfMonth, month, dayOfWeek, year }) =>
        [second, minute, hour, dayOfMonth, month, dayOfWeek, year].join(' '),
      ),
    ],
    timezone: timeZone,
    ...(startAt && { startAt: new Date(startAt) }),
    ...(endAt && { endAt: new Date(endAt) }),
  };
}

const overlapNames = {
  skip: 'SKIP',
  'buffer-one': 'BUFFER_ONE',
  'buffer-all': 'BUFFER_ALL',
  'cancel-other': 'CANCEL_OTHER',
  'allow-all': 'ALLOW_ALL',
} as const satisfies Record<ScheduleTerms['overlap'], string>;

type RawSchedule = ScheduleDescription['raw']['schedule'];

/** The times of a schedule as Temporal writes them down, whatever they were written as; without jitter. */
export function spelledSpec(raw: RawSchedule): string {
  const { jitter: _, ...spec } = plain(raw?.spec) as Record<string, unknown>;
  return canonicalJson(spec);
}

/** Whether it does what is on record, beside its times: the same workflow, told nothing, by the same policies. */
export function actsAsRecorded(raw: RawSchedule, schedule: Schedule, taskQueue: string): boolean {
  const { terms } = schedule;
  const jitterS = Math.round(durationMs(terms.jitter) / 1000);
  const jitter = Number((raw?.spec?.jitter as { seconds?: unknown } | undefined)?.seconds ?? 0);
  const action = {
    startWorkflow: {
      workflowId: firingWorkflowId(temporalScheduleId(schedule)),
      workflowType: { name: firingWorkflow },
      taskQueue: { name: taskQueue, kind: 'TASK_QUEUE_KIND_NORMAL' },
    },
  };
  const policies = {
    overlapPolicy: `SCHEDULE_OVERLAP_POLICY_${overlapNames[terms.overlap]}`,
    catchupWindow: { seconds: String(durationMs(terms.catchUp) / 1000) },
    ...(terms.pauseOnFailure && { pauseOnFailure: true }),
  };
  return (
    jitter === jitterS &&
    canonicalJson(plain(raw?.action)) === canonicalJson(action) &&
    canonicalJson(plain(raw?.policies)) === canonicalJson(policies) &&
    raw?.state?.limitedActions !== true
  );
}

/** As JSON, without what is empty. */
function plain(message: unknown): unknown {
  return pruned(JSON.parse(JSON.stringify(message ?? {}))) ?? {};
}

function pruned(value: unknown): unknown {
  if (Array.isArray(value)) return value.length > 0 ? value.map((one) => pruned(one) ?? {}) : undefined;
  if (typeof value !== 'object' || value === null) return value === '' || value === false ? undefined : value;
  const kept = Object.entries(value).flatMap(([name, member]) => {
    const left = pruned(member);
    return left === undefined || left === null ? [] : [[name, left] as const];
  });
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}
