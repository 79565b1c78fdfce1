import { type Command, Option } from 'commander';
import { scheduleStates } from '../../domain/schedules/schedule.ts';
import type { ScheduleFilter } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { byId, paged, pageLimit } from '../options.ts';
import { firingTable, scheduleLines, scheduleTable, zonedTime } from '../output/scheduleText.ts';
import { pageLines } from '../output/table.ts';
import { canAsk, confirmed, printResult } from '../output/terminal.ts';
import { nextTimes, savedLines } from '../savedSchedule.ts';
import { addTiming, type TimingOptions, timingFrom } from '../scheduleTerms.ts';
import { addScheduleRuns } from './scheduleRuns.ts';
import { addScheduleSaving } from './scheduleSaving.ts';

/** `waybill schedules [list|get|preview|create|update|pause|resume|run|backfill|history|renew|delete]` */
export const addSchedules: AddCommand = (program, context) => {
  const schedules = program
    .command('schedules')
    .description('have pipelines run again and again, in the name of whoever consents to it');
  addReading(schedules, context);
  addScheduleSaving(schedules, context);
  addSwitches(schedules, context);
  addScheduleRuns(schedules, context);
};

function addReading(schedules: Command, context: CliContext): void {
  const list = schedules
    .command('list', { isDefault: true })
    .description('the schedules of your tenant')
    .option('--pipeline <id>', 'only those of one pipeline')
    .addOption(new Option('--state <state>', 'only those in one state').choices(scheduleStates));
  paged(list).action(async (filter: ScheduleFilter, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listSchedules(filter);
    printResult(options.json, page, () => pageLines(page, scheduleTable, 'There are no such schedules.'));
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

  paged(byId(schedules, 'history', 'what became of its times, newest first')).action(
    async (id: string, asked: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listFirings(id, asked);
      printResult(options.json, page, () => pageLines(page, firingTable, 'None of its times has come yet.'));
    },
  );

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
