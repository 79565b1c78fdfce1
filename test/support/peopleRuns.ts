import type pg from 'pg';
import type { SinkManifest } from '../../domain/pipelines/manifest.ts';

/** Runs of `people` that have begun, with all of their input, as the database has them; `admin` is asked when one is begun. */
export function peopleRuns(admin: () => pg.Pool, sink: SinkManifest) {
  let runs = 0;
  return {
    async begin(tenant: string): Promise<{ tenant: string; runId: string }> {
      const runId = `people-0197a3b4-0000-7000-8000-${(++runs).toString(16).padStart(12, '0')}`;
      await admin().query(
        `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                  requested_by, parameters, source, grant_jws, txn, arrival)
         VALUES ($1, $2, 'people', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed')`,
        [runId, tenant, { sink }],
      );
      return { tenant, runId };
    },
    async end({ runId }: { runId: string }): Promise<void> {
      await admin().query('UPDATE waybill.run SET ended_at = now() WHERE id = $1', [runId]);
    },
  };
}
