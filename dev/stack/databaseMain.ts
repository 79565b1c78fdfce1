import { z } from 'zod';
import { credentialsIn } from '../../adapters/credentials/credentialFrom.ts';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import { applyLimits } from '../../adapters/postgres/applyLimits.ts';
import { applyRetention } from '../../adapters/postgres/applyRetention.ts';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { applyDeployments, readNeededDefinitions } from '../../adapters/postgres/deployments.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { applyPolicySet } from '../../adapters/postgres/rights/policySets.ts';
import { WaybillError } from '../../domain/errors.ts';
import { deploymentOf, type Refusal } from '../../domain/ports/deployments.ts';
import { readSettings } from '../../domain/settings.ts';
import { keepDefinitions } from '../../engine/project/keptDefinitions.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
import { projectName, projectSettings } from '../../engine/project/projectName.ts';
import { type DatabaseRole, databaseUrl, ensurePasswords } from './passwords.ts';
import { ensureDatabase, ensureRoles } from './postgresRoles.ts';
import { projectFailedExit } from './prepareDatabase.ts';
import { projectFiles } from './projectFiles.ts';

/**
 * Brings the database of the embedded stack to where this version and this project want it: roles, database,
 * migrations, sink tables, policies. A process of its own, so that what it needs does not stay in the supervisor’s memory.
 */
const settings = readSettings(
  z.object({
    WAYBILL_DATABASE_PORT: z.coerce.number().int(),
    /** The folder with a file for each role. */
    WAYBILL_PASSWORDS: z.string(),
    WAYBILL_PROJECT: z.string(),
    WAYBILL_DEFINITIONS: z.string(),
    WAYBILL_CREDENTIALS: z.string().optional(),
  }),
  process.env,
);

let ofProject = true;
try {
  const project = await loadProject(settings.WAYBILL_PROJECT);
  const policies = await readPolicies(settings.WAYBILL_PROJECT);
  const { retention, limits } = await projectSettings(settings.WAYBILL_PROJECT);
  const files = projectFiles(project.list().map(({ modulePath }) => modulePath));
  ofProject = false;
  const passwords = ensurePasswords(settings.WAYBILL_PASSWORDS);
  const url = (role: DatabaseRole, database: string) =>
    databaseUrl(passwords, settings.WAYBILL_DATABASE_PORT, role, database);
  await ensureRoles(url('postgres', 'postgres'), passwords);
  await ensureDatabase(url('postgres', 'postgres'), 'waybill');
  const migrator = url('waybill_migrator', 'waybill');
  await migrate(migrator);
  ofProject = true;
  const manifests = project.list().map(({ manifest }) => manifest);
  const refusals = new Map<string, Refusal>();
  await applySinks(migrator, manifests, {
    onIncompatible({ id }, { code, detail }) {
      refusals.set(id, { code, message: detail ?? code });
    },
    credentials: credentialsIn(settings.WAYBILL_CREDENTIALS),
  });
  await applyDeployments(
    migrator,
    project.list().map((one) => deploymentOf(one, refusals.get(one.manifest.id))),
  );
  await applyRetention(migrator, manifests, retention);
  await applyLimits(migrator, limits);
  // Only `waybill apply` moves the database to another project, because only it ends declared schedules.
  const name = await projectName(settings.WAYBILL_PROJECT);
  await applyPolicySet(migrator, policies, { name, replaces: false });
  await keepDefinitions(settings.WAYBILL_DEFINITIONS, project.list(), await readNeededDefinitions(migrator));
  const refused = project.list().flatMap(({ manifest, modulePath }) => {
    const refusal = refusals.get(manifest.id);
    return refusal
      ? [`${manifest.id} (${modulePath}) starts no run: ${refusal.code}: ${refusal.message}.`]
      : [];
  });
  console.log(JSON.stringify({ files, refused }));
} catch (error) {
  console.error(error instanceof WaybillError && error.detail ? error.detail : (error as Error).message);
  process.exitCode = ofProject ? projectFailedExit : 1;
}
