import type { FailedAttempts } from '../../../domain/ports/failedAttempts.ts';
import type { FailedAttempt, RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import type { Queries, Tenants } from '../tenants.ts';

/** Life of a row: written by a failed attempt, replaced by later ones, deleted when its step succeeds; it stays when the run ends. */
export function createFailedAttempts(tenants: Tenants): FailedAttempts {
  return {
    async record({ tenant, runId }, { step, code, message, attempt, nextAttemptAt }) {
      await tenants.for(tenant).query(
        sql(
          `WITH failed AS (
                 INSERT INTO waybill.failed_attempt AS f (tenant, run_id, step, code, message, attempt, next_attempt_at)
                 SELECT tenant, id, :step, :code, :message, :attempt, :nextAttemptAt FROM waybill.run
                 WHERE tenant = :tenant AND id = :runId AND ended_at IS NULL
                 ON CONFLICT (tenant, run_id) DO UPDATE SET step = excluded.step, code = excluded.code,
                   message = excluded.message, attempt = excluded.attempt, next_attempt_at = excluded.next_attempt_at
                 RETURNING run_id
               ) SELECT pg_notify('waybill_run', run_id) FROM failed`,
          { tenant, runId, step, code, message, attempt, nextAttemptAt },
          'record-failed-attempt',
        ),
      );
    },
    async clear({ tenant, runId }, step) {
      await tenants.for(tenant).query(
        sql(
          `WITH cleared AS (
                 DELETE FROM waybill.failed_attempt WHERE tenant = :tenant AND run_id = :runId AND step = :step RETURNING run_id
               ) SELECT pg_notify('waybill_run', run_id) FROM cleared`,
          { tenant, runId, step },
          'clear-failed-attempt',
        ),
      );
    },
  };
}

const columns = `'step', step, 'code', code, 'message', message, 'attempt', attempt, 'nextAttemptAt', next_attempt_at`;

/**
 * The retry that the run `r` waits for, or NULL. A run that was reset may leave a row for a retry that never comes, so a row counts
 * for 30 minutes after the retry, which is how long a step other than `fetch` may take.
 */
export const retryingSql = `(SELECT jsonb_build_object(${columns}) FROM waybill.failed_attempt f
    WHERE f.tenant = r.tenant AND f.run_id = r.id AND r.state IN ('accepted', 'running')
      AND f.next_attempt_at > now() - interval '30 minutes')`;

/** What the run failed of last, also where Temporal did not retry it. */
export async function findFailedAttempt(
  client: Queries,
  { tenant, runId }: RunRef,
): Promise<FailedAttempt | undefined> {
  const { rows } = await client.query<{ failed: FailedAttempt }>(
    sql(
      `SELECT jsonb_build_object(${columns}) AS failed FROM waybill.failed_attempt
       WHERE tenant = :tenant AND run_id = :runId`,
      { tenant, runId },
      'find-failed-attempt',
    ),
  );
  return rows[0]?.failed;
}
