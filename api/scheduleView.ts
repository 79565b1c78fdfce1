import { z } from 'zod';
import type { SavedSchedule } from '../application/schedules/scheduleDraft.ts';
import { runLinksOf, scheduleLinksOf } from '../domain/links.ts';
import type { ShownFiring } from '../domain/ports/firings.ts';
import { runStates } from '../domain/runs/run.ts';
import { firingOutcomes } from '../domain/schedules/firing.ts';
import {
  type Schedule,
  ScheduleTerms,
  scheduleStates,
  temporalScheduleId,
} from '../domain/schedules/schedule.ts';
import { scheduleWarningCodes } from '../domain/schedules/scheduleWarnings.ts';
import type { Skipped } from '../domain/schedules/skipped.ts';
import type { ApiOptions } from './ports.ts';
import { RequesterView, RunView } from './runView.ts';
import { temporalLinkOf } from './temporalLink.ts';

export const ScheduleWarningView = z.object({
  code: z
    .enum(scheduleWarningCodes)
    .describe(
      '`NeverDue`: it has no time; `ConsentEndsFirst`: the consent ends before the first time; `BothDaysMatch`: day of month ' +
        'and day of week must both match; `ZoneDataDiffers`: Temporal and Waybill know the time zone by different rules.',
    ),
  message: z.string(),
});

/** A schedule as HTTP shows it. */
export const ScheduleView = z.object({
  id: z.string(),
  pipeline: z.string(),
  tenant: z.string(),
  state: z
    .enum([...scheduleStates, 'stalled'])
    .describe(
      '`stalled`: active, but a suspended run has to end before another begins; `paused`: by a principal, or after a failed run; `blocked`: a right, the consent or the definition does not hold any more.',
    ),
  reason: z.object({ code: z.string(), message: z.string() }).nullable(),
  stalledBehind: z.string().nullable().describe('The suspended run that has to end first.'),
  pausedBy: RequesterView.nullable().describe('What its owner has paused, only they resume.'),
  terms: ScheduleTerms.describe('What its owner consents to.'),
  note: z.string().nullable(),
  declared: z.boolean().describe('Whether it came with the definition of its pipeline.'),
  owner: RequesterView.describe('The principal that its runs act for.'),
  delegation: z
    .object({
      id: z.string(),
      givenAt: z.iso.datetime(),
      expiresAt: z.iso.datetime(),
      definitionDigest: z.string().describe('Of the pipeline as it was consented to.'),
      boundDigest: z
        .string()
        .nullable()
        .describe(
          'Of its version, contract, source, sink and labels: other code of these is covered. `null`: other code blocks the schedule.',
        ),
    })
    .nullable()
    .describe('The owner’s consent; `null` until they have given one.'),
  revision: z.int(),
  applied: z.boolean().describe('Whether Temporal has this revision already.'),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  links: z.object({ self: z.string(), firings: z.string(), temporal: z.string().nullable() }),
});

export function scheduleViewOf(
  { definition: _, activeSince: __, stalledBehind: stalled, ...schedule }: Schedule,
  options: ApiOptions,
): z.infer<typeof ScheduleView> {
  const temporal = temporalLinkOf(options, 'schedules', temporalScheduleId(schedule));
  const behind = stalled && {
    state: 'stalled' as const,
    reason: {
      code: stalled.code,
      message: `It begins nothing until ${stalled.run} ends, which is suspended.`,
    },
  };
  return {
    ...schedule,
    ...behind,
    stalledBehind: stalled?.run ?? null,
    links: { ...scheduleLinksOf(schedule.id, options.publicUrl), temporal },
  };
}

/** A schedule that was saved with a consent. */
export const SavedScheduleView = ScheduleView.extend({
  notice: z
    .string()
    .nullable()
    .describe('What to know of it, such as that the consent ends before the first time.'),
});

export function savedViewOf(
  { schedule, notice }: SavedSchedule,
  options: ApiOptions,
): z.infer<typeof SavedScheduleView> {
  return { ...scheduleViewOf(schedule, options), notice };
}

const count = z.int().min(0);

const SkippedView = z
  .object({
    times: count,
    first: z.iso.datetime(),
    last: z.iso.datetime(),
    more: z.boolean().describe('There were more times than are counted here.'),
  })
  .nullable()
  .describe(
    'Times for which nothing was begun, because this run went on; `null`: none, or none that is known of, as while Temporal is away ' +
      'or from before the schedule was last changed.',
  );

const stateOfRun = z
  .enum(runStates)
  .nullable()
  .describe('How the run stands; `null` without one, or where you may not read it.');

/** A schedule by itself, with the run that it waits for. */
export const ScheduleDetail = ScheduleView.extend({
  warnings: z
    .array(ScheduleWarningView)
    .nullable()
    .describe('What may surprise about its times; `null` while Temporal does not tell them.'),
  changesSinceConsent: z
    .array(
      z.object({
        path: z.string().describe('JSON Pointer within the terms.'),
        before: z.unknown().describe('As the owner consented to it; `null`: absent.'),
        now: z.unknown().describe('`null`: absent.'),
      }),
    )
    .nullable()
    .describe(
      'What changed in the terms since the owner consented last; `null` where they never did, or where the terms of that consent were not kept.',
    ),
  waitsFor: z
    .object({
      run: z.string(),
      at: z.iso.datetime().describe('The time that it is for.'),
      state: stateOfRun,
      reason: RunView.shape.reason.describe('Why it waits itself, where it does.'),
      skipped: SkippedView,
      links: z.object({ run: z.string() }),
    })
    .nullable()
    .describe('The run that has to end before another begins, by the `overlap` of the terms.'),
});

export type WaitsFor = NonNullable<z.infer<typeof ScheduleDetail>['waitsFor']>;

export const FiringView = z.object({
  at: z.iso.datetime().describe('The time of the schedule, without jitter.'),
  outcome: z
    .enum(firingOutcomes)
    .describe('`blocked`: see the schedule’s reason; `missed`: too late; `skipped`: the run before went on.'),
  run: z.string().nullable(),
  state: stateOfRun,
  skipped: SkippedView,
  code: z.string().nullable().describe('Why no run was begun.'),
  decidedAt: z.iso.datetime(),
  backfilledBy: z.string().nullable().describe('The last run that a backfill started in its place.'),
  links: z.object({ run: z.string().nullable() }),
});

/** `run` only where the caller may read it. */
export function firingViewOf(
  { firing, run: begun }: ShownFiring,
  skipped: Skipped | undefined,
  options: ApiOptions,
): z.infer<typeof FiringView> {
  const { nominalAt, outcome, runId, code, at, backfilledBy } = firing;
  const run = runId === null ? null : runLinksOf(runId, options.publicUrl).self;
  return {
    at: nominalAt,
    outcome,
    run: runId,
    state: begun?.state ?? null,
    skipped: skipped ?? null,
    code,
    decidedAt: at,
    backfilledBy,
    links: { run },
  };
}
