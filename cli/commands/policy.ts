import { styleText } from 'node:util';
import { Argument, type Command, Option } from 'commander';
import { type Action, actionResources, callerActions, taskActions } from '../../domain/policies/policy.ts';
import { type PrincipalKind, principalKinds } from '../../domain/principal.ts';
import type { PolicyQuery } from '../../sdk/client.ts';
import type { TestedPolicies } from '../../sdk/project.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { explanationLines } from '../output/explanation.ts';
import { rolesWithoutPermitLines, strayLines } from '../output/policyText.ts';
import { plain, printResult } from '../output/terminal.ts';

/** `waybill policy [test|explain]` */
export const addPolicy: AddCommand = (program, context) => {
  const policy = program.command('policy').description('test the policies of a project; explain a decision');

  policy
    .command('test')
    .description('validate the policies of a project and run the cases of policies/*.cases.json')
    .argument('[folder]', 'the project', '.')
    .action(async (folder: string, _, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      const { readProject, testPolicies } = await import('../../sdk/project.ts');
      const tested = await testPolicies(await readProject(folder));
      printResult(json, tested, () => testLines(tested));
      if (tested.failed > 0) process.exitCode = exitCode.failed;
    });

  policy
    .command('explain')
    .description(
      'for administrators: show how the policy in force decides a question, and what would permit it',
    )
    .addArgument(new Argument('<action>').choices([...callerActions, ...taskActions]))
    .argument('[pipeline]', 'the pipeline, or the pipeline of the run')
    .option(
      '--role <role>',
      'a role of the principal; may be repeated',
      (role, before: string[]) => [...before, role],
      [],
    )
    .addOption(
      new Option('--kind <kind>', 'the kind of the principal').choices(principalKinds).default('person'),
    )
    .addOption(
      new Option('--through <kind>', 'the kind of the actor that acts for the principal').choices(
        principalKinds,
      ),
    )
    .option('--subject <subject>', 'the subject of the principal, for policies that name one')
    .option('--run', 'ask about a run of the pipeline that another principal requested')
    .option('--own', 'ask about a run of the pipeline that the principal requested')
    .option('--instance', 'ask about this Waybill as a whole')
    .action(async (action: Action, pipeline: string | undefined, given: Given, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const policyQuery = policyQueryOf(action, pipeline, given);
      const explanation = await connect(context, options).explain(policyQuery);
      printResult(options.json, explanation, () => explanationLines(policyQuery, explanation));
    });
};

interface Given {
  role: string[];
  kind: PrincipalKind;
  through?: PrincipalKind;
  subject?: string;
  run?: boolean;
  own?: boolean;
  instance?: boolean;
}

function policyQueryOf(action: Action, pipeline: string | undefined, given: Given): PolicyQuery {
  const { role: roles, kind, through, subject, own = false, instance } = given;
  const aboutRun = given.run || own || !actionResources[action].includes('pipeline');
  return {
    principal: {
      roles,
      kind,
      ...(subject !== undefined && { subject }),
      ...(through && { actor: { kind: through } }),
    },
    action,
    resource:
      pipeline === undefined
        ? { kind: instance ? 'instance' : 'tenant' }
        : aboutRun
          ? { kind: 'run', pipeline, own }
          : { kind: 'pipeline', id: pipeline },
  };
}

function testLines({
  digest,
  passed,
  failed,
  results,
  unexercised,
  stray,
  powerless,
}: TestedPolicies): string[] {
  return [
    ...results.map(({ name, wrong }) =>
      wrong === null
        ? `${styleText('green', '✓')} ${plain(name)}`
        : `${styleText('red', '✗')} ${plain(name)}: ${plain(wrong)}`,
    ),
    results.length > 0
      ? `${passed} passed, ${failed} failed, by policy ${digest.slice(0, 12)}.`
      : `The policies validate (${digest.slice(0, 12)}). There are no cases in policies/*.cases.json.`,
    ...strayLines(stray),
    ...rolesWithoutPermitLines(powerless),
    ...(unexercised.length > 0 && results.length > 0 ? [`No case exercises ${unexercised.join(', ')}.`] : []),
  ];
}
