import type { Pool } from 'pg';
import type { RunSweeps } from '../../../domain/ports/runSweeps.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
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
  };
}
