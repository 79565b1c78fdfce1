import { styleText } from 'node:util';
import type { Firing, Schedule, ScheduleDetail, SchedulePreview, ScheduleTerms } from '../../sdk/client.ts';
import { count, localTime, since } from './quantities.ts';
import { stateText as runStateText } from './runText.ts';
import { table } from './table.ts';
import { plain } from './terminal.ts';

const colours: Record<Schedule['state'], Parameters<typeof styleText>[0]> = {
  active: 'green',
  stalled: 'red',
  paused: 'yellow',
  blocked: 'red',
};

const outcomes: Record<Firing['outcome'], Parameters<typeof styleText>[0]> = {
  fired: 'green',
  blocked: 'red',
  missed: 'yellow',
  skipped: 'yellow',
};

export function scheduleTable(schedules: readonly Schedule[], now: number): string[] {
  return table<Schedule>(
    [
      { title: 'SCHEDULE', cell: ({ id, declared }) => (declared ? `${id} (declared)` : id) },
      { title: 'STATE', cell: stateText },
      { title: 'PIPELINE', cell: ({ pipeline }) => pipeline },
      { title: 'WHEN', cell: ({ terms }) => whenText(terms) },
      { title: 'OWNER', cell: ({ owner }) => plain(owner.subject) },
      { title: 'CONSENT', align: 'right', cell: (one) => consentText(one, now) },
    ],
    schedules,
  );
}

/** All of one schedule, with its next times. */
export function scheduleLines(schedule: ScheduleDetail, next: readonly string[], now: number): string[] {
  const {
    id,
    pipeline,
    terms,
    note,
    owner,
    declared,
    reason,
    pausedBy,
    links,
    updatedAt,
    applied,
    revision,
  } = schedule;
  const rows: [string, string][] = [
    ['state', stateText({ ...schedule, reason: null })],
    ...(reason ? [['reason', plain(`${reason.code}: ${reason.message}`)] as [string, string]] : []),
    ...(pausedBy ? [['paused by', plain(pausedBy.subject)] as [string, string]] : []),
    ['pipeline', pipeline],
    ...termRows(terms),
    ...(note ? [['note', plain(note)] as [string, string]] : []),
    ['owner', `${plain(owner.subject)}${declared ? '; declared with its pipeline' : ''}`],
    ['consent', consentText(schedule, now)],
    ...changeRows(schedule),
    [
      'changed',
      `${localTime(updatedAt)} (${since(updatedAt, now)}), revision ${revision}${applied ? '' : ', on its way to Temporal'}`,
    ],
    ...waitingRows(schedule),
    ...nextRows(schedule.state === 'active' || schedule.state === 'stalled' ? next : [], terms.timeZone),
    ...warningRows(schedule.warnings),
    ...(links.temporal ? [['temporal', links.temporal] as [string, string]] : []),
  ];
  return [styleText('bold', id), ...rows.map(row)];
}

/** What a user is about to consent to. */
export function draftLines(
  pipeline: string,
  terms: ScheduleTerms,
  { times, warnings }: SchedulePreview,
  note: string | null | undefined,
): string[] {
  return [
    `${styleText('bold', pipeline)} would run in your name:`,
    ...[
      ...termRows(terms),
      ...(note ? [['note', plain(note)] as [string, string]] : []),
      ...nextRows(times, terms.timeZone),
      ...warningRows(warnings),
    ].map(row),
  ];
}

/** What a run would do now, to which the owner has not consented. */
export function changedLines(schedule: ScheduleDetail): string[] {
  const { id, owner, pipeline, revision, terms, note } = schedule;
  return [
    `${plain(owner.subject)} has not consented to ${styleText('bold', id)} as it is now: another caller has changed it. Revision ${revision} runs ${pipeline}:`,
    ...[
      ...termRows(terms),
      ...(note ? [['note', plain(note)] as [string, string]] : []),
      ...changeRows(schedule),
    ].map(row),
  ];
}

/** Each term that changed since the owner consented, as it was and as it is. */
export function consentChangeLines(schedule: ScheduleDetail): string[] {
  return changeRows(schedule).map(row);
}

function changeRows({ changesSinceConsent }: ScheduleDetail): [string, string][] {
  return (changesSinceConsent ?? []).map(({ path, before, now }, i) => [
    i === 0 ? 'differs' : '',
    plain(`${path.slice(1)}: ${termText(before)} → ${termText(now)}`),
  ]);
}

function termText(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The outcome of each time. Times that an open run skipped are one line above that run. */
export function firingTable(firings: readonly Firing[]): string[] {
  return table<FiringRow>(
    [
      { title: 'FOR', cell: ({ at }) => localTime(at) },
      { title: 'OUTCOME', cell: ({ outcome }) => styleText(outcomes[outcome], outcome) },
      { title: 'RUN', cell: ({ run, code }) => run ?? plain(code ?? '') },
      { title: 'STATE', cell: ({ how }) => how },
      { title: 'BACKFILLED BY', cell: ({ backfilledBy }) => backfilledBy ?? '' },
    ],
    firings.flatMap(firingRows),
  );
}

type FiringRow = Pick<Firing, 'at' | 'outcome' | 'run' | 'code' | 'backfilledBy'> & { how: string };

function firingRows(firing: Firing): FiringRow[] {
  const { run, state, skipped } = firing;
  const begun = { ...firing, how: state ? runStateText(state) : '' };
  if (!skipped) return [begun];
  const how = `went on${skipped.times > 1 ? `; ${skippedText(skipped)}` : ''}`;
  return [{ at: skipped.last, outcome: 'skipped', run, code: null, backfilledBy: null, how }, begun];
}

function skippedText({ times, first, more }: NonNullable<Firing['skipped']>): string {
  if (times === 1) return `once, at ${localTime(first)}`;
  return `${more ? 'more than ' : ''}${count(times)} times since ${localTime(first)}`;
}

/** The run that the schedule waits for, and the command that shows it. */
function waitingRows({ waitsFor }: ScheduleDetail): [string, string][] {
  if (!waitsFor) return [];
  const { run, at, state, reason, skipped } = waitsFor;
  const how = `${state ? `is ${runStateText(state)}` : 'goes on'}${reason ? ` (${plain(reason.code)})` : ''}`;
  return [
    ['waits for', `${run}, of ${localTime(at)}, which ${how}; npx waybill runs get ${run}`],
    ...(skipped ? [['skipped', skippedText(skipped)] as [string, string]] : []),
  ];
}

/** A time in the zone of the schedule, with its offset on that day, so that a reader sees when clocks change. */
export function zonedTime(time: string, timeZone = 'UTC'): string {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'longOffset',
  }).formatToParts(new Date(time));
  const of = (type: string) => parts.find((part) => part.type === type)?.value ?? '';
  const offset = of('timeZoneName').replace('GMT', '') || '+00:00';
  return `${of('weekday')} ${of('year')}-${of('month')}-${of('day')} ${of('hour')}:${of('minute')}:${of('second')} ${offset}`;
}

function row([name, value]: [string, string]): string {
  return `  ${styleText('dim', name.padEnd(9))} ${value}`.trimEnd();
}

function stateText({ state, reason }: Pick<Schedule, 'state' | 'reason'>): string {
  return styleText(colours[state], state) + (reason ? ` ${plain(reason.code)}` : '');
}

function consentText({ delegation }: Schedule, now: number): string {
  if (!delegation) return 'none yet';
  const days = Math.floor((Date.parse(delegation.expiresAt) - now) / 86_400_000);
  return days < 0 ? 'expired' : `until ${localTime(delegation.expiresAt).slice(0, 10)} (${days} days)`;
}

function termRows(terms: ScheduleTerms): [string, string][] {
  const { timeZone, jitter, overlap, catchUp, pauseOnFailure, parameters, timeParameter, binds } = terms;
  const { source, callback } = terms;
  const rest: [string, string | undefined][] = [
    ['when', whenText(terms)],
    ['zone', timeZone],
    ['jitter', jitter && `up to ${jitter}`],
    ['from', terms.startAt],
    ['until', terms.endAt],
    ['overlap', overlap],
    ['catch up', catchUp],
    ['failure', pauseOnFailure ? 'pauses it' : undefined],
    ['binds', binds === 'code' ? 'exactly the code of the pipeline' : undefined],
    ['with', parametersText(parameters, timeParameter)],
    ['source', source && ('url' in source ? source.url : source.path)],
    ['callback', callback?.url],
  ];
  return rest.flatMap(([name, value]): [string, string][] => (value ? [[name, plain(value)]] : []));
}

function parametersText(parameters: ScheduleTerms['parameters'], timeParameter: string | undefined): string {
  const given = Object.entries(parameters ?? {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [...given, ...(timeParameter ? [`${timeParameter}=the time`] : [])].join(' ');
}

export function whenText({ cron, every, offset, calendars = [] }: ScheduleTerms): string {
  const parts = [
    ...(cron ? [cron] : []),
    ...(every ? [`every ${every}${offset ? `, ${offset} later` : ''}`] : []),
    ...calendars.map((fields) =>
      Object.entries(fields)
        .filter(([name, value]) => value !== '*' && !(value === '0' && /second|minute/.test(name)))
        .map(([name, value]) => `${name} ${value}`)
        .join(' '),
    ),
  ];
  return parts.join('; ');
}

/** What may surprise, as lines of their own. */
export function warningLines(warnings: SchedulePreview['warnings']): string[] {
  return warnings.map(({ code, message }) => `${styleText('yellow', '!')} ${plain(`${code}: ${message}`)}`);
}

function warningRows(warnings: ScheduleDetail['warnings']): [string, string][] {
  return warningLines(warnings ?? []).map((line) => ['', line]);
}

function nextRows(times: readonly string[], timeZone: string | undefined): [string, string][] {
  return times.map((time, i) => [i === 0 ? 'next' : '', zonedTime(time, timeZone)]);
}
