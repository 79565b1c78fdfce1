import { type Command, InvalidArgumentError, Option } from 'commander';
import { overlaps } from '../domain/schedules/schedule.ts';
import type { PipelineDetail, ScheduleTerms, ScheduleTiming } from '../sdk/client.ts';
import { CliError } from './context.ts';
import { referenceOf } from './options.ts';
import { rawParameters, typedParameters } from './parameters.ts';

/** The times of a schedule, as options. */
export interface TimingOptions {
  cron?: string;
  every?: string;
  offset?: string;
  calendar?: Calendar[];
  timeZone?: string;
  jitter?: string;
  start?: string;
  end?: string;
}

export interface TermsOptions extends TimingOptions {
  overlap?: ScheduleTerms['overlap'];
  catchUp?: string;
  pauseOnFailure?: boolean;
  binds?: NonNullable<ScheduleTerms['binds']>;
  param?: string[];
  timeParameter?: string;
  source?: string;
  callback?: string;
  unset?: Optional[];
}

type Calendar = NonNullable<ScheduleTiming['calendars']>[number];

const optional = [
  'cron',
  'every',
  'offset',
  'calendar',
  'jitter',
  'start',
  'end',
  'param',
  'time-parameter',
  'source',
  'callback',
] as const;
type Optional = (typeof optional)[number];

export function addTiming(command: Command): Command {
  return command
    .option('--cron <fields>', 'five fields: minute, hour, day of month, month, day of week')
    .option('--every <duration>', 'such as 15m or 1d, counted from 1970')
    .option('--offset <duration>', 'shifts --every')
    .option('--calendar <name=value,…>', 'such as hour=6,dayOfWeek=1-5; may be repeated', calendars)
    .option(
      '--time-zone <name>',
      'the time zone of --cron and --calendar, such as Europe/Vienna; default UTC',
    )
    .option('--jitter <duration>', 'delays each start by a random part of this')
    .option('--start <time>', 'no time before this is due; RFC 3339')
    .option('--end <time>', 'no time after this is due; RFC 3339');
}

export function addTerms(command: Command): Command {
  return addTiming(command)
    .addOption(
      new Option(
        '--overlap <policy>',
        'what happens at a time while the previous run is open; default skip',
      ).choices(overlaps),
    )
    .option('--catch-up <duration>', 'how late a missed run may still start; default 1h')
    .option('--pause-on-failure', 'a failed run pauses the schedule')
    .option('--no-pause-on-failure')
    .addOption(
      new Option('--binds <what>', 'what the consent covers of the pipeline; default version').choices([
        'version',
        'code',
      ]),
    )
    .option('--param <name=value>', 'a parameter of each run; may be repeated', collect)
    .option('--time-parameter <name>', 'the parameter that receives the time of the run')
    .option('--source <url-or-path>', 'what each run reads instead of the source of the pipeline')
    .option('--callback <url>', 'receives events about the runs, and when the schedule is blocked');
}

export function addUnset(command: Command): Command {
  return command.addOption(
    new Option('--unset <option>', 'remove what this option set').argParser(
      (one: string, all: Optional[] = []) => {
        const name = one.replace(/^--/, '');
        if (!(optional as readonly string[]).includes(name))
          throw new InvalidArgumentError(`Name one of ${optional.join(', ')}.`);
        return [...all, name as Optional];
      },
    ),
  );
}

/** The terms that the options set; the rest stays as `before` has it. */
export function termsFrom(
  options: TermsOptions,
  pipeline: Pick<PipelineDetail, 'schemas'>,
  before: Partial<ScheduleTerms> = {},
): ScheduleTerms {
  const { overlap, catchUp, pauseOnFailure, binds, param, timeParameter } = options;
  const { source, callback, unset = [] } = options;
  const terms = {
    ...before,
    ...timingFrom(options),
    ...(overlap && { overlap }),
    ...(catchUp && { catchUp }),
    ...(pauseOnFailure !== undefined && { pauseOnFailure }),
    ...(binds && { binds }),
    ...(param && { parameters: typedParameters(rawParameters(param), pipeline.schemas.parameters) }),
    ...(timeParameter && { timeParameter }),
    ...(source && { source: referenceOf(source) }),
    ...(callback && { callback: { url: callback } }),
  };
  for (const name of unset) delete terms[fieldOf[name]];
  if (!terms.cron && !terms.every && !terms.calendars)
    throw new CliError('The schedule has no times. Set --cron, --every or --calendar.', 'usage');
  return terms;
}

export function timingFrom(options: TimingOptions): ScheduleTiming {
  const { cron, every, offset, calendar, timeZone, jitter, start, end } = options;
  return {
    ...(cron && { cron }),
    ...(every && { every }),
    ...(offset && { offset }),
    ...(calendar && { calendars: calendar }),
    ...(timeZone && { timeZone }),
    ...(jitter && { jitter }),
    ...(start && { startAt: start }),
    ...(end && { endAt: end }),
  };
}

const fieldOf: Readonly<Record<Optional, keyof ScheduleTerms>> = {
  cron: 'cron',
  every: 'every',
  offset: 'offset',
  calendar: 'calendars',
  jitter: 'jitter',
  start: 'startAt',
  end: 'endAt',
  param: 'parameters',
  'time-parameter': 'timeParameter',
  source: 'source',
  callback: 'callback',
};

const calendarFields = ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek', 'year'];

/** `hour=6,dayOfWeek=1-5`; a comma within a field is a `+`, as in `dayOfWeek=MON+WED`. */
function calendars(text: string, all: Calendar[] = []): Calendar[] {
  const fields = text.split(',').map((part) => part.split('='));
  const wrong = fields.find(([name, value]) => !calendarFields.includes(name!) || !value);
  if (wrong)
    throw new InvalidArgumentError(
      `Write it as hour=6,dayOfWeek=1-5. The fields are ${calendarFields.join(', ')}.`,
    );
  return [...all, Object.fromEntries(fields.map(([name, value]) => [name, value!.replaceAll('+', ',')]))];
}

function collect(one: string, all: string[] = []): string[] {
  return [...all, one];
}
