import type { Pool } from 'pg';
import type { BacklogValue, ReadBacklog } from '../../../domain/ports/backlog.ts';
import type { OpenRun, OpenRuns } from '../../../domain/ports/runs.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { asked } from '../failure.ts';

export function createOpenRuns(pool: Pool): OpenRuns {
  return {
    list: (afterId, runsMax) => listOpenRuns(pool, afterId, runsMax),
    listWaitingFor: (digests) => listWaitingFor(pool, digests),
    breakSilentUploads: () => breakSilentUploads(pool),
    abandonUploads: () => abandonUploads(pool),
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
         AND NOT EXISTS (SELECT FROM waybill.upload u WHERE u.run_id = r.id AND NOT u.started)
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
         WHERE arrival = 'open' AND ended_at IS NULL AND source->>'kind' IN ('upload', 'inline') AND NOT source ? 'resumable'
           AND touched_at < now() - interval '30 seconds' RETURNING id)
       SELECT count(pg_notify('waybill_run', id))::integer AS broken FROM broken`,
    ),
  );
  return rows[0]!.broken;
}

/** Its run ends by its workflow, which may have to be started for that. */
async function abandonUploads(pool: Pool): Promise<number> {
  const { rows } = await asked(
    pool.query<{ abandoned: number }>(
      `WITH late AS (
         SELECT u.run_id, u.started FROM waybill.upload u JOIN waybill.run r ON r.id = u.run_id
         WHERE u.expires_at < now() AND r.arrival = 'open' AND r.ended_at IS NULL
         ORDER BY u.expires_at LIMIT 100 FOR UPDATE OF r SKIP LOCKED
       ), broken AS (
         UPDATE waybill.run r SET arrival = 'broken' FROM late WHERE r.id = late.run_id AND r.arrival = 'open'
         RETURNING r.id, r.tenant, r.txn, late.started
       ), starting AS (
         UPDATE waybill.upload u SET started = true FROM broken b WHERE u.run_id = b.id AND NOT b.started
       ), due AS (
         INSERT INTO waybill.outbox (kind, run_id, tenant) SELECT 'start', id, tenant FROM broken WHERE NOT started
       ), audited AS (
         INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, detail)
         SELECT tenant, id, txn, 'run.upload-abandoned', 'failure', '{"code": "UploadIncomplete"}' FROM broken
       )
       SELECT count(pg_notify('waybill_run', id))::integer AS abandoned, pg_notify('waybill_outbox', '') FROM broken`,
    ),
  );
  return rows[0]!.abandoned;
}

/** What waits, as the role `waybill_relay`. A database that does not answer within two seconds is away. */
export function backlogOf(pool: Pool): ReadBacklog {
  return async () => {
    const client = await pool.connect();
    try {
      await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = '2s'`);
      const { rows } = await client.query<BacklogValue>('SELECT name, label, value FROM waybill.backlog()');
      await client.query('COMMIT');
      client.release();
      return rows;
    } catch (error) {
      client.release(true);
      throw error;
    }
  };
}
