import type { Pool } from 'pg';
import type { RunSweeps } from '../../../domain/ports/runSweeps.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { asked } from '../failure.ts';

/** As the role `waybill_relay`, which can delete nothing but through these functions. */
export function createRunSweeps(pool: Pool): RunSweeps {
  return {
    async listDue(runsMax) {
      const { rows } = await asked(
        pool.query<RunRef>(
          sql(
            `SELECT tenant, id AS "runId" FROM waybill.run
             WHERE ended_at IS NOT NULL AND coalesce(sweep_at, ended_at) <= now()
             ORDER BY coalesce(sweep_at, ended_at) LIMIT :runsMax`,
            { runsMax },
          ),
        ),
      );
      return rows;
    },

    async begin({ tenant, runId }) {
      const { rows } = await asked(
        pool.query<{ digests: string[]; more: boolean }>(
          sql('SELECT digests, more FROM waybill.begin_sweep(:tenant, :runId)', { tenant, runId }),
        ),
      );
      return rows[0]!;
    },

    async finish({ tenant, runId }) {
      await asked(pool.query(sql('SELECT waybill.finish_sweep(:tenant, :runId)', { tenant, runId })));
    },

    async findOrphans(objects) {
      const { rows } = await asked(
        pool.query<{ place: number }>(
          sql('SELECT place FROM waybill.find_orphans(:runs::text[], :digests::text[]) AS place', {
            runs: objects.map(({ runId }) => runId),
            digests: objects.map(({ digest }) => digest),
          }),
        ),
      );
      return rows.map(({ place }) => objects[place - 1]!);
    },

    async objectPosition() {
      const { rows } = await asked(pool.query<{ after: string }>('SELECT after FROM waybill.object_sweep'));
      return rows[0]?.after ?? '';
    },

    async moveObjectPosition(after, removed) {
      await asked(
        pool.query(
          sql(
            `WITH moved AS (
               INSERT INTO waybill.object_sweep (after) VALUES (:after) ON CONFLICT (id) DO UPDATE SET after = excluded.after
             )
             INSERT INTO waybill.audit_event (action, outcome, detail)
             SELECT 'objects.swept', 'success', :removed::jsonb WHERE :removed::jsonb IS NOT NULL`,
            { after, removed: removed && jsonParam(removed) },
          ),
        ),
      );
    },
  };
}
