import { type Command, Option } from 'commander';
import { scheduleStates } from '../../domain/schedules/schedule.ts';
import type { ScheduleFilter } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { addByIdCommand, paged, pageLimit } from '../options.ts';
import {
  firingTable,
  scheduleLines,
  scheduleTable,
  warningLines,
  zonedTime,
} from '../output/scheduleText.ts';
import { pageLines } from '../output/table.ts';
import { canAsk, confirmed, printResult } from '../output/terminal.ts';
import { previewTerms, savedLines } from '../savedSchedule.ts';
import { addTiming, type TimingOptions, timingFrom } from '../scheduleTerms.ts';
import { addScheduleRuns } from './scheduleRuns.ts';
import { addScheduleSaving } from './scheduleSaving.ts';

/** `waybill schedules [list|get|preview|create|update|pause|resume|run|backfill|history|renew|delete]` */
export const addSchedules: AddCommand = (program, context) => {
  const schedules = program
    .command('schedules')
    .description('run pipelines at given times, each for the owner of its schedule');
  addReading(schedules, context);
  addScheduleSaving(schedules, context);
  addSwitches(schedules, context);
  addScheduleRuns(schedules, context);
};

function addReading(schedules: Command, context: CliContext): void {
  const list = schedules
    .command('list', { isDefault: true })
    .description('list the schedules of your tenant')
    .option('--pipeline <id>', 'only schedules of this pipeline')
    .addOption(new Option('--state <state>', 'only schedules in this state').choices(scheduleStates));
  paged(list).action(async (filter: ScheduleFilter, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listSchedules(filter);
    printResult(options.json, page, () => pageLines(page, scheduleTable, 'No schedule matches.'));
  });

  addByIdCommand(schedules, 'get', 'show one schedule with its next times').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const schedule = await client.getSchedule(id);
      const next = options.json ? [] : (await previewTerms(client, schedule.terms)).times;
      printResult(options.json, schedule, () => scheduleLines(schedule, next, Date.now()));
    },
  );

  paged(addByIdCommand(schedules, 'history', 'list the outcome of each time, newest first')).action(
    async (id: string, asked: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listFirings(id, asked);
      printResult(options.json, page, () => pageLines(page, firingTable, 'No time has been due yet.'));
    },
  );

  addTiming(
    schedules.command('preview').description('show when a schedule would be due, without creating it'),
  )
    .option('--count <n>', 'how many times to show, up to 100', pageLimit, 10)
    .action(async (given: TimingOptions & { count: number }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const timing = timingFrom(given);
      const preview = await connect(context, options).previewSchedule(timing, given.count);
      printResult(options.json, preview, () => [
        ...preview.times.map((time) => zonedTime(time, timing.timeZone)),
        ...warningLines(preview.warnings),
      ]);
    });
}

function addSwitches(schedules: Command, context: CliContext): void {
  addByIdCommand(
    schedules,
    'pause',
    'pause a schedule: it starts no run until you resume it; open runs continue',
  )
    .option('--note <text>', 'the reason, which readers of the schedule see')
    .action(async (id: string, given: { note?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const schedule = await connect(context, options).pauseSchedule(id, given);
      printResult(options.json, schedule, () => [`${id} is paused.`]);
    });

  addByIdCommand(
    schedules,
    'resume',
    'resume a schedule; it does not catch up on times that have passed',
  ).action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const schedule = await connect(context, options).resumeSchedule(id);
    printResult(options.json, schedule, () => savedLines(schedule, options));
  });

  addByIdCommand(schedules, 'delete', 'delete a schedule; its open runs continue')
    .option('--yes', 'delete without asking')
    .action(async (id: string, { yes }: { yes?: boolean }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (!yes && !canAsk(options.json))
        throw new CliError('There is no terminal to ask on. Add --yes.', 'usage');
      if (!yes && !(await confirmed(`Delete ${id}?`))) throw new CliError('The schedule was not deleted.');
      await connect(context, options).deleteSchedule(id);
      printResult(options.json, { id, deleted: true }, () => [`${id} is deleted.`]);
    });
}
