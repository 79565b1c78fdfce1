import { WaybillError } from '../../../domain/errors.ts';
import type { Batches } from '../../../domain/ports/batches.ts';
import { auditParams, auditSql } from '../audit.ts';
import { isOverSql, queryRun } from '../runs/queryRun.ts';
import type { Tenants } from '../tenants.ts';
import { batchFromRow, insertBatch, selectBatch } from './batchRows.ts';

/** Resolves when a run may have changed, or after `timeoutMs`, or when the signal aborts. */
export type WaitForRun = (runId: string, timeoutMs: number, signal: AbortSignal) => Promise<void>;

/**
 * What has arrived of a run, up to where. `waitForRun` is what makes waiting for it cheap; without a notification the table is asked
 * every 2 s.
 */
export function createBatches(tenants: Tenants, waitForRun: WaitForRun): Batches {
  const ask = queryRun(tenants);
  return {
    async arrivals(run, execution, after, waitMs, signal) {
      const until = performance.now() + waitMs;
      for (;;) {
        const [seen] = await ask<{
          known: number;
          arrival: string;
          ended: boolean;
          digests: string[] | null;
        }>(
          run,
          'progress-arrivals',
          `SELECT arrival, ${isOverSql('run')} AS ended,
                  (SELECT coalesce(max(seq) + 1, 0) FROM waybill.batch WHERE run_id = :runId) AS known,
                  CASE WHEN arrival = 'sealed' THEN
                    (SELECT array_agg(digest ORDER BY seq) FROM waybill.batch WHERE run_id = :runId) END AS digests
           FROM waybill.run WHERE id = :runId`,
          { execution },
        );
        if (!seen) throw new WaybillError('RunNotFound', { detail: run.runId });
        if (seen.ended) throw new WaybillError('RunEnded', { detail: run.runId });
        const { known } = seen;
        const sealed = seen.arrival === 'sealed';
        const broken = seen.arrival === 'broken';
        const leftMs = until - performance.now();
        const news = known > after || sealed || broken;
        if (news || leftMs <= 0 || signal.aborted)
          return { received: known, inputComplete: sealed, broken, digests: seen.digests ?? [] };
        await waitForRun(run.runId, Math.min(leftMs, 2_000), signal);
      }
    },

    async append(run, batch) {
      const { tenant, runId, principal } = run;
      await tenants.for(tenant, principal).transaction((client) => insertBatch(client, runId, batch));
    },

    async findLast(run) {
      const [row] = await ask<Record<string, unknown>>(
        run,
        'progress-last-batch',
        `${selectBatch} ORDER BY seq DESC LIMIT 1`,
      );
      return row && batchFromRow(row);
    },

    async findFirstOf(run, source) {
      const [row] = await ask<Record<string, unknown>>(
        run,
        'progress-first-batch',
        `${selectBatch} AND source = :source ORDER BY seq LIMIT 1`,
        { source },
      );
      return row && batchFromRow(row);
    },

    async seal(run, leftBytes, audit) {
      await ask(
        run,
        'progress-seal',
        `WITH sealed AS (
           UPDATE waybill.run SET arrival = 'sealed', left_bytes = nullif(:leftBytes::bigint, 0) WHERE id = :runId AND arrival = 'open' RETURNING id
         ), audited AS (${auditSql('sealed')})
         SELECT pg_notify('waybill_run', id) FROM sealed`,
        { leftBytes, ...auditParams(audit) },
      );
    },
  };
}
