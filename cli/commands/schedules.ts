import { type Command, Option } from 'commander';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { scheduleStates } from '../../domain/schedule.ts';
import type {
  BackfillRequest,
  Firing,
  Page,
  Schedule,
  ScheduleFilter,
  ScheduleTerms,
  ScheduleTiming,
  WaybillClient,
} from '../../sdk/client.ts';
import { canAsk, confirmed } from '../confirmed.ts';
import { asOwner, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { exitCodeOf, followToEnd, refusalsOf } from '../followToEnd.ts';
import { printResult, tell } from '../output/print.ts';
import { endLines } from '../output/runText.ts';
import { draftLines, firingTable, scheduleLines, scheduleTable, zonedTime } from '../output/scheduleText.ts';
import { pageLimit } from '../pageLimit.ts';
import {
  addTerms,
  addTiming,
  addWithout,
  type TermsOptions,
  type TimingOptions,
  termsFrom,
  timingFrom,
} from '../scheduleTerms.ts';

/** How many of the times to come are shown before something is saved. */
const shownTimes = 5;

/** `waybill schedules [list|get|preview|create|update|pause|resume|run|backfill|history|renew|delete]` */
export const addSchedules: AddCommand = (program, context) => {
  const schedules = program
    .command('schedules')
    .description('have pipelines run again and again, in the name of whoever consents to it');
  addReading(schedules, context);
  addSaving(schedules, context);
  addSwitches(schedules, context);
  addRuns(schedules, context);
};

function addReading(schedules: Command, context: CliContext): void {
  schedules
    .command('list', { isDefault: true })
    .description('the schedules of your tenant')
    .option('--pipeline <id>', 'only those of one pipeline')
    .addOption(new Option('--state <state>', 'only those in one state').choices(scheduleStates))
    .option('--limit <n>', 'at most so many, up to 100', pageLimit, 20)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .action(async (filter: ScheduleFilter, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listSchedules(filter);
      printResult(options.json, page, () =>
        page.items.length === 0
          ? ['There are no such schedules.']
          : [...scheduleTable(page.items, Date.now()), ...moreLines(page)],
      );
    });

  byId(schedules, 'get', 'everything about one schedule, and when it is due next').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const schedule = await client.getSchedule(id);
      const next = options.json ? [] : await nextTimes(client, schedule.terms);
      printResult(options.json, schedule, () => scheduleLines(schedule, next, Date.now()));
    },
  );

  byId(schedules, 'history', 'what became of its times, newest first')
    .option('--limit <n>', 'at most so many, up to 100', pageLimit, 20)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .action(async (id: string, page: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const firings = await connect(context, options).listFirings(id, page);
      printResult(options.json, firings, () => historyLines(firings));
    });

  addTiming(schedules.command('preview').description('when a schedule would be due, before there is one'))
    .option('--count <n>', 'so many times, up to 100', pageLimit, 10)
    .action(async (given: TimingOptions & { count: number }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const timing = timingFrom(given);
      const { times } = await connect(context, options).previewSchedule(timing, given.count);
      printResult(options.json, { times }, () =>
        times.length === 0
          ? ['It would never be due.']
          : times.map((time) => zonedTime(time, timing.timeZone)),
      );
    });
}

interface SaveOptions extends GlobalOptions, TermsOptions {
  id?: string;
  note?: string;
  lifetime?: string;
  paused?: boolean;
  mine?: boolean;
  yes?: boolean;
}

function addSaving(schedules: Command, context: CliContext): void {
  saving(schedules.command('create').description('have a pipeline run in your name').argument('<pipeline>'))
    .option('--id <id>', 'what to call it; default the pipeline and a few letters')
    .option('--paused', 'saved, and begins nothing before it is resumed')
    .action((pipeline: string, _, command: Command) => create(pipeline, command.optsWithGlobals(), context));

  addWithout(saving(byId(schedules, 'update', 'change what a schedule does; its owner has to agree')))
    .option('--mine', 'make it yours: from then on it runs in your name')
    .action((id: string, _, command: Command) => update(id, command.optsWithGlobals(), context));

  byId(schedules, 'renew', 'consent anew to what a schedule of yours does, as it is now')
    .option('--lifetime <duration>', 'how long that lasts; at most and by default 90d')
    .option('--yes', 'do not ask')
    .action((id: string, _, command: Command) => renew(id, command.optsWithGlobals(), context));
}

function saving(command: Command): Command {
  return addTerms(command)
    .option('--note <text>', 'for whoever looks at it')
    .option('--lifetime <duration>', 'how long the consent lasts; at most and by default 90d')
    .option('--yes', 'do not ask: save it');
}

async function create(pipelineId: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const terms = termsFrom(options, await client.getPipeline(pipelineId));
  const next = await nextTimes(client, terms, { pipeline: pipelineId, terms });
  await agree(pipelineId, terms, next, options);
  const { id, note, lifetime, paused } = options;
  const schedule = await client.createSchedule({
    pipeline: pipelineId,
    terms,
    ...(id !== undefined && { id }),
    ...(note !== undefined && { note }),
    ...(lifetime !== undefined && { lifetime }),
    ...(paused && { paused }),
  });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

async function update(id: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const before = await client.getSchedule(id);
  const terms = termsFrom(options, await client.getPipeline(before.pipeline), before.terms);
  const { note, lifetime, mine } = options;
  const asksAnew = mine || canonicalJson(terms) !== canonicalJson(before.terms);
  const draft = asksAnew ? { pipeline: before.pipeline, terms } : undefined;
  await agree(before.pipeline, terms, await nextTimes(client, terms, draft), options);
  // What somebody else has changed meanwhile was not what was shown.
  const schedule = await client.updateSchedule(id, {
    revision: before.revision,
    terms,
    ...(note !== undefined && { note }),
    ...(lifetime !== undefined && { lifetime }),
    ...(mine && { owner: 'me' as const }),
  });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

async function renew(id: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const { pipeline, terms, note, revision } = await client.getSchedule(id);
  await client.renewSchedule(id, revision, { dryRun: true });
  const next = await nextTimes(client, terms);
  await agree(pipeline, terms, next, { ...options, ...(note !== null && { note }) });
  const { lifetime } = options;
  const schedule = await client.renewSchedule(id, revision, { ...(lifetime !== undefined && { lifetime }) });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

/** Nobody consents to times that they have not seen, nor is shown what they would not be let save. */
async function agree(
  pipeline: string,
  terms: ScheduleTerms,
  next: readonly string[],
  { yes, note, json }: SaveOptions,
): Promise<void> {
  const asks = !yes;
  if (asks && !canAsk(json))
    throw new CliError('There is nobody to ask: say --yes to save what is asked for.', 'usage');
  for (const line of draftLines(pipeline, terms, next, note)) tell(line);
  if (asks && !(await confirmed('Do you consent to this?'))) throw new CliError('Nothing was saved.');
}

async function nextTimes(
  client: WaybillClient,
  terms: ScheduleTerms,
  draft?: Parameters<WaybillClient['previewSchedule']>[2],
): Promise<string[]> {
  return (await client.previewSchedule(timingOf(terms), shownTimes, draft)).times;
}

function timingOf(terms: ScheduleTerms): ScheduleTiming {
  const { cron, every, offset, calendars, timeZone, jitter, startAt, endAt } = terms;
  return {
    ...(cron !== undefined && { cron }),
    ...(every !== undefined && { every }),
    ...(offset !== undefined && { offset }),
    ...(calendars !== undefined && { calendars }),
    ...(timeZone !== undefined && { timeZone }),
    ...(jitter !== undefined && { jitter }),
    ...(startAt !== undefined && { startAt }),
    ...(endAt !== undefined && { endAt }),
  };
}

function addSwitches(schedules: Command, context: CliContext): void {
  byId(schedules, 'pause', 'have it begin nothing until it is resumed; what is under way goes on')
    .option('--note <text>', 'why, for whoever looks at it')
    .action(async (id: string, given: { note?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const schedule = await connect(context, options).pauseSchedule(id, given);
      printResult(options.json, schedule, () => [`${id} is paused.`]);
    });

  byId(schedules, 'resume', 'have it go on; times that have passed are not made up for').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const schedule = await connect(context, options).resumeSchedule(id);
      printResult(options.json, schedule, () => savedLines(schedule, options));
    },
  );

  byId(schedules, 'delete', 'end it; runs that it has begun go on')
    .option('--yes', 'do not ask')
    .action(async (id: string, { yes }: { yes?: boolean }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (!yes && !canAsk(options.json)) throw new CliError('There is nobody to ask: say --yes.', 'usage');
      if (!yes && !(await confirmed(`Do you end ${id}?`))) throw new CliError('Nothing was ended.');
      await connect(context, options).deleteSchedule(id);
      printResult(options.json, { id, deleted: true }, () => [`${id} has ended.`]);
    });
}

interface RunOptions extends GlobalOptions {
  idempotencyKey?: string;
  wait?: boolean;
}

interface BackfillOptions extends GlobalOptions {
  from: string;
  to: string;
  mode: NonNullable<BackfillRequest['mode']>;
  dryRun?: boolean;
}

function addRuns(schedules: Command, context: CliContext): void {
  byId(schedules, 'run', 'begin a run as it would, now and in your own name')
    .option('--idempotency-key <key>', 'the same request with the same key is the same run')
    .option('--wait', 'follow the run to its end; exit code 4 where it fails or is cancelled')
    .action(async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      const { idempotencyKey } = options;
      const client = connect(context, options);
      const accepted = await client.runSchedule(id, {
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      });
      if (!options.wait) return printResult(options.json, accepted, () => [`Accepted as ${accepted.id}.`]);
      tell(`Accepted as ${accepted.id}.`);
      const run = await followToEnd(client, accepted.id);
      const rejections = await refusalsOf(client, run);
      printResult(options.json, run, () => endLines(run, rejections));
      process.exitCode = exitCodeOf(run);
    });

  byId(schedules, 'backfill', 'begin runs for times that have passed, in your own name')
    .requiredOption('--from <time>', 'RFC 3339')
    .option('--to <time>', 'RFC 3339; default now')
    .addOption(
      new Option('--mode <mode>', 'times without a run, times whose last run failed, or all')
        .choices(['missing', 'failed', 'all'])
        .default('missing'),
    )
    .option('--dry-run', 'only say which times')
    .action((id: string, _, command: Command) => backfill(id, command.optsWithGlobals(), context));
}

async function backfill(id: string, options: BackfillOptions, context: CliContext): Promise<void> {
  const { from, to = new Date().toISOString(), mode, dryRun = false, json } = options;
  const client = connect(context, options);
  const filled = await client.backfillSchedule(id, { from, to, mode, dryRun });
  const { timeZone } = (await client.getSchedule(id)).terms;
  printResult(json, filled, () =>
    filled.items.length === 0
      ? ['There is no such time.']
      : [
          ...filled.items.map(({ at, run }) => `${zonedTime(at, timeZone)}  ${run ?? 'would be run'}`),
          ...(filled.more ? ['', `There are more: --from after ${filled.items.at(-1)!.at}`] : []),
        ],
  );
}

function savedLines(schedule: Schedule, options: GlobalOptions): string[] {
  const { id, state, reason, owner, delegation } = schedule;
  const who = owner.subject;
  if (state === 'blocked' && reason?.code === 'ConsentNeeded')
    return [
      `Saved as ${id}. It waits for the consent of ${who}: npx waybill schedules renew ${id}${asOwner(owner, options)}`,
    ];
  if (state !== 'active') return [`Saved as ${id}, which is ${state}.`];
  return [
    `${id} runs in the name of ${who}, until ${delegation?.expiresAt.slice(0, 10)} unless they renew it.`,
  ];
}

function historyLines(page: Page<Firing>): string[] {
  if (page.items.length === 0) return ['None of its times has come yet.'];
  return [...firingTable(page.items), ...moreLines(page)];
}

function moreLines({ nextCursor }: Page<unknown>): string[] {
  return nextCursor === null ? [] : ['', `There are more: --cursor ${nextCursor}`];
}

function byId(schedules: Command, name: string, description: string): Command {
  return schedules.command(name).description(description).argument('<id>');
}
