import type { Command } from 'commander';
import type { PolicyPlan } from '../../sdk/project.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { databaseOf } from '../database.ts';
import { planSchedules } from '../declaredSchedules.ts';
import { otherProjectLine } from '../otherProject.ts';
import { pipelineLines, touchedLines } from '../output/contractText.ts';
import { changeLines, rolesWithoutPermitLines, strayLines } from '../output/policyText.ts';
import { retentionLines } from '../output/retentionText.ts';
import { plannedLines, schedulesJson } from '../output/scheduleChanges.ts';
import { printResult } from '../output/terminal.ts';
import { limitLines } from './limits.ts';

interface PlanOptions extends GlobalOptions {
  database?: string;
}

/** `waybill plan [folder] [--database URL]`: what `waybill apply` would change in the policy and for which principals, in contracts, in tables, in retention, in limits and in declared schedules. */
export const addPlan: AddCommand = (program, context) => {
  program
    .command('plan')
    .description(
      'show what apply would change: rights, contracts, tables, retention, limits and declared schedules, and which runs and schedules it touches; exit code 1 if apply would reject a pipeline, 3 if a principal gains a right',
    )
    .argument('[folder]', 'the project', '.')
    .option('--database <url>', 'the database; default WAYBILL_DATABASE_URL, else that of the embedded stack')
    .action(async (folder: string, _, command: Command) => {
      const options = command.optsWithGlobals<PlanOptions>();
      const {
        otherProject,
        planLimits,
        planPipelines,
        planPolicies,
        planRetention,
        planTouched,
        readProject,
        refusalOf,
      } = await import('../../sdk/project.ts');
      const project = await readProject(folder);
      const database = databaseOf(options.database, context);
      const other = await otherProject(database, project.name);
      const plan = {
        otherProject: other ? otherProjectLine(other.name, project.name) : null,
        ...(await planPolicies(project, database)),
      };
      const pipelines = await planPipelines(project, database);
      const touched = await planTouched(project, database);
      const retention = await planRetention(project, database);
      const limits = await planLimits(project, database);
      const schedules = await planSchedules(project.definitions, options, context);
      printResult(
        options.json,
        {
          ...plan,
          pipelines: pipelines.map((one) => ({ ...one, refusal: refusalOf(one) ?? null })),
          touched,
          retention,
          limits,
          schedules: schedulesJson(schedules.plan),
        },
        () => [
          ...(plan.otherProject ? [plan.otherProject] : []),
          ...planLines(plan),
          ...pipelineLines(pipelines, refusalOf),
          ...touchedLines(touched),
          ...retentionLines(retention),
          ...limitLines(limits),
          ...plannedLines(schedules.declared, schedules.plan, options),
        ],
      );
      if (pipelines.some((one) => refusalOf(one) !== undefined)) process.exitCode = exitCode.failed;
      else if (plan.changes.some(({ change }) => change === 'gains')) process.exitCode = exitCode.denied;
    });
};

function planLines({ before, after, policies, changes, stray, powerless }: PolicyPlan): string[] {
  const warnings = [...strayLines(stray), ...rolesWithoutPermitLines(powerless)];
  if (before === after)
    return [`The policy of the project is in force already (${after.slice(0, 12)}).`, ...warnings];
  const { added, removed, changed } = policies;
  const written = [
    ...added.map((id) => `+ ${id}`),
    ...removed.map((id) => `- ${id}`),
    ...changed.map((id) => `~ ${id}`),
  ];
  const gains = changes.filter(({ change }) => change === 'gains');
  return [
    `From ${before?.slice(0, 12) ?? 'no policy'} to ${after.slice(0, 12)}:`,
    ...written.map((line) => `  ${line}`),
    ...warnings,
    '',
    ...(changes.length === 0 ? ['No right is gained or lost.'] : changeLines(changes)),
    ...(gains.length > 0
      ? ['', 'Rights are gained: have another person review this before you apply it.']
      : []),
  ];
}
