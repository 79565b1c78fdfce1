import { z } from 'zod';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { applySinks } from '../../adapters/postgres/sinkTable.ts';
import { loadProject } from '../../adapters/project/loadProject.ts';
import { readSettings } from '../../domain/settings.ts';
import { ensureDatabase, ensureRoles } from './postgresRoles.ts';

/**
 * Brings the database of the embedded stack to where this version and this project want it: roles, database,
 * migrations, sink tables. A process of its own, so that what it needs does not stay in the supervisor’s memory.
 */
const settings = readSettings(
  z.object({
    WAYBILL_SUPERUSER_URL: z.string(),
    WAYBILL_MIGRATOR_URL: z.string(),
    /** JSON: role → password. */
    WAYBILL_PASSWORDS: z.string(),
    WAYBILL_PROJECT: z.string(),
  }),
  process.env,
);

try {
  const project = await loadProject(settings.WAYBILL_PROJECT);
  await ensureRoles(settings.WAYBILL_SUPERUSER_URL, JSON.parse(settings.WAYBILL_PASSWORDS));
  await ensureDatabase(settings.WAYBILL_SUPERUSER_URL, 'waybill');
  await migrate(settings.WAYBILL_MIGRATOR_URL);
  await applySinks(
    settings.WAYBILL_MIGRATOR_URL,
    project.list().map(({ manifest }) => manifest),
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
