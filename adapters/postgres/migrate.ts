import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { type DatabaseAddress, reach } from './address.ts';
import { survivingBreaks } from './connect.ts';
import * as baseline from './migrations/0001_baseline.ts';
import * as acceptanceOrder from './migrations/0002_acceptance_order.ts';
import * as narrowRoles from './migrations/0003_narrow_roles.ts';
import * as failedAttempts from './migrations/0004_failed_attempts.ts';
import * as projectName from './migrations/0005_project_name.ts';
import * as dropCancelRequestedBy from './migrations/0006_drop_cancel_requested_by.ts';
import * as fieldNames from './migrations/0007_field_names.ts';
import * as consentedTerms from './migrations/0008_consented_terms.ts';
import * as recordsAhead from './migrations/0009_records_ahead.ts';
import * as leftBytes from './migrations/0010_left_bytes.ts';
import * as smallBatches from './migrations/0013_small_batches.ts';
import * as objectSources from './migrations/0014_object_sources.ts';
import * as retention from './migrations/0015_retention.ts';
import * as lanes from './migrations/0016_lanes.ts';
import * as resumableUploads from './migrations/0017_resumable_uploads.ts';
import * as rowGroups from './migrations/0018_row_groups.ts';
import * as partitions from './migrations/0019_partitions.ts';
import * as deadLetters from './migrations/0020_dead_letters.ts';
import * as openLetters from './migrations/0021_open_letters.ts';
import * as deployment from './migrations/0022_deployment.ts';
import * as boundConsents from './migrations/0023_bound_consents.ts';
import * as backlog from './migrations/0024_backlog.ts';
import * as shards from './migrations/0025_shards.ts';
import * as outputs from './migrations/0026_outputs.ts';
import * as redrivesOfLetter from './migrations/0028_redrives_of_letter.ts';
import * as unknownFields from './migrations/0029_unknown_fields.ts';
import * as quality from './migrations/0030_quality.ts';
import * as lookups from './migrations/0031_lookups.ts';
import * as limits from './migrations/0032_limits.ts';
import * as backfillPriority from './migrations/0033_backfill_priority.ts';

/** In order of their names; one that was released never changes. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001_baseline': baseline,
  '0002_acceptance_order': acceptanceOrder,
  '0003_narrow_roles': narrowRoles,
  '0004_failed_attempts': failedAttempts,
  '0005_project_name': projectName,
  '0006_drop_cancel_requested_by': dropCancelRequestedBy,
  '0007_field_names': fieldNames,
  '0008_consented_terms': consentedTerms,
  '0009_records_ahead': recordsAhead,
  '0010_left_bytes': leftBytes,
  '0013_small_batches': smallBatches,
  '0014_object_sources': objectSources,
  '0015_retention': retention,
  '0016_lanes': lanes,
  '0017_resumable_uploads': resumableUploads,
  '0018_row_groups': rowGroups,
  '0019_partitions': partitions,
  '0020_dead_letters': deadLetters,
  '0021_open_letters': openLetters,
  '0022_deployment': deployment,
  '0023_bound_consents': boundConsents,
  '0024_backlog': backlog,
  '0025_shards': shards,
  '0026_outputs': outputs,
  '0028_redrives_of_letter': redrivesOfLetter,
  '0029_unknown_fields': unknownFields,
  '0030_quality': quality,
  '0031_lookups': lookups,
  '0032_limits': limits,
  '0033_backfill_priority': backfillPriority,
};

/** What the version before the baseline recorded of itself, in its order. The baseline made the same schema of these. */
const beforeBaseline = [
  '0001_runs',
  '0002_policy',
  '0003_revocation',
  '0004_keys',
  '0005_tenants',
  '0006_logout',
  '0006_webhooks',
  '0007_suspension',
  '0008_keys_vouched',
  '0009_approvals',
  '0010_schedules',
  '0011_watermarks',
  '0012_consents',
  '0013_schedule_events',
  '0015_ended_consents',
  '0016_principals',
  '0016_source_versions',
];

/**
 * Brings the schema `waybill` to this version, as the migrator (never as the API or a worker). All of it or
 * nothing; several at once wait for one another. Returns the names of the migrations that it ran.
 *
 * It upgrades a database of the version before the baseline; from an older one it throws.
 */
export async function migrate(address: DatabaseAddress): Promise<string[]> {
  const pool = survivingBreaks(new pg.Pool({ ...reach(address), max: 1 }));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    await recognizeBaseline(db);
    const migrator = new Migrator({
      db,
      provider: { getMigrations: async () => ({ ...migrations }) },
      migrationTableSchema: 'waybill',
    });
    const { error, results } = await migrator.migrateToLatest();
    if (error) throw error;
    return (results ?? [])
      .filter((result) => result.status === 'Success')
      .map((result) => result.migrationName);
  } finally {
    await db.destroy();
  }
}

/** Where the 17 migrations of the version before have run, the baseline has: it is recorded in their place. */
async function recognizeBaseline(db: Kysely<unknown>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const table = await sql<{ exists: boolean }>`
      SELECT to_regclass('waybill.kysely_migration') IS NOT NULL AS exists`.execute(tx);
    if (!table.rows[0]!.exists) return;
    await sql`LOCK TABLE waybill.kysely_migration IN SHARE ROW EXCLUSIVE MODE`.execute(tx);
    const { rows } = await sql<{
      name: string;
    }>`SELECT name FROM waybill.kysely_migration ORDER BY name`.execute(tx);
    const old = rows.map(({ name }) => name).filter((name) => beforeBaseline.includes(name));
    if (old.length === 0) return;
    if (old.length < beforeBaseline.length)
      throw new Error(
        'This database is older than the version before. Upgrade it with that version first (migration 0016), then again.',
      );
    await sql`DELETE FROM waybill.kysely_migration`.execute(tx);
    await sql`
      INSERT INTO waybill.kysely_migration (name, timestamp) VALUES ('0001_baseline', ${new Date().toISOString()})
    `.execute(tx);
  });
}
