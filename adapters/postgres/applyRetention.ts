import type { Manifest } from '../../domain/pipelines/manifest.ts';
import { type Retention, retentionOf } from '../../domain/pipelines/retention.ts';
import { jsonParam, sql } from '../../domain/sql.ts';
import type { DatabaseAddress } from './address.ts';
import { insertMigratorAudit } from './audit.ts';
import { connectPool, inTransaction } from './connect.ts';

/**
 * Records how long runs are kept, pipeline by pipeline, as the migrator: no other role can shorten it. Runs that have ended are looked at
 * again. Resolves with whether something has changed.
 */
export async function applyRetention(
  migrator: DatabaseAddress,
  manifests: readonly Manifest[],
  project: Partial<Retention> | undefined,
): Promise<boolean> {
  const wanted = wantedRetention(manifests, project);
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-retention' });
  try {
    return await inTransaction(pool, async (client) => {
      await client.query('LOCK TABLE waybill.retention IN SHARE ROW EXCLUSIVE MODE');
      const { rows } = await client.query<{ changed: boolean }>(
        sql(
          `SELECT :wanted::jsonb <> coalesce(jsonb_object_agg(pipeline, jsonb_build_object('input', input_ms, 'runs', runs_ms,
             'deadLetters', dead_letters_ms, 'stages', stages_ms)), '{}') AS changed FROM waybill.retention`,
          { wanted: jsonParam(wanted) },
        ),
      );
      if (!rows[0]!.changed) return false;
      await client.query('DELETE FROM waybill.retention');
      await client.query(
        sql(
          `INSERT INTO waybill.retention (pipeline, input_ms, runs_ms, dead_letters_ms, stages_ms)
           SELECT key, (value ->> 'input')::bigint, (value ->> 'runs')::bigint, (value ->> 'deadLetters')::bigint,
                  (value ->> 'stages')::bigint FROM jsonb_each(:wanted)`,
          { wanted: jsonParam(wanted) },
        ),
      );
      await client.query('UPDATE waybill.run SET sweep_at = NULL WHERE sweep_at IS NOT NULL');
      await insertMigratorAudit(client, {
        action: 'retention.applied',
        detail: wanted,
      });
      return true;
    });
  } finally {
    await pool.end();
  }
}

/** How long a pipeline's runs are kept now, and after `apply`; `''` is every other pipeline. `undefined`: not said. */
export interface RetentionChange {
  pipeline: string;
  before: Retention | undefined;
  after: Retention | undefined;
}

/** What `applyRetention` would change. */
export async function planRetention(
  migrator: DatabaseAddress,
  manifests: readonly Manifest[],
  project: Partial<Retention> | undefined,
): Promise<RetentionChange[]> {
  const wanted = wantedRetention(manifests, project);
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-retention' });
  try {
    // Before the first `apply` there is nothing.
    const { rows: found } = await pool.query(`SELECT to_regclass('waybill.retention') IS NOT NULL AS known`);
    if (!found[0].known) return [];
    const { rows } = await pool.query<Retention & { pipeline: string }>(
      `SELECT pipeline, input_ms::float8 AS input, runs_ms::float8 AS runs, dead_letters_ms::float8 AS "deadLetters",
         stages_ms::float8 AS stages FROM waybill.retention`,
    );
    const standing = new Map(rows.map(({ pipeline, ...retention }) => [pipeline, retention]));
    const pipelines = [...new Set([...standing.keys(), ...Object.keys(wanted)])].sort();
    return pipelines
      .map((pipeline) => ({ pipeline, before: standing.get(pipeline), after: wanted[pipeline] }))
      .filter(({ before, after }) => !isSame(before, after));
  } finally {
    await pool.end();
  }
}

function wantedRetention(
  manifests: readonly Manifest[],
  project: Partial<Retention> | undefined,
): Record<string, Retention> {
  const wanted: Record<string, Retention> = { '': retentionOf(project) };
  for (const { id, retention } of manifests) wanted[id] = retentionOf(retention, project);
  return wanted;
}

function isSame(a: Retention | undefined, b: Retention | undefined): boolean {
  if (!a || !b) return a === b;
  return (['input', 'runs', 'deadLetters', 'stages'] as const).every((part) => a[part] === b[part]);
}
