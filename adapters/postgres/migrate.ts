import { Kysely, PostgresDialect } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { type DatabaseAddress, reach } from './address.ts';
import { survivingBreaks } from './connect.ts';
import * as runs from './migrations/0001_runs.ts';
import * as policy from './migrations/0002_policy.ts';
import * as revocation from './migrations/0003_revocation.ts';
import * as keys from './migrations/0004_keys.ts';
import * as tenants from './migrations/0005_tenants.ts';
import * as logout from './migrations/0006_logout.ts';
import * as webhooks from './migrations/0006_webhooks.ts';
import * as suspension from './migrations/0007_suspension.ts';
import * as keysVouched from './migrations/0008_keys_vouched.ts';
import * as approvals from './migrations/0009_approvals.ts';
import * as schedules from './migrations/0010_schedules.ts';
import * as watermarks from './migrations/0011_watermarks.ts';
import * as consents from './migrations/0012_consents.ts';
import * as scheduleEvents from './migrations/0013_schedule_events.ts';
import * as endedConsents from './migrations/0015_ended_consents.ts';
import * as principals from './migrations/0016_principals.ts';
import * as sourceVersions from './migrations/0016_source_versions.ts';
import * as failedAttempts from './migrations/0017_failed_attempts.ts';

/** In order of their names; one that was released never changes. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001_runs': runs,
  '0002_policy': policy,
  '0003_revocation': revocation,
  '0004_keys': keys,
  '0005_tenants': tenants,
  '0006_logout': logout,
  '0006_webhooks': webhooks,
  '0007_suspension': suspension,
  '0008_keys_vouched': keysVouched,
  '0009_approvals': approvals,
  '0010_schedules': schedules,
  '0011_watermarks': watermarks,
  '0012_consents': consents,
  '0013_schedule_events': scheduleEvents,
  '0015_ended_consents': endedConsents,
  '0016_principals': principals,
  '0016_source_versions': sourceVersions,
  '0017_failed_attempts': failedAttempts,
};

/**
 * Brings the schema `waybill` to this version, as the migrator (never as the API or a worker). All of it or
 * nothing; several at once wait for one another. Returns the names of the migrations that it ran.
 */
export async function migrate(address: DatabaseAddress): Promise<string[]> {
  const pool = survivingBreaks(new pg.Pool({ ...reach(address), max: 1 }));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
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
