import { type Command, InvalidArgumentError, Option } from 'commander';
import { overlaps } from '../domain/schedules/schedule.ts';
import type { PipelineDetail, ScheduleTerms, ScheduleTiming } from '../sdk/client.ts';
import { CliError } from './context.ts';
import { referenceOf } from './options.ts';
import { rawParameters, typedParameters } from './parameters.ts';

/** When it is due, as options say it. */
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
  param?: string[];
  timeParameter?: string;
  source?: string;
  callback?: string;
  without?: Optional[];
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
    .option('--cron <fields>', 'minute, hour, day of month, month, day of week')
    .option('--every <duration>', 'such as 15m or 1d, counted from 1970')
    .option('--offset <duration>', 'shifts --every')
    .option('--calendar <name=value,…>', 'such as hour=6,dayOfWeek=1-5; may be repeated', calendars)
    .option('--time-zone <name>', 'of --cron and --calendar, such as Europe/Vienna; default UTC')
    .option('--jitter <duration>', 'each start is put off by a part of this')
    .option('--start <time>', 'not before: RFC 3339')
    .option('--end <time>', 'not after: RFC 3339');
}

export function addTerms(command: Command): Command {
  return addTiming(command)
    .addOption(
      new Option('--overlap <policy>', 'while the run before goes on; default skip').choices(overlaps),
    )
    .option('--catch-up <duration>', 'how late a run may begin that was missed; default 1h')
    .option('--pause-on-failure', 'begin nothing more once a run has failed')
    .option('--no-pause-on-failure')
    .option('--param <name=value>', 'a parameter of its runs; may be repeated', collect)
    .option('--time-parameter <name>', 'the parameter in which a run gets the time that it is for')
    .option('--source <url-or-path>', 'what its runs read, instead of what the pipeline names')
    .option('--callback <url>', 'is told of its runs, and when the schedule is blocked');
}

export function addWithout(command: Command): Command {
  return command.addOption(
    new Option('--without <option>', 'take away what was said by that option').argParser(
      (one: string, all: Optional[] = []) => {
        const name = one.replace(/^--/, '');
        if (!(optional as readonly string[]).includes(name))
          throw new InvalidArgumentError(`It is one of ${optional.join(', ')}.`);
        return [...all, name as Optional];
      },
    ),
  );
}

/** What options say of the terms; `before` stays where they say nothing. */
export function termsFrom(
  options: TermsOptions,
  pipeline: Pick<PipelineDetail, 'schemas'>,
  before: Partial<ScheduleTerms> = {},
): ScheduleTerms {
  const { overlap, catchUp, pauseOnFailure, param, timeParameter, source, callback, without = [] } = options;
  const terms = {
    ...before,
    ...timingFrom(options),
    ...(overlap && { overlap }),
    ...(catchUp && { catchUp }),
    ...(pauseOnFailure !== undefined && { pauseOnFailure }),
    ...(param && { parameters: typedParameters(rawParameters(param), pipeline.schemas.parameters) }),
    ...(timeParameter && { timeParameter }),
    ...(source && { source: referenceOf(source) }),
    ...(callback && { callback: { url: callback } }),
  };
  for (const name of without) delete terms[fieldOf[name]];
  if (!terms.cron && !terms.every && !terms.calendars)
    throw new CliError('Say when: --cron, --every or --calendar.', 'usage');
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
    throw new InvalidArgumentError(`Write it as hour=6,dayOfWeek=1-5, of ${calendarFields.join(', ')}.`);
  return [...all, Object.fromEntries(fields.map(([name, value]) => [name, value!.replaceAll('+', ',')]))];
}

function collect(one: string, all: string[] = []): string[] {
  return [...all, one];
}
