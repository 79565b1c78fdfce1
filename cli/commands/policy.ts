import { resolve } from 'node:path';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { CaseResult } from '../../domain/policyCases.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { plain } from '../output/plain.ts';
import { printResult } from '../output/print.ts';

/** `waybill policy [test|explain]` */
export const addPolicy: AddCommand = (program) => {
  const policy = program.command('policy').description('test the policies of a project, explain a decision');

  policy
    .command('test')
    .description('check the policies strictly and ask them the cases of policies/*.cases.json')
    .argument('[folder]', 'the project', '.')
    .action(async (folder: string, _, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      const tested = await test(resolve(folder));
      printResult(json, tested, () => testLines(tested));
      if (tested.failed > 0) process.exitCode = exitCode.failed;
    });
};

interface Tested {
  digest: string;
  passed: number;
  failed: number;
  results: CaseResult[];
  /** Policies that decided none of the cases. */
  unexercised: string[];
}

async function test(project: string): Promise<Tested> {
  const { createPolicyEngine } = await import('../../adapters/policy/engine.ts');
  const { readCases } = await import('../../adapters/policy/readCases.ts');
  const { readPolicies } = await import('../../adapters/policy/readPolicies.ts');
  const { loadProject } = await import('../../adapters/project/loadProject.ts');
  const { tryCases } = await import('../../domain/policyCases.ts');
  const set = await readPolicies(project);
  const [definitions, cases] = await Promise.all([loadProject(project), readCases(project)]);
  const engine = createPolicyEngine(set);
  const tried = tryCases(engine, Object.keys(set.policies), cases, (id) => definitions.find(id)?.manifest);
  const failed = tried.results.filter(({ wrong }) => wrong !== null).length;
  return { digest: engine.digest, passed: cases.length - failed, failed, ...tried };
}

function testLines({ digest, passed, failed, results, unexercised }: Tested): string[] {
  return [
    ...results.map(({ name, wrong }) =>
      wrong === null
        ? `${styleText('green', '✓')} ${plain(name)}`
        : `${styleText('red', '✗')} ${plain(name)}: ${plain(wrong)}`,
    ),
    results.length > 0
      ? `${passed} passed, ${failed} failed, by policy ${digest.slice(0, 12)}.`
      : `The policies validate (${digest.slice(0, 12)}). There are no cases in policies/*.cases.json.`,
    ...(unexercised.length > 0 && results.length > 0 ? [`No case exercises ${unexercised.join(', ')}.`] : []),
  ];
}
