import { type Command, Option } from 'commander';
import { runStates } from '../../domain/run.ts';
import type { Run, RunFilter } from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { exitCodeOf, followToEnd, refusalsOf } from '../followToEnd.ts';
import { auditLines } from '../output/auditText.ts';
import { printResult } from '../output/print.ts';
import { endLines, runLines, runTable } from '../output/runText.ts';
import { pageLimit } from '../pageLimit.ts';

/** `waybill runs [list|get|audit|watch|resume|cancel]` */
export const addRuns: AddCommand = (program, context) => {
  const runs = program.command('runs').description('list, show, follow, resume and cancel runs');

  runs
    .command('list', { isDefault: true })
    .description('the runs of your tenant, newest first')
    .option('--pipeline <id>', 'only those of one pipeline')
    .addOption(new Option('--state <state>', 'only those in one state').choices(runStates))
    .option('--limit <n>', 'at most so many, up to 100', pageLimit, 20)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .action(async (filter: RunFilter, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listRuns(filter);
      printResult(options.json, page, () => listLines(page));
    });

  byId(runs, 'get', 'everything about one run').action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const client = connect(context, options);
    const run = await client.getRun(id);
    const rejections = await refusalsOf(client, run);
    printResult(options.json, run, () => runLines(run, rejections, Date.now()));
  });

  byId(runs, 'audit', 'what happened to a run, and who answers for it; --json has every detail')
    .option('--limit <n>', 'at most so many, up to 100', pageLimit, 100)
    .option('--cursor <cursor>', 'go on where an earlier list ended')
    .action(async (id: string, page: { limit: number; cursor?: string }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { items, nextCursor } = await connect(context, options).listRunAudit(id, page);
      printResult(options.json, { items, nextCursor }, () => [
        ...auditLines(items),
        ...(nextCursor === null ? [] : ['', `There are more: --cursor ${nextCursor}`]),
      ]);
    });

  byId(runs, 'watch', 'follow a run to its end; with --json a line for each change').action(
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

  byId(
    runs,
    'resume',
    'have a suspended run ask whether it may go on; under a new grant if it is yours',
  ).action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const run = await connect(context, options).resumeRun(id);
    printResult(options.json, run, () => [
      `Asked ${run.id} to go on. npx waybill runs watch ${run.id}${asOption(options)} shows whether it may.`,
    ]);
  });

  byId(runs, 'cancel', 'ask for the end of a run; what is stored stays stored').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const run = await connect(context, options).cancelRun(id);
      printResult(options.json, run, () => cancelLines(run, options));
    },
  );
};

function byId(runs: Command, name: string, description: string): Command {
  return runs.command(name).description(description).argument('<id>');
}

function listLines({ items, nextCursor }: { items: Run[]; nextCursor: string | null }): string[] {
  if (items.length === 0) return ['There are no such runs.'];
  const more = nextCursor === null ? [] : ['', `There are more: --cursor ${nextCursor}`];
  return [...runTable(items, Date.now()), ...more];
}

function cancelLines(run: Run, options: GlobalOptions): string[] {
  return [`Asked for the end of ${run.id}. npx waybill runs watch ${run.id}${asOption(options)} shows it.`];
}
