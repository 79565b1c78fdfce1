import type { Pool } from 'pg';
import type { OpenRun, OpenRuns } from '../../../domain/ports/runs.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { asked } from '../failure.ts';

export function createOpenRuns(pool: Pool): OpenRuns {
  return {
    list: (afterId, runsMax) => listOpenRuns(pool, afterId, runsMax),
    listWaitingFor: (digests) => listWaitingFor(pool, digests),
    breakSilentUploads: () => breakSilentUploads(pool),
  };
}

/** Runs open for more than a minute that no entry of the outbox is still to start, after `afterId`, in the order of their ids. */
async function listOpenRuns(pool: Pool, afterId: string, runsMax: number): Promise<OpenRun[]> {
  const { rows } = await asked(
    pool.query<OpenRun>(
      sql(
        `SELECT id AS "runId", tenant, txn, first_execution AS "firstExecution",
              (SELECT workflow_id FROM waybill.firing f WHERE f.tenant = r.tenant AND f.run_id = r.id) AS "firedBy"
       FROM waybill.run r
       WHERE ended_at IS NULL AND id > :afterId AND created_at < now() - interval '1 minute'
         AND NOT EXISTS (SELECT FROM waybill.outbox o WHERE o.run_id = r.id AND o.kind = 'start')
       ORDER BY id LIMIT :runsMax`,
        { afterId, runsMax },
      ),
    ),
  );
  return rows;
}

/** Runs that are suspended because no worker had one of these definitions. */
async function listWaitingFor(pool: Pool, digests: readonly string[]): Promise<RunRef[]> {
  const { rows } = await asked(
    pool.query<RunRef>(
      sql(
        `SELECT id AS "runId", tenant FROM waybill.run
       WHERE state = 'suspended' AND reason ->> 'code' = 'DefinitionUnavailable' AND definition_digest = ANY(:digests)`,
        { digests },
      ),
    ),
  );
  return rows;
}

async function breakSilentUploads(pool: Pool): Promise<number> {
  const { rows } = await asked(
    pool.query<{ broken: number }>(
      `WITH broken AS (
         UPDATE waybill.run SET arrival = 'broken'
         WHERE arrival = 'open' AND ended_at IS NULL AND source->>'kind' IN ('upload', 'inline')
           AND touched_at < now() - interval '30 seconds' RETURNING id)
       SELECT count(pg_notify('waybill_run', id))::integer AS broken FROM broken`,
    ),
  );
  return rows[0]!.broken;
}
