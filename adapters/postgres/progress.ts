import type { Pool } from 'pg';
import type { Batch, StageOutput } from '../../domain/batch.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Progress, RunFacts, RunOutcome } from '../../domain/ports/progress.ts';
import { addCounts, type Counts, zeroCounts } from '../../domain/run.ts';
import { insertAudit } from './audit.ts';
import { batchFromRow, insertBatch } from './batches.ts';
import { inTransaction } from './connect.ts';
import { fromPostgres } from './failure.ts';

/** Resolves when a run may have changed, or after `timeoutMs`, or when the signal aborts. */
export type WaitForRun = (runId: string, timeoutMs: number, signal: AbortSignal) => Promise<void>;

/** `waitForRun` is what makes waiting for arrivals cheap; without a notification the table is asked every 2 s. */
export function createProgress(pool: Pool, waitForRun: WaitForRun): Progress {
  async function rows<T>(name: string, text: string, values: unknown[]): Promise<T[]> {
    try {
      return (await pool.query({ name, text, values })).rows as T[];
    } catch (error) {
      throw fromPostgres(error);
    }
  }

  return {
    async findRun(runId) {
      const [run] = await rows<RunFacts>(
        'progress-run',
        `SELECT id AS "runId", tenant, pipeline, version, definition_digest AS "definitionDigest", parameters,
                source, cancel_requested_by AS "cancelRequestedBy"
         FROM waybill.run WHERE id = $1`,
        [runId],
      );
      if (!run) throw new WaybillError('RunUnknown', { detail: runId });
      return run;
    },

    async begin(runId, audit) {
      await inTransaction(pool, async (client) => {
        const { rowCount } = await client.query({
          name: 'progress-begin',
          text: `UPDATE waybill.run SET state = 'running', started_at = now() WHERE id = $1 AND state = 'accepted'`,
          values: [runId],
        });
        if (!rowCount) return;
        await insertAudit(client, audit);
        await client.query({ name: 'notify-run', text: `SELECT pg_notify('waybill_run', $1)`, values: [runId] });
      });
    },

    async arrivals(runId, after, waitMs, signal) {
      const until = performance.now() + waitMs;
      for (;;) {
        const [seen] = await rows<{ known: number; arrival: string }>(
          'progress-arrivals',
          `SELECT arrival, (SELECT coalesce(max(seq) + 1, 0) FROM waybill.batch WHERE run_id = $1) AS known
           FROM waybill.run WHERE id = $1`,
          [runId],
        );
        if (!seen) throw new WaybillError('RunUnknown', { detail: runId });
        const sealed = seen.arrival === 'sealed';
        const broken = seen.arrival === 'broken';
        const leftMs = until - performance.now();
        const news = seen.known > after || sealed || broken;
        if (news || leftMs <= 0 || signal.aborted) return { known: seen.known, sealed, broken };
        await waitForRun(runId, Math.min(leftMs, 2_000), signal);
      }
    },

    async appendBatch(runId, batch) {
      await inTransaction(pool, (client) => insertBatch(client, runId, batch));
    },

    async lastBatch(runId) {
      const [row] = await rows<Record<string, unknown>>('progress-last-batch', `${selectBatch} ORDER BY seq DESC LIMIT 1`, [runId]);
      return row && batchFromRow(row);
    },

    async seal(runId, audit) {
      await inTransaction(pool, async (client) => {
        const { rowCount } = await client.query(
          `UPDATE waybill.run SET arrival = 'sealed' WHERE id = $1 AND arrival = 'open'`,
          [runId],
        );
        if (!rowCount) return;
        await insertAudit(client, audit);
        await client.query({ name: 'notify-run', text: `SELECT pg_notify('waybill_run', $1)`, values: [runId] });
      });
    },

    async findBatch(runId, seq): Promise<Batch> {
      const [row] = await rows<Record<string, unknown>>('progress-batch', `${selectBatch} AND seq = $2`, [runId, seq]);
      if (!row) throw new WaybillError('BatchMissing', { detail: `${runId} batch ${seq}` });
      return batchFromRow(row);
    },

    async findStage(runId, seq, stage) {
      const [row] = await rows<StageRow>('progress-stage', `${selectStage} AND seq = $2 AND stage = $3`, [
        runId,
        seq,
        stage,
      ]);
      return row && stageFromRow(row);
    },

    async recordStage(runId, output, audit) {
      return inTransaction(pool, async (client) => {
        const { rowCount } = await client.query({
          name: 'progress-record-stage',
          text: `INSERT INTO waybill.stage (run_id, seq, stage, digest, size_bytes, rejected_digest, counts)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
          values: [
            runId,
            output.seq,
            output.stage,
            output.digest,
            output.sizeBytes,
            output.rejectedDigest ?? null,
            output.counts,
          ],
        });
        if (rowCount) {
          await insertAudit(client, audit);
          return output;
        }
        const standing = await client.query<StageRow>(`${selectStage} AND seq = $2 AND stage = $3`, [
          runId,
          output.seq,
          output.stage,
        ]);
        return stageFromRow(standing.rows[0]!);
      });
    },

    async findStored(runId, seq) {
      const [row] = await rows<{ counts: Counts }>(
        'progress-stored',
        'SELECT counts FROM waybill.ledger WHERE run_id = $1 AND seq = $2',
        [runId, seq],
      );
      return row?.counts;
    },

    async totals(runId) {
      const [ledger, [arrived]] = await Promise.all([
        rows<{ counts: Counts }>('progress-ledger', 'SELECT counts FROM waybill.ledger WHERE run_id = $1', [runId]),
        rows<{ batches: number }>(
          'progress-batches',
          'SELECT count(*)::integer AS batches FROM waybill.batch WHERE run_id = $1',
          [runId],
        ),
      ]);
      return {
        counts: ledger.reduce((sum, { counts }) => addCounts(sum, counts), zeroCounts),
        stored: ledger.length,
        batches: arrived!.batches,
      };
    },

    async end(runId, outcome, audit): Promise<RunOutcome> {
      return inTransaction(pool, async (client) => {
        const ended = await client.query({
          name: 'progress-end',
          text: `UPDATE waybill.run SET state = $2, counts = $3, reason = $4, ended_at = now()
                 WHERE id = $1 AND ended_at IS NULL`,
          values: [runId, outcome.state, outcome.counts, outcome.reason ?? null],
        });
        if (ended.rowCount) {
          await insertAudit(client, audit);
          await client.query({ name: 'notify-run', text: `SELECT pg_notify('waybill_run', $1)`, values: [runId] });
          return outcome;
        }
        const { rows: standing } = await client.query<RunOutcome>(
          'SELECT state, counts, reason FROM waybill.run WHERE id = $1',
          [runId],
        );
        if (!standing[0]) throw new WaybillError('RunUnknown', { detail: runId });
        const { state, counts, reason } = standing[0];
        return { state, counts: counts ?? zeroCounts, ...(reason && { reason }) };
      });
    },

    async stageObjects(runId) {
      const found = await rows<StageRow>('progress-stage-objects', selectStage, [runId]);
      return found.flatMap((row) => (row.rejectedDigest ? [row.digest, row.rejectedDigest] : [row.digest]));
    },
  };
}

const selectBatch = `SELECT seq, digest, size_bytes AS "sizeBytes", first_byte AS "firstByte",
  first_record AS "firstRecord", first_line AS "firstLine", records, header, refused
  FROM waybill.batch WHERE run_id = $1`;

const selectStage = `SELECT seq, stage, digest, size_bytes AS "sizeBytes", rejected_digest AS "rejectedDigest", counts
  FROM waybill.stage WHERE run_id = $1`;

interface StageRow {
  seq: number;
  stage: StageOutput['stage'];
  digest: string;
  sizeBytes: string;
  rejectedDigest: string | null;
  counts: Partial<Counts>;
}

function stageFromRow({ rejectedDigest, sizeBytes, ...row }: StageRow): StageOutput {
  return { ...row, sizeBytes: Number(sizeBytes), ...(rejectedDigest && { rejectedDigest }) };
}
