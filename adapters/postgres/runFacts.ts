import type { RunFacts } from '../../domain/ports/progress.ts';
import { fromPostgres } from './failure.ts';
import type { Tenants } from './tenants.ts';

/** Columns that make a `RunFacts` of a row of `waybill.run`. */
export const factColumns = `id AS "runId", tenant, pipeline, version, definition_digest AS "definitionDigest",
  principal, requested_by AS "requestedBy", txn, parameters, source`;

/** Throws `DatabaseUnavailable`. */
export async function findOpenRun(
  tenants: Tenants,
  tenant: string,
  runId: string,
): Promise<RunFacts | undefined> {
  try {
    const { rows } = await tenants.for(tenant).query<RunFacts>({
      name: 'find-open-run',
      text: `SELECT ${factColumns} FROM waybill.run WHERE tenant = $1 AND id = $2 AND ended_at IS NULL`,
      values: [tenant, runId],
    });
    return rows[0];
  } catch (error) {
    throw fromPostgres(error);
  }
}
