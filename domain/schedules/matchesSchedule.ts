import { durationMs, type ScheduleTiming } from './schedule.ts';

/**
 * Whether a time is one of a timing, read by ourselves: a second check of what Temporal lists, which another client may have changed.
 * To look whether a time fits is far less than to find the next one, so that nothing here knows of clocks that change: the fields of
 * the time in its zone are compared, and a time that the day does not have has none. Temporal’s grammar of fields. Throws
 * `RangeError` of a zone that is not known.
 */
export function matchesSchedule(timing: ScheduleTiming, ms: number): boolean {
  const { cron, every, offset, calendars = [], timeZone, startAt, endAt } = timing;
  // Temporal begins with the very second in which `startAt` lies.
  if (startAt && ms <= Date.parse(startAt) - secondMs) return false;
  if (ms % secondMs !== 0 || (endAt && ms > Date.parse(endAt))) return false;
  if (every && (ms - durationMs(offset)) % durationMs(every) === 0) return true;
  if (!cron && calendars.length === 0) return false;
  const at = fieldsIn(timeZone, ms);
  const asCron = cron ? [['0', ...cron.split(' '), '*']] : [];
  const asCalendars = calendars.map(({ second, minute, hour, dayOfMonth, month, dayOfWeek, year }) => [
    second,
    minute,
    hour,
    dayOfMonth,
    month,
    dayOfWeek,
    year,
  ]);
  return [...asCron, ...asCalendars].some((texts) =>
    fields.every((field, i) => isIn(texts[i]!, field, at[i]!)),
  );
}

const secondMs = 1000;

interface Field {
  min: number;
  max: number;
  /** Numbers by their names, of which the first so many letters are enough. */
  names?: { of: readonly string[]; lettersMin: number };
}

const months = 'january february march april may june july august september october november december';
const days = 'sunday monday tuesday wednesday thursday friday saturday';

/** As cron with seconds and years has them. Months count from 1, days of the week from Sunday, which is 0 and 7. */
const fields: readonly Field[] = [
  { min: 0, max: 59 },
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: { of: ['', ...months.split(' ')], lettersMin: 3 } },
  { min: 0, max: 7, names: { of: days.split(' '), lettersMin: 2 } },
  { min: 2000, max: 2100 },
];

/** Whether a list such as `1,5-7,10/2` names the value: `10/2` goes on to the end, and `*` is all. */
function isIn(text: string, field: Field, value: number): boolean {
  if (text === '*') return true;
  return text.split(',').some((part) => {
    const [range, step = '1'] = part.split('/') as [string, string?];
    const [from, to] = range.split('-') as [string, string?];
    const first = range === '*' ? field.min : numberOf(from, field);
    const last =
      range === '*' || (to === undefined && part.includes('/')) ? field.max : numberOf(to ?? from, field);
    const values = field.max === 7 && value === 0 ? [0, 7] : [value];
    return values.some((one) => one >= first && one <= last && (one - first) % Number(step) === 0);
  });
}

/** `NaN` of what is none, which is in no range. */
function numberOf(text: string, { names }: Field): number {
  if (/^\d+$/.test(text)) return Number(text);
  if (!names || text.length < names.lettersMin) return Number.NaN;
  const at = names.of.findIndex((name) => name.startsWith(text.toLowerCase()));
  return at < 0 ? Number.NaN : at;
}

const formats = new Map<string, Intl.DateTimeFormat>();
const formatsMax = 100;

function fieldsIn(timeZone: string, ms: number): number[] {
  const parts = formatOf(timeZone).formatToParts(ms);
  const of = (type: string) => Number(parts.find((part) => part.type === type)!.value);
  const [year, month, day] = [of('year'), of('month'), of('day')];
  const dayOfWeek = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
  return [of('second'), of('minute'), of('hour'), day, month, dayOfWeek, year];
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known) return known;
  const numeric = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric' } as const;
  const exact = { minute: 'numeric', second: 'numeric', hourCycle: 'h23', calendar: 'iso8601' } as const;
  const format = new Intl.DateTimeFormat('en-US', { timeZone, ...numeric, ...exact });
  if (formats.size >= formatsMax) formats.clear();
  formats.set(timeZone, format);
  return format;
}
