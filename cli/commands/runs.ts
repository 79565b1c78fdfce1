import { type Command, Option } from 'commander';
import { runStates, runTriggers } from '../../domain/runs/run.ts';
import type {
  Run,
  RunFilter,
  Schedule,
  WaitingChoice,
  WaitingRuns,
  WaybillClient,
} from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, CliError, exitCode } from '../context.ts';
import { allSchedules } from '../declaredSchedules.ts';
import { exitCodeOf, followToEnd, refusalsOf } from '../followToEnd.ts';
import { addByIdCommand, allItems, paged } from '../options.ts';
import { auditLines } from '../output/auditText.ts';
import { endLines, holdTable, runLines, runTable, waitingLines } from '../output/runText.ts';
import { moreLines, pageLines } from '../output/table.ts';
import { plain, printResult } from '../output/terminal.ts';

/** `waybill runs [list|get|audit|watch|resume|retry|hold|holds|cancel|move]` */
export const addRuns: AddCommand = (program, context) => {
  const runs = program.command('runs').description('list, show, follow, resume and cancel runs');

  const list = runs
    .command('list', { isDefault: true })
    .description('list the runs of your tenant, newest first')
    .option('--pipeline <id>', 'only runs of this pipeline')
    .addOption(new Option('--state <state>', 'only runs in this state').choices(runStates))
    .option('--pipeline-version <n>', 'only runs of this version of their pipeline')
    .option('--from <time>', 'accepted at this time or later (RFC 3339)')
    .option('--to <time>', 'accepted before this time')
    .option('--requester <who>', 'only runs that this principal asked for: its id or subject')
    .addOption(new Option('--trigger <kind>', 'what began the run').choices(runTriggers))
    .option('--schedule <id>', 'only runs of this schedule, its backfills included')
    .option('--parameter <name=value>', 'only runs with this parameter')
    .option('--code <code>', 'only runs that failed, or wait, with this code')
    .option('--unaddressed', 'only runs with dead letters that are neither stored nor discarded')
    .option(
      '--definition-missing',
      'only open runs with a missing definition, and the schedules behind them',
    );
  paged(list).action(
    async (
      asked: Omit<RunFilter, 'unaddressed' | 'definitionMissing'> & {
        pipelineVersion?: string;
        unaddressed?: boolean;
        definitionMissing?: boolean;
      },
      command: Command,
    ) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { unaddressed, definitionMissing, pipelineVersion, ...filter } = asked;
      const client = connect(context, options);
      const page = await client.listRuns({
        ...filter,
        ...(pipelineVersion !== undefined && { version: Number(pipelineVersion) }),
        ...(unaddressed && { unaddressed: 'true' as const }),
        ...(definitionMissing && { definitionMissing: 'true' as const }),
      });
      const behind = definitionMissing ? await schedulesBehind(client, page.items) : [];
      printResult(options.json, definitionMissing ? { ...page, schedules: behind } : page, () => [
        ...pageLines(page, runTable, 'There are no such runs.'),
        ...behind.map(
          ({ id, stalledBehind }) => `Schedule ${id} begins nothing until ${stalledBehind} ends.`,
        ),
      ]);
    },
  );

  addByIdCommand(runs, 'get', 'show one run').action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const client = connect(context, options);
    const run = await client.getRun(id);
    const rejections = await refusalsOf(client, run);
    printResult(options.json, run, () => runLines(run, rejections, Date.now()));
  });

  const audit = addByIdCommand(
    runs,
    'audit',
    'list the audit events of a run, oldest first; --json has every detail',
  );
  paged(audit, 100).action(
    async (id: string, asked: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listRunAudit(id, asked);
      printResult(options.json, page, () => [...auditLines(page.items), ...moreLines(page.nextCursor)]);
    },
  );

  addByIdCommand(runs, 'watch', 'follow a run to its end; with --json a line for each change').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const onChange = (run: Run) => options.json && printResult(true, run, () => []);
      const client = connect(context, options);
      const run = await followToEnd(client, id, { onChange, as: options.as });
      if (!options.json) {
        const rejections = await refusalsOf(client, run);
        printResult(false, run, () => endLines(run, rejections));
      }
      process.exitCode = exitCodeOf(run);
    },
  );

  addByIdCommand(
    runs,
    'resume',
    'make a suspended run check its right again; its requester also gives it a new grant',
  ).action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const run = await connect(context, options).resumeRun(id);
    printResult(options.json, run, () => [
      `${run.id} checks its right again. npx waybill runs watch ${run.id}${asOption(options)} shows whether it continues.`,
    ]);
  });

  addByIdCommand(
    runs,
    'retry',
    'run a failed or cancelled run again: what it has not stored of its pinned input, under your grant',
  ).action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const run = await connect(context, options).retryRun(id);
    printResult(options.json, run, () => [
      `${run.id} runs it again. npx waybill runs watch ${run.id}${asOption(options)} shows what becomes of it.`,
    ]);
  });

  addByIdCommand(runs, 'hold', 'place a legal hold on a run, so that nothing of it is removed, or lift it')
    .option('--reason <text>', 'why')
    .option('--lift', 'lift the hold; its retention decides again')
    .action(async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { reason?: string; lift?: boolean }>();
      const { reason, lift } = options;
      if (Boolean(lift) === (reason !== undefined))
        throw new CliError('Say why with --reason, or lift the hold with --lift.', 'usage');
      const client = connect(context, options);
      if (reason === undefined) {
        await client.releaseRun(id);
        return printResult(options.json, { run: id, held: false }, () => [`${id} is not held.`]);
      }
      const held = await client.holdRun(id, reason);
      printResult(options.json, held, () => [
        `${id} is held: ${plain(held.reason)}.${held.inputRemovedAt ? ' Its input was removed before.' : ''}`,
      ]);
    });

  paged(runs.command('holds').description('list the legal holds of your tenant')).action(
    async (asked: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listHolds(asked);
      printResult(options.json, page, () => pageLines(page, holdTable, 'No run is held.'));
    },
  );

  waitingOptions(runs.command('cancel'))
    .description('ask a run, or all runs with a missing definition, to end; stored rows stay stored')
    .argument('[id]')
    .action(async (id: string | undefined, asked: WaitingOptions, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      if (
        (id === undefined) !== (asked.definitionMissing === true) ||
        (id && (asked.pipeline || asked.dryRun))
      )
        throw new CliError('Name a run, or say --definition-missing.', 'usage');
      if (id === undefined) return handleWaiting((choice) => client.cancelRuns(choice), asked, options);
      const run = await client.cancelRun(id);
      printResult(options.json, run, () => cancelLines(run, options));
    });

  waitingOptions(runs.command('move'))
    .description(
      'move all runs with a missing definition onto the current one: cancel each, and run what it has not stored under your grant',
    )
    .action(async (asked: WaitingOptions, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (!asked.definitionMissing) throw new CliError('Say --definition-missing.', 'usage');
      const client = connect(context, options);
      await handleWaiting((choice) => client.moveRuns(choice), asked, options);
    });
};

interface WaitingOptions {
  definitionMissing?: boolean;
  pipeline?: string;
  dryRun?: boolean;
}

function waitingOptions(command: Command): Command {
  return command
    .option(
      '--definition-missing',
      'the runs that wait while the definition that they began with is not served',
    )
    .option('--pipeline <id>', 'only runs of this pipeline')
    .option('--dry-run', 'say what would become of each, and change nothing');
}

/** Page after page, so that one command is about all of them. Exit code 1 where nothing was done to one. */
async function handleWaiting(
  ask: (choice: WaitingChoice) => Promise<WaitingRuns>,
  { pipeline, dryRun = false }: WaitingOptions,
  { json }: GlobalOptions,
): Promise<void> {
  const choice = { definitionMissing: true, dryRun, ...(pipeline !== undefined && { pipeline }) } as const;
  const items = await allItems((from) => ask({ ...choice, ...from }));
  printResult(json, { dryRun, items }, () => waitingLines(items, dryRun));
  if (items.some(({ code }) => code !== null)) process.exitCode = exitCode.failed;
}

/** Schedules that begin nothing until one of the runs ends. */
async function schedulesBehind(client: WaybillClient, runs: readonly Run[]): Promise<Schedule[]> {
  const ids = new Set(runs.map(({ id }) => id));
  if (ids.size === 0) return [];
  const schedules = await allSchedules(client);
  return schedules.filter(({ stalledBehind }) => stalledBehind !== null && ids.has(stalledBehind));
}

function cancelLines(run: Run, options: GlobalOptions): string[] {
  return [`${run.id} was asked to end. npx waybill runs watch ${run.id}${asOption(options)} shows it.`];
}
