import type { Command } from 'commander';
import { WaybillError } from '../../domain/errors.ts';
import type { DatabaseSettings } from '../../sdk/project.ts';
import { readClientSettings } from '../cliSettings.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError, exitCode } from '../context.ts';
import { databaseOf } from '../database.ts';
import { applySchedules, planSchedules } from '../declaredSchedules.ts';
import { otherProjectLine, replacedText } from '../otherProject.ts';
import { rolesWithoutPermitLines, strayLines } from '../output/policyText.ts';
import { appliedLines, schedulesJson } from '../output/scheduleChanges.ts';
import { printResult } from '../output/terminal.ts';

interface ApplyOptions extends GlobalOptions {
  database?: string;
  replace?: boolean;
}

/** `waybill apply [folder] [--database URL]`: the database as this version and this project want it. */
export const addApply: AddCommand = (program, context) => {
  program
    .command('apply')
    .description(
      'bring a database to this version; apply the tables, policies, limits and declared schedules of a project',
    )
    .argument('[folder]', 'the project', '.')
    .option(
      '--database <url>',
      'the database, as the role that owns the tables; default WAYBILL_DATABASE_URL, else that of the embedded stack',
    )
    .option('--replace', 'apply although the database holds another project')
    .action((folder: string, _, command: Command) => apply(folder, command.optsWithGlobals(), context));
};

async function apply(folder: string, options: ApplyOptions, context: CliContext): Promise<void> {
  const { json, replace } = options;
  const database = databaseOf(options.database, context);
  const { applyProject, otherProject, readProject } = await import('../../sdk/project.ts');
  // What is wrong with the project is found out before anything is changed.
  const project = await readProject(folder);
  const { definitions, name, policies } = project;
  await checkRole(database);
  const other = await otherProject(database, name);
  if (other && !replace) {
    const { plan } = await planSchedules(definitions, options, context);
    throw new CliError(
      `${replacedText(other, policies, plan)} ${otherProjectLine(other.name, name)}`.trimStart(),
    );
  }
  const { migrations, tables, retention, limits, policy, stray, powerless } = await applyProject(
    project,
    database,
    readClientSettings(context).WAYBILL_DEFINITIONS,
  );
  const { declared, plan } = await planSchedules(definitions, options, context);
  const applied = plan ? await applySchedules(plan) : [];
  const schedules = schedulesJson(plan, applied);
  printResult(json, { migrations, tables, retention, limits, policy, stray, powerless, schedules }, () => [
    migrations.length > 0
      ? `Migrated: ${migrations.join(', ')}.`
      : 'The database was at this version already.',
    `Tables as the project wants them: ${tables.join(', ')}.`,
    ...(retention ? ['Kept from now on as the project says, also of runs that have ended.'] : []),
    ...(limits ? ['Limits of tenants as the project says, within seconds.'] : []),
    policy.before === policy.digest
      ? `The policy was in force already: ${policy.digest.slice(0, 12)}.`
      : `In force within seconds: policy ${policy.digest.slice(0, 12)} of ${Object.keys(policies.policies).length} policies.`,
    ...strayLines(stray),
    ...rolesWithoutPermitLines(powerless),
    ...appliedLines(declared, plan, applied, options),
  ]);
  if (applied.some(({ code }) => code === 'NotServed')) process.exitCode = exitCode.incomplete;
  if (applied.some(({ code }) => code !== null && code !== 'NotServed')) process.exitCode = exitCode.denied;
}

/**
 * Tables that another role creates, such as a superuser, belong to it, and the next `apply` could not change them. Where the database
 * cannot be reached, one clear line without the password.
 */
async function checkRole(database: DatabaseSettings): Promise<void> {
  if (!URL.canParse(database.url))
    throw new CliError('--database is not a URL such as postgresql://user@host:5432/name.', 'usage');
  const found = await ownerOf(database);
  if (found && found.owner !== found.role)
    throw new CliError(
      `The schema waybill is owned by ${found.owner}: apply as that role, not as ${found.role}.`,
      'usage',
    );
}

async function ownerOf(database: DatabaseSettings) {
  const { schemaOwner } = await import('../../sdk/project.ts');
  try {
    return await schemaOwner(database);
  } catch (error) {
    const { message, code } = error as { message: string; code?: string };
    const why = (error instanceof WaybillError && error.detail) || message || code;
    throw new CliError(`The database cannot be reached: ${why}.`);
  }
}
