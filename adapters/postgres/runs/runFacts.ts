import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import { sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';

/** Columns that make a `RunFacts` of a row of `waybill.run`. */
export const factColumns = `id AS "runId", tenant, pipeline, version, definition_digest AS "definitionDigest",
  ${definitionOf('manifest')} AS definition, principal, requested_by AS "requestedBy", txn, parameters, source`;

/** What policies see of a definition, of a manifest in that column. */
export function definitionOf(manifest: string): string {
  return `jsonb_build_object('id', ${manifest}->'id', 'labels', ${manifest}->'labels',
    'source', jsonb_build_object('kind', ${manifest}->'source'->'kind'),
    'sink', jsonb_build_object('kind', ${manifest}->'sink'->'kind'), 'approval', ${manifest}->'approval')`;
}

/** Throws `DatabaseUnavailable`. */
export async function findOpenRun(
  tenants: Tenants,
  tenant: string,
  runId: string,
): Promise<RunFacts | undefined> {
  const { rows } = await tenants
    .for(tenant)
    .query<RunFacts>(
      sql(
        `SELECT ${factColumns} FROM waybill.run WHERE tenant = :tenant AND id = :runId AND ended_at IS NULL`,
        { tenant, runId },
        'find-open-run',
      ),
    );
  return rows[0];
}
