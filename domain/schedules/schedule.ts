import { z } from 'zod';
import { parseDuration } from '../duration.ts';
import type { DefinitionFacts } from '../policies/policy.ts';
import type { Requester } from '../principal.ts';
import { HttpUrl, SourceReference } from '../sources/sourceReference.ts';

/** Times, parameters, source and policies: all that an owner consents to, except the pipeline. */
export type ScheduleTerms = z.infer<typeof ScheduleTerms>;

const secondMs = 1000;
const dayMs = 86_400_000;

function duration(minMs: number, maxMs: number, bounds: string) {
  return z.string().refine((text) => {
    const ms = parseDuration(text);
    return ms !== undefined && ms >= minMs && ms <= maxMs;
  }, `A number and s, m, h, d or w, such as 90m: ${bounds}.`);
}

/** One field of cron, as Temporal reads it: numbers, names, lists, ranges and steps. */
const field = z.string().regex(/^[\dA-Za-z*,/-]{1,100}$/, 'As in cron: 1, 1-5, */2, MON,WED, JAN.');

/** Blanks count once, and `?` of Quartz stands for any day. */
function normalizeCron(text: string): string {
  const fields = text.trim().split(/\s+/);
  return fields.map((field, i) => (field === '?' && (i === 2 || i === 4) ? '*' : field)).join(' ');
}

function checkCron(text: string, context: z.RefinementCtx): void {
  const fields = text.split(' ').filter((field) => field !== '');
  const message =
    fields.length !== 5
      ? `Cron has five fields: minute, hour, day of month, month, day of week. This one has ${fields.length}.`
      : text.includes('?')
        ? 'A ? stands for any day: it is a whole field, of the day of the month or of the day of the week. Use * elsewhere.'
        : /^[\dA-Za-z*,/ -]+$/.test(text)
          ? undefined
          : 'A field of cron has digits, names such as MON, and * , - / only.';
  if (message !== undefined) context.addIssue({ code: 'custom', message });
}

/**
 * When it is due: at the times of `cron`, `every` and `calendars` together. Whether a time exists, what a zone makes of it and
 * when the clocks change is for Temporal, which reads them.
 */
const timing = {
  cron: z.string().max(500).overwrite(normalizeCron).superRefine(checkCron).optional(),
  every: duration(secondMs, 366 * dayMs, '1s to 366d')
    .optional()
    .describe('Since 1970, shifted by `offset`.'),
  offset: duration(secondMs, 366 * dayMs, '1s to 366d').optional(),
  calendars: z
    .array(
      z.strictObject({
        second: field.default('0'),
        minute: field.default('0'),
        hour: field.default('0'),
        dayOfMonth: field.default('*'),
        month: field.default('*'),
        dayOfWeek: field.default('*'),
        year: field.default('*'),
      }),
    )
    .min(1)
    .max(16)
    .optional(),
  timeZone: z
    .string()
    .regex(/^[A-Za-z][\w+/-]{0,63}$/, 'A name of the IANA database, such as Europe/Vienna.')
    .default('UTC')
    .describe('Of `cron` and `calendars`.'),
  jitter: duration(secondMs, dayMs, '1s to 1d')
    .optional()
    .describe('Each start is put off by a part of this.'),
  startAt: z.iso.datetime({ offset: true }).optional(),
  endAt: z.iso.datetime({ offset: true }).optional(),
};

export const overlaps = ['skip', 'buffer-one', 'buffer-all', 'cancel-other', 'allow-all'] as const;

export const ScheduleTiming = z
  .strictObject(timing)
  .refine(({ cron, every, calendars }) => cron ?? every ?? calendars, {
    path: ['cron'],
    error: 'Say when: by cron, every or calendars.',
  })
  .refine(({ every, offset }) => offset === undefined || every !== undefined, {
    path: ['offset'],
    error: 'It shifts `every`, which is missing.',
  });
export type ScheduleTiming = z.infer<typeof ScheduleTiming>;

export const ScheduleTerms = ScheduleTiming.safeExtend({
  overlap: z
    .enum(overlaps)
    .default('skip')
    .describe('What becomes of a time that comes while the run before goes on.'),
  catchUp: duration(10 * secondMs, 366 * dayMs, '10s to 366d')
    .default('1h')
    .describe('How late a run may still begin that was missed, such as in an outage.'),
  pauseOnFailure: z.boolean().default(false),
  parameters: z.record(z.string(), z.unknown()).default({}),
  timeParameter: z
    .string()
    .regex(/^[A-Za-z_]\w{0,62}$/)
    .optional()
    .describe('The parameter in which a run gets the time that it is for, RFC 3339.'),
  binds: z
    .enum(['version', 'code'])
    .optional()
    .describe('What the consent covers of the pipeline: its version (default) or exactly its code.'),
  source: SourceReference.optional().describe('Overrides the one of the definition.'),
  callback: z
    .strictObject({ url: HttpUrl })
    .optional()
    .describe('Is told of its runs, and when the schedule is blocked. See docs/webhooks.md.'),
});

export const scheduleStates = ['active', 'paused', 'blocked'] as const;
export type ScheduleState = (typeof scheduleStates)[number];

export const scheduleId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,99}$/, 'Up to 100 of a-z, 0-9 and -.');

/**
 * A recurring run, to which its owner consented. The record is the truth; what Temporal has is made from it, revision by
 * revision. *paused*: a user paused it, or a run failed and `pauseOnFailure` is set; *blocked*: a firing found that what it would
 * run under no longer holds. Neither fires until a user resumes it. Times are RFC 3339.
 */
export interface Schedule {
  tenant: string;
  id: string;
  pipeline: string;
  /** What policies see of the pipeline, as it was when the schedule was last saved. */
  definition: DefinitionFacts;
  terms: ScheduleTerms;
  note: string | null;
  /** Whether it came with the definition of its pipeline. */
  declared: boolean;
  /** The principal that its runs act for. */
  owner: Requester;
  /** The consent that it runs under; `null` until its owner has given one. */
  delegation: {
    id: string;
    givenAt: string;
    expiresAt: string;
    definitionDigest: string;
    /** `null`: it covers that definition alone. */
    boundDigest: string | null;
  } | null;
  state: ScheduleState;
  reason: { code: string; message: string } | null;
  /** The suspended run that has to end before it begins another. */
  stalledBehind: { run: string; code: string } | null;
  /** Who paused it; `null` if it is not paused, or was paused in Temporal. */
  pausedBy: Requester | null;
  /** No time before this is due. */
  activeSince: string;
  revision: number;
  /** Whether Temporal has this revision already. */
  applied: boolean;
  createdAt: string;
  updatedAt: string;
}

/** What Temporal calls it: of one tenant, and readable. */
export function temporalScheduleId({ tenant, id }: Pick<Schedule, 'tenant' | 'id'>): string {
  return `${encodeURIComponent(tenant)}:${id}`;
}

/** The schedule that a Temporal id names; `undefined` if it is not one of ours. */
export function scheduleOf(temporalId: string): Pick<Schedule, 'tenant' | 'id'> | undefined {
  const [, encoded, id] = /^([^:]+):([^:]+)$/.exec(temporalId) ?? [];
  if (encoded === undefined || !scheduleId.safeParse(id).success) return undefined;
  try {
    const tenant = decodeURIComponent(encoded);
    return temporalScheduleId({ tenant, id: id! }) === temporalId ? { tenant, id: id! } : undefined;
  } catch {
    return undefined;
  }
}

export function durationMs(text: string | undefined): number {
  return text === undefined ? 0 : parseDuration(text)!;
}

/** What a run for one time is given. */
export function parametersAt(
  { parameters, timeParameter }: ScheduleTerms,
  at: string,
): Record<string, unknown> {
  return timeParameter === undefined ? parameters : { ...parameters, [timeParameter]: at };
}
