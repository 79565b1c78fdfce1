import { type Command, Option } from 'commander';
import { runStates } from '../../domain/runs/run.ts';
import type { Run, RunFilter } from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, CliError } from '../context.ts';
import { exitCodeOf, followToEnd, refusalsOf } from '../followToEnd.ts';
import { addByIdCommand, paged } from '../options.ts';
import { auditLines } from '../output/auditText.ts';
import { endLines, holdTable, runLines, runTable } from '../output/runText.ts';
import { moreLines, pageLines } from '../output/table.ts';
import { plain, printResult } from '../output/terminal.ts';

/** `waybill runs [list|get|audit|watch|resume|hold|holds|cancel]` */
export const addRuns: AddCommand = (program, context) => {
  const runs = program.command('runs').description('list, show, follow, resume and cancel runs');

  const list = runs
    .command('list', { isDefault: true })
    .description('list the runs of your tenant, newest first')
    .option('--pipeline <id>', 'only runs of this pipeline')
    .addOption(new Option('--state <state>', 'only runs in this state').choices(runStates))
    .option('--unaddressed', 'only runs with dead letters that are neither stored nor discarded');
  paged(list).action(
    async (asked: Omit<RunFilter, 'unaddressed'> & { unaddressed?: boolean }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { unaddressed, ...filter } = asked;
      const page = await connect(context, options).listRuns({
        ...filter,
        ...(unaddressed && { unaddressed: 'true' as const }),
      });
      printResult(options.json, page, () => pageLines(page, runTable, 'There are no such runs.'));
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
    'run a failed run again: what it has not stored of its pinned input, under your grant',
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

  addByIdCommand(runs, 'cancel', 'ask a run to end; stored rows stay stored').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const run = await connect(context, options).cancelRun(id);
      printResult(options.json, run, () => cancelLines(run, options));
    },
  );
};

function cancelLines(run: Run, options: GlobalOptions): string[] {
  return [`${run.id} was asked to end. npx waybill runs watch ${run.id}${asOption(options)} shows it.`];
}
