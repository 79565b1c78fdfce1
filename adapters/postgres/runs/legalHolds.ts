import { WaybillError } from '../../../domain/errors.ts';
import type { LegalHold, LegalHolds } from '../../../domain/ports/legalHolds.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Queries, Tenants } from '../tenants.ts';

/** The sweep locks the run before it looks for a hold, and a new hold waits for that lock: either sees the other. */
export function createLegalHolds(tenants: Tenants): LegalHolds {
  return {
    async list(tenant, { limit, cursor }) {
      const found = await select(
        tenants.for(tenant),
        '(:cursor::text IS NULL OR h.run_id > :cursor) ORDER BY h.run_id LIMIT :limit',
        { tenant, cursor: cursor ?? null, limit: limit + 1 },
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.runId : null };
    },

    place(tenant, { runId, reason, placedBy }, audit) {
      return tenants.for(tenant, placedBy?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `INSERT INTO waybill.legal_hold (tenant, run_id, reason, placed_by)
             SELECT tenant, id, :reason, :placedBy FROM waybill.run WHERE tenant = :tenant AND id = :runId
             ON CONFLICT DO NOTHING`,
            { tenant, runId, reason, placedBy: jsonParam(placedBy) },
          ),
        );
        const [hold] = await select(client, 'h.run_id = :runId', { tenant, runId });
        if (!hold) throw new WaybillError('RunNotFound');
        if (rowCount) await insertAudit(client, audit);
        return hold;
      });
    },

    async lift(tenant, runId, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql('DELETE FROM waybill.legal_hold WHERE tenant = :tenant AND run_id = :runId', { tenant, runId }),
        );
        if (rowCount) await insertAudit(client, audit);
      });
    },
  };
}

async function select(queries: Queries, where: string, params: Params): Promise<LegalHold[]> {
  const { rows } = await queries.query(
    sql(
      `SELECT h.run_id, h.reason, h.placed_by, h.placed_at, r.input_removed_at
       FROM waybill.legal_hold h JOIN waybill.run r ON r.tenant = h.tenant AND r.id = h.run_id
       WHERE h.tenant = :tenant AND ${where}`,
      params,
    ),
  );
  return rows.map((row) => ({
    runId: row.run_id,
    reason: row.reason,
    placedBy: row.placed_by,
    placedAt: row.placed_at.toISOString(),
    inputRemovedAt: row.input_removed_at?.toISOString() ?? null,
  }));
}
