import type { RunTotals } from '../../../domain/ports/ledger.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import type { Queries } from '../tenants.ts';

/** To be called in a transaction that holds the run, if nothing may be stored after the count. */
export async function countRun(client: Queries, runId: string): Promise<RunTotals> {
  const { rows } = await client.query<{
    batches: number;
    sealed: boolean;
    allowAllRejected: boolean;
    counted: { counts: Partial<Counts>; stored: boolean }[];
  }>(
    // What the steps decided of a batch that was never stored counts, and nothing of it as emitted but the lanes that were.
    sql(
      `SELECT (SELECT count(*)::integer FROM waybill.batch WHERE run_id = :runId) AS batches,
              arrival = 'sealed' AS sealed, manifest ? 'allowAllRejected' AS "allowAllRejected",
              ARRAY(
                SELECT jsonb_build_object('counts', counts, 'stored', true) FROM waybill.ledger WHERE run_id = :runId
                UNION ALL
                SELECT jsonb_build_object('counts', s.counts, 'stored', false) FROM (
                  SELECT seq, counts - 'emitted' AS counts FROM waybill.stage WHERE run_id = :runId
                  UNION ALL SELECT seq, counts FROM waybill.ledger_slot WHERE run_id = :runId AND counts IS NOT NULL) s
                WHERE NOT EXISTS (SELECT FROM waybill.ledger l WHERE l.run_id = :runId AND l.seq = s.seq)) AS counted
       FROM waybill.run WHERE id = :runId`,
      { runId },
      'count-run',
    ),
  );
  const { counted, batches, sealed, allowAllRejected } = rows[0]!;
  return {
    counts: counted.reduce((sum, { counts }) => addCounts(sum, counts), zeroCounts),
    stored: counted.filter(({ stored }) => stored).length,
    batches,
    nothingNew: sealed && batches === 0,
    allowAllRejected,
  };
}
