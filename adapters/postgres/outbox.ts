import type { ClientBase, Pool } from 'pg';
import type { Outbox, OutboxEntry } from '../../domain/ports/outbox.ts';
import type { RunRef } from '../../domain/runs/run.ts';
import { sql } from '../../domain/sql.ts';
import type { DatabaseAddress } from './address.ts';
import { inTransaction } from './connect.ts';
import { asked } from './failure.ts';
import { listen } from './listen.ts';

export function createOutbox(pool: Pool, address: DatabaseAddress): Outbox {
  return {
    findDue: () => findDue(pool),
    relay: (entriesMax, deliver) => relayOutbox(pool, entriesMax, deliver),
    enqueueStart: (run) => enqueueStart(pool, run),
    watch: (onNews) => listen(address, outboxChannel, onNews),
  };
}

async function findDue(pool: Pool): ReturnType<Outbox['findDue']> {
  const { rows } = await asked(
    pool.query(
      sql(
        `SELECT EXISTS (SELECT FROM waybill.outbox WHERE due_at <= now()) AS entries,
                EXISTS (SELECT FROM waybill.delivery WHERE start_at <= now()) AS deliveries,
                EXISTS (SELECT FROM waybill.schedule WHERE revision <> applied_revision AND due_at <= now()) AS schedules`,
        {},
        'relay-due',
      ),
    ),
  );
  return rows[0];
}

/** Once its transaction has committed, some relay looks for what there is to carry. */
export async function notifyRelay(client: ClientBase): Promise<void> {
  await client.query(`SELECT pg_notify('${outboxChannel}', '')`);
}

const outboxChannel = 'waybill_outbox';

/**
 * Hands up to `entriesMax` due entries, which no other relay holds, to `deliver`; those that it resolves for are
 * removed, the others are due again later, at most 30 s apart. Returns how many were found.
 */
async function relayOutbox(
  pool: Pool,
  entriesMax: number,
  deliver: (entry: OutboxEntry) => Promise<void>,
): Promise<number> {
  return inTransaction(
    pool,
    async (client) => {
      const { rows } = await client.query<OutboxEntry>(
        sql(
          `SELECT o.id, o.kind, r.id AS "runId", r.tenant, r.requested_by AS "requestedBy", r.manifest, r.source,
                    r.grant_jws AS "grant", CASE WHEN r.arrival = 'sealed' THEN
                      (SELECT jsonb_build_object('batches', count(*), 'bytes', sum(size_bytes))
                       FROM waybill.batch b WHERE b.run_id = r.id)
                    END AS input,
                    r.ended_at IS NOT NULL AS ended, o.backfill,
                    (SELECT jsonb_build_object('id', d.id, 'token', d.jws, 'comment', d.comment, 'form', d.form,
                       'settled', d.counted IS NOT NULL OR d.refused IS NOT NULL)
                     FROM waybill.decision d WHERE d.id = o.decision_id AND d.tenant = o.tenant) AS decision
             FROM waybill.outbox o JOIN waybill.run r ON r.id = o.run_id AND r.tenant = o.tenant
             WHERE o.due_at <= now() ORDER BY o.id LIMIT :entriesMax FOR UPDATE OF o SKIP LOCKED`,
          { entriesMax },
          'outbox-claim',
        ),
      );
      if (rows.length === 0) return 0;
      const results = await Promise.allSettled(rows.map(deliver));
      const done = rows.filter((_, i) => results[i]!.status === 'fulfilled').map(({ id }) => id);
      const failed = rows.filter((_, i) => results[i]!.status === 'rejected').map(({ id }) => id);
      if (done.length > 0) {
        await client.query(sql('DELETE FROM waybill.outbox WHERE id = ANY(:done)', { done }, 'outbox-done'));
      }
      if (failed.length > 0) {
        await client.query(
          sql(
            `UPDATE waybill.outbox SET attempts = attempts + 1,
           due_at = now() + least(power(2, least(attempts, 8)) * 0.2, 30) * (0.5 + random() / 2) * interval '1 second'
         WHERE id = ANY(:failed)`,
            { failed },
          ),
        );
      }
      return rows.length;
    },
    begin,
  );
}

/** Nothing is lost where a crash of the server brings an entry back: Temporal rejects a second start, and a run a second message. */
const begin = 'BEGIN; SET LOCAL synchronous_commit = off';

/** Puts a run that Temporal has never heard of, or has lost, back into the outbox. */
async function enqueueStart(pool: Pool, { tenant, runId }: RunRef): Promise<void> {
  await asked(
    pool.query(
      sql(`INSERT INTO waybill.outbox (tenant, kind, run_id) VALUES (:tenant, 'start', :runId)`, {
        tenant,
        runId,
      }),
    ),
  );
}
