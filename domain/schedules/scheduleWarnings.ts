import type { ScheduleTiming } from './schedule.ts';

/** Something that a user should know before a schedule is saved, and that is no reason to reject it. */
export interface ScheduleWarning {
  code: ScheduleWarningCode;
  message: string;
}

export const scheduleWarningCodes = [
  'NeverDue',
  'ConsentEndsFirst',
  'BothDaysMatch',
  'ZoneDataDiffers',
] as const;
type ScheduleWarningCode = (typeof scheduleWarningCodes)[number];

/** The last moment that `year` of a calendar can name; no time after it is due. */
export const horizonMs = Date.UTC(2101, 0, 1) - 1_000;

/**
 * @param upcoming the next times, and those on which Temporal and Waybill disagree
 * @param consentEndsMs when the owner’s consent ends; `undefined` without one
 */
export function scheduleWarnings(
  timing: ScheduleTiming,
  { timesMs, disputedMs }: { timesMs: readonly number[]; disputedMs: readonly number[] },
  consentEndsMs: number | undefined,
): ScheduleWarning[] {
  const [firstMs] = timesMs;
  const [disputed] = disputedMs;
  const warnings: (ScheduleWarning | false)[] = [
    firstMs === undefined &&
      disputed === undefined && {
        code: 'NeverDue',
        message: 'The schedule is never due: it has no time until the end of 2100. Correct its timing.',
      },
    firstMs !== undefined &&
      consentEndsMs !== undefined &&
      consentEndsMs <= firstMs && {
        code: 'ConsentEndsFirst',
        message: `The consent ends at ${textOf(consentEndsMs)}, before the first time, ${textOf(firstMs)}. The owner has to renew it before then.`,
      },
    restrictsBothDays(timing) && {
      code: 'BothDaysMatch',
      message:
        'A day has to match both the day of the month and the day of the week. Use two schedules if either is enough.',
    },
    disputed !== undefined && {
      code: 'ZoneDataDiffers',
      message: `Temporal and Waybill have different rules for ${timing.timeZone}; they disagree first at ${textOf(disputed)}, and the schedule is blocked then. Update the older zone data, or schedule by UTC.`,
    },
  ];
  return warnings.filter((one) => one !== false);
}

/** Unlike other crons, Temporal wants both to match. */
function restrictsBothDays({ cron, calendars = [] }: ScheduleTiming): boolean {
  const [, , dayOfMonth = '*', , dayOfWeek = '*'] = cron?.split(' ') ?? [];
  return [{ dayOfMonth, dayOfWeek }, ...calendars].some(
    (days) => days.dayOfMonth !== '*' && days.dayOfWeek !== '*',
  );
}

function textOf(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
