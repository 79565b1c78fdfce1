import { resolve } from 'node:path';
import type { Command } from 'commander';
import type pg from 'pg';
import type { DatabaseAddress } from '../../adapters/postgres/address.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError, exitCode } from '../context.ts';
import { embeddedDatabase, namedDatabase } from '../database.ts';
import { applySchedules, planSchedules } from '../declaredSchedules.ts';
import { otherProject, otherProjectLine, replacedText } from '../otherProject.ts';
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
      'bring a database to this version; apply the tables, policies and declared schedules of a project',
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
  const { database, json, replace } = options;
  const address = namedDatabase(database, context) ?? embeddedDatabase(context);
  const { loadProject } = await import('../../engine/project/loadProject.ts');
  const { migrate } = await import('../../adapters/postgres/migrate.ts');
  const { applyPolicySet } = await import('../../adapters/postgres/rights/policySets.ts');
  const { projectName } = await import('../../engine/project/projectName.ts');
  const { applySinks } = await import('../../adapters/postgres/applySinks.ts');
  const { strayNames } = await import('../../adapters/policy/names.ts');
  const { createPolicyEngine } = await import('../../adapters/policy/engine.ts');
  const { readPolicies } = await import('../../adapters/policy/readPolicies.ts');
  const { rolesWithoutPermit } = await import('../../domain/policies/rolesWithoutPermit.ts');
  // What is wrong with the project is found out before anything is changed.
  const project = await loadProject(resolve(folder));
  const manifests = project.list().map(({ manifest }) => manifest);
  const policies = await readPolicies(resolve(folder));
  const name = await projectName(folder);
  await reach(address);
  const other = await otherProject(address, name);
  if (other && !replace) {
    const { plan } = await planSchedules(project, options, context);
    throw new CliError(
      `${replacedText(other, policies, plan)} ${otherProjectLine(other.name, name)}`.trimStart(),
    );
  }
  const migrations = await migrate(address);
  await applySinks(address, manifests);
  const tables = manifests.map(({ sink }) => sink.table);
  const policy = await applyPolicySet(address, policies, { name, replaces: true });
  const stray = strayNames(
    policies,
    manifests.map(({ id }) => id),
  );
  const powerless = rolesWithoutPermit(createPolicyEngine(policies), manifests);
  const { declared, plan } = await planSchedules(project, options, context);
  const applied = plan ? await applySchedules(plan) : [];
  const schedules = schedulesJson(plan, applied);
  printResult(json, { migrations, tables, policy, stray, powerless, schedules }, () => [
    migrations.length > 0
      ? `Migrated: ${migrations.join(', ')}.`
      : 'The database was at this version already.',
    `Tables as the project wants them: ${tables.join(', ')}.`,
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

/** One clear line, without the password, where there is no such database for us. */
async function reach(address: DatabaseAddress): Promise<void> {
  const client = await connecting(address);
  try {
    await client.connect();
    await checkRole(client);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { message, code } = error as { message: string; code?: string };
    const why = (error instanceof WaybillError && error.detail) || message || code;
    throw new CliError(`The database cannot be reached: ${why}.`);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Tables that another role creates, such as a superuser, belong to it, and the next `apply` could not change them. */
async function checkRole(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ owner: string; us: string }>(
    `SELECT pg_get_userbyid(nspowner) AS owner, current_user AS us FROM pg_namespace WHERE nspname = 'waybill'`,
  );
  const [schema] = rows;
  if (schema && schema.owner !== schema.us)
    throw new CliError(
      `The schema waybill is owned by ${schema.owner}: apply as that role, not as ${schema.us}.`,
      'usage',
    );
}

async function connecting(address: DatabaseAddress): Promise<pg.Client> {
  const { clientAt } = await import('../../adapters/postgres/address.ts');
  try {
    return clientAt(address, { connectionTimeoutMillis: 10_000 });
  } catch {
    throw new CliError('--database is not a URL such as postgresql://user@host:5432/name.', 'usage');
  }
}
