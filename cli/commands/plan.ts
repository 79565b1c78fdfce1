import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { StrayName } from '../../adapters/policy/names.ts';
import type { PolicySet } from '../../domain/policies/policy.ts';
import type { PolicyChange } from '../../domain/policies/policyChange.ts';
import type { RoleWithoutPermit } from '../../domain/policies/rolesWithoutPermit.ts';
import type { Definitions } from '../../domain/ports/definitions.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, exitCode } from '../context.ts';
import { embeddedDatabase, namedDatabase } from '../database.ts';
import { planSchedules } from '../declaredSchedules.ts';
import { otherProject, otherProjectLine } from '../otherProject.ts';
import { changeLines, rolesWithoutPermitLines, strayLines } from '../output/policyText.ts';
import { plannedLines, schedulesJson } from '../output/scheduleChanges.ts';
import { printResult } from '../output/terminal.ts';

interface PlanOptions extends GlobalOptions {
  database?: string;
}

/** `waybill plan [folder] [--database URL]`: what `waybill apply` would change in the policy and in declared schedules, and for which principals. */
export const addPlan: AddCommand = (program, context) => {
  program
    .command('plan')
    .description(
      'show what apply would change: rights and declared schedules; exit code 3 if a principal gains a right',
    )
    .argument('[folder]', 'the project', '.')
    .option('--database <url>', 'the database; default WAYBILL_DATABASE_URL, else that of the embedded stack')
    .action(async (folder: string, _, command: Command) => {
      const options = command.optsWithGlobals<PlanOptions>();
      const { loadProject } = await import('../../engine/project/loadProject.ts');
      const project = await loadProject(resolve(folder));
      const plan = await planned(resolve(folder), project, options, context);
      const schedules = await planSchedules(project, options, context);
      printResult(options.json, { ...plan, schedules: schedulesJson(schedules.plan) }, () => [
        ...(plan.otherProject ? [plan.otherProject] : []),
        ...planLines(plan),
        ...plannedLines(schedules.declared, schedules.plan, options),
      ]);
      if (plan.changes.some(({ change }) => change === 'gains')) process.exitCode = exitCode.denied;
    });
};

interface Plan {
  /** Why `apply` asks for `--replace`; `null` where it does not. */
  otherProject: string | null;
  /** Digests; `before` is `null` where no policy is live. */
  before: string | null;
  after: string;
  policies: { added: string[]; removed: string[]; changed: string[] };
  changes: PolicyChange[];
  /** Names of pipelines in policies that are none of the project’s. */
  stray: StrayName[];
  /** Roles that approvals ask and the policy of the project refuses. */
  powerless: RoleWithoutPermit[];
}

async function planned(
  folder: string,
  project: Pick<Definitions, 'list'>,
  { database }: PlanOptions,
  context: CliContext,
): Promise<Plan> {
  const { createPolicyEngine } = await import('../../adapters/policy/engine.ts');
  const { projectName } = await import('../../engine/project/projectName.ts');
  const { readPolicies } = await import('../../adapters/policy/readPolicies.ts');
  const { policyDifference } = await import('../../domain/policies/policy.ts');
  const { namesIn, strayNames } = await import('../../adapters/policy/names.ts');
  const { changesBetween } = await import('../../domain/policies/policyChange.ts');
  const { rolesWithoutPermit } = await import('../../domain/policies/rolesWithoutPermit.ts');
  const ours = await readPolicies(folder);
  const definitions = project.list().map(({ manifest }) => manifest);
  const live = await liveSet(database, context);
  const name = await projectName(folder);
  const other = await otherProject(namedDatabase(database, context) ?? embeddedDatabase(context), name);
  const [before, after] = [live && createPolicyEngine(live), createPolicyEngine(ours)];
  return {
    otherProject: other ? otherProjectLine(other.name, name) : null,
    before: before?.digest ?? null,
    after: after.digest,
    policies: policyDifference(live, ours),
    changes:
      before?.digest === after.digest
        ? []
        : changesBetween(before, after, definitions, namesIn([live, ours])),
    stray: strayNames(
      ours,
      definitions.map(({ id }) => id),
    ),
    powerless: rolesWithoutPermit(after, definitions),
  };
}

async function liveSet(database: string | undefined, context: CliContext): Promise<PolicySet | undefined> {
  const { connectPool } = await import('../../adapters/postgres/connect.ts');
  const { readPolicySet } = await import('../../adapters/postgres/rights/policySets.ts');
  const pool = connectPool(namedDatabase(database, context) ?? embeddedDatabase(context), {
    connectionsMax: 1,
    name: 'waybill-plan',
  });
  try {
    return await readPolicySet(pool);
  } finally {
    await pool.end();
  }
}

function planLines({ before, after, policies, changes, stray, powerless }: Plan): string[] {
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
