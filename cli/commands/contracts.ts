import type { Command } from 'commander';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { contractLines } from '../output/contractText.ts';
import { printResult } from '../output/terminal.ts';

/** `waybill contracts [folder]`: records what senders and readers rely on, in files that are kept in git. */
export const addContracts: AddCommand = (program) => {
  program
    .command('contracts')
    .description('write contracts/<pipeline>.json; exit code 1 if a breaking change has no new version')
    .argument('[folder]', 'the project', '.')
    .action(async (folder: string, _, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      const { readProject, writeContracts } = await import('../../sdk/project.ts');
      const result = await writeContracts(await readProject(folder));
      printResult(json, result, () => [
        ...result.written.map((id) => `Written: contracts/${id}.json.`),
        ...(result.unchanged.length > 0 ? [`Unchanged: ${result.unchanged.join(', ')}.`] : []),
        ...result.refused.flatMap(({ pipeline, difference }) => [
          `Not written: contracts/${pipeline}.json. Raise the version of ${pipeline}, or take the breaking changes back:`,
          ...contractLines(difference),
        ]),
      ]);
      if (result.refused.length > 0) process.exitCode = exitCode.failed;
    });
};
