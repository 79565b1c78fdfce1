import type { StageOutput } from '../../domain/batch.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Progress, RunFacts, RunOutcome, Work } from '../../domain/ports/progress.ts';
import { addCounts, type Counts, type RunRef, zeroCounts } from '../../domain/run.ts';
import { auditValues, auditWhere } from './audit.ts';
import { batchFromRow, insertBatch } from './batches.ts';
import { calledBackBy, callingBack, newDeliveryId } from './callBack.ts';
import { fromPostgres } from './failure.ts';
import { factColumns } from './runFacts.ts';
import { findWindow, openWindow } from './sourceWindows.ts';
import { tellingApproval } from './tellApproval.ts';
import type { Tenants } from './tenants.ts';
import { findWatermark } from './watermarks.ts';

/** Resolves when a run may have changed, or after `timeoutMs`, or when the signal aborts. */
export type WaitForRun = (runId: string, timeoutMs: number, signal: AbortSignal) => Promise<void>;

/** Runs of which the facts are kept; they never change, and each of the steps of a run asks for them. */
const factsMax = 1_000;

/**
 * `waitForRun` is what makes waiting for arrivals cheap; without a notification the table is asked every 2 s. `publicUrl` is where
 * links in events lead.
 */
export function createProgress(tenants: Tenants, waitForRun: WaitForRun, publicUrl = ''): Progress {
  const facts = new Map<string, RunFacts>();
  const base = publicUrl.replace(/\/$/, '');

  /** Asks for a run; its id is `$1`, and `values` follow. */
  async function rows<T>(
    { tenant, runId }: RunRef,
    name: string,
    text: string,
    values: unknown[] = [],
  ): Promise<T[]> {
    try {
      const query = { name, text, values: [runId, ...values] };
      return (await tenants.for(tenant).query(query)).rows as T[];
    } catch (error) {
      throw fromPostgres(error);
    }
  }

  return {
    async findRun(run) {
      const { tenant, runId } = run;
      const known = facts.get(runId);
      if (known?.tenant === tenant) return known;
      const [found] = await rows<RunFacts>(
        run,
        'progress-run',
        `SELECT ${factColumns} FROM waybill.run WHERE id = $1`,
      );
      if (!found) throw new WaybillError('RunUnknown', { detail: runId });
      if (facts.size >= factsMax) facts.delete(facts.keys().next().value!);
      facts.set(runId, found);
      return found;
    },

    async begin(run, execution, audit) {
      await rows(
        run,
        'progress-begin',
        `WITH begun AS (
           UPDATE waybill.run SET state = 'running', started_at = now(), first_execution = $2
           WHERE id = $1 AND state = 'accepted' RETURNING id
         ), audited AS (${auditWhere('begun', 3)})
         SELECT pg_notify('waybill_run', id) FROM begun`,
        [execution, ...auditValues(audit)],
      );
    },

    async arrivals(run, execution, after, waitMs, signal) {
      const until = performance.now() + waitMs;
      for (;;) {
        const [seen] = await rows<{ known: number; arrival: string; ended: boolean }>(
          run,
          'progress-arrivals',
          `SELECT arrival, ${isOver('run', 2)} AS ended,
                  (SELECT coalesce(max(seq) + 1, 0) FROM waybill.batch WHERE run_id = $1) AS known
           FROM waybill.run WHERE id = $1`,
          [execution],
        );
        if (!seen) throw new WaybillError('RunUnknown', { detail: run.runId });
        if (seen.ended) throw new WaybillError('RunEnded', { detail: run.runId });
        const { known } = seen;
        const sealed = seen.arrival === 'sealed';
        const broken = seen.arrival === 'broken';
        const leftMs = until - performance.now();
        const news = known > after || sealed || broken;
        if (news || leftMs <= 0 || signal.aborted) return { known, sealed, broken };
        await waitForRun(run.runId, Math.min(leftMs, 2_000), signal);
      }
    },

    async batchDigests(run) {
      const found = await rows<{ digest: string }>(
        run,
        'progress-batch-digests',
        'SELECT digest FROM waybill.batch WHERE run_id = $1 ORDER BY seq',
      );
      return found.map(({ digest }) => digest);
    },

    async appendBatch(run, batch) {
      const { tenant, runId, principal } = run;
      await tenants.for(tenant, principal).transaction((client) => insertBatch(client, runId, batch));
    },

    async lastBatch(run) {
      const [row] = await rows<Record<string, unknown>>(
        run,
        'progress-last-batch',
        `${selectBatch} ORDER BY seq DESC LIMIT 1`,
      );
      return row && batchFromRow(row);
    },

    watermark: (run, key) => findWatermark(tenants, run, key),
    window: (run) => findWindow(tenants, run),
    openWindow: (run, key, window) => openWindow(tenants, run, key, window),

    async seal(run, audit) {
      await rows(
        run,
        'progress-seal',
        `WITH sealed AS (
           UPDATE waybill.run SET arrival = 'sealed' WHERE id = $1 AND arrival = 'open' RETURNING id
         ), audited AS (${auditWhere('sealed', 2)})
         SELECT pg_notify('waybill_run', id) FROM sealed`,
        auditValues(audit),
      );
    },

    async findWork(run, execution, seq): Promise<Work> {
      const [row] = await rows<WorkRow>(
        run,
        'progress-work',
        `SELECT to_jsonb(b) AS batch, l.counts AS stored,
                ${isOver('r', 3)} AS ended, r.state = 'suspended' AS suspended,
                (SELECT to_jsonb(s) FROM waybill.stage s
                  WHERE s.run_id = $1 AND s.seq = $2 AND s.stage = 'validate') AS validated,
                (SELECT to_jsonb(s) FROM waybill.stage s
                  WHERE s.run_id = $1 AND s.seq = $2 AND s.stage = 'transform') AS transformed
         FROM (${selectBatch} AND seq = $2) b JOIN waybill.run r ON r.id = $1
         LEFT JOIN waybill.ledger l ON l.tenant = r.tenant AND l.run_id = $1 AND l.seq = $2`,
        [seq, execution],
      );
      if (!row) throw new WaybillError('BatchMissing', { detail: `${run.runId} batch ${seq}` });
      const { batch, validated, transformed, stored, ended, suspended } = row;
      if (ended) throw new WaybillError('RunEnded', { detail: run.runId });
      return {
        batch: batchFromRow(batch),
        suspended,
        ...(validated && { validated: stageFromRow(validated) }),
        ...(transformed && { transformed: stageFromRow(transformed) }),
        ...(stored && { stored }),
      };
    },

    async recordStage(run, output, audit) {
      const { seq, stage, digest, sizeBytes, rejectedDigest, counts, highest } = output;
      const [recorded] = await rows(
        run,
        'progress-record-stage',
        `WITH recorded AS (
           INSERT INTO waybill.stage (run_id, seq, stage, digest, size_bytes, rejected_digest, counts, highest)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING seq
         ), audited AS (${auditWhere('recorded', 9)})
         SELECT seq FROM recorded`,
        [
          seq,
          stage,
          digest,
          sizeBytes,
          rejectedDigest ?? null,
          counts,
          highest ?? null,
          ...auditValues(audit),
        ],
      );
      if (recorded) return output;
      const [standing] = await rows<StageRow>(
        run,
        'progress-standing-stage',
        'SELECT * FROM waybill.stage WHERE run_id = $1 AND seq = $2 AND stage = $3',
        [seq, stage],
      );
      return stageFromRow(standing!);
    },

    async staged(run) {
      const found = await rows<Omit<WorkRow, 'suspended' | 'stored'> & { arrival: string }>(
        run,
        'progress-staged',
        `SELECT r.arrival, r.ended_at IS NOT NULL AS ended, to_jsonb(b) AS batch, to_jsonb(v) AS validated, to_jsonb(t) AS transformed
         FROM waybill.run r JOIN (${selectBatch}) b ON true
         LEFT JOIN waybill.stage v ON v.run_id = $1 AND v.seq = b.seq AND v.stage = 'validate'
         LEFT JOIN waybill.stage t ON t.run_id = $1 AND t.seq = b.seq AND t.stage = 'transform'
         WHERE r.id = $1 ORDER BY b.seq`,
      );
      if (found[0]?.ended) throw new WaybillError('RunEnded', { detail: run.runId });
      if (found[0]?.arrival !== 'sealed') throw new WaybillError('UploadIncomplete', { detail: run.runId });
      return found.map(({ batch, validated, transformed }) => {
        if (!validated || !transformed)
          throw new WaybillError('BatchMissing', {
            detail: `batch ${batch.seq} of ${run.runId} is not transformed`,
          });
        return {
          batch: batchFromRow(batch),
          validated: stageFromRow(validated),
          transformed: stageFromRow(transformed),
        };
      });
    },

    async suspend(run, reason, audit) {
      const [suspended] = await rows<{ forMs: number }>(
        run,
        'progress-suspend',
        `WITH suspended AS (
           UPDATE waybill.run SET state = 'suspended', reason = $2, suspended_at = coalesce(suspended_at, now())
           WHERE id = $1 AND ended_at IS NULL RETURNING ${calledBackBy}, suspended_at
         ), ${callingBack('suspended', 3)}, audited AS (${auditWhere('suspended', 4)})
         SELECT (extract(epoch FROM now() - suspended_at) * 1000)::float8 AS "forMs",
                pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM suspended`,
        [reason, newDeliveryId(), ...auditValues(audit)],
      );
      if (!suspended) throw new WaybillError('RunEnded', { detail: run.runId });
      return suspended.forMs;
    },

    async resume(run, audit) {
      await rows(
        run,
        'progress-resume',
        `WITH resumed AS (
           UPDATE waybill.run SET state = 'running', reason = NULL, suspended_at = NULL,
             started_at = coalesce(started_at, now())
           WHERE id = $1 AND state = 'suspended' AND ended_at IS NULL RETURNING ${calledBackBy}
         ), ${callingBack('resumed', 2)}, audited AS (${auditWhere('resumed', 3)})
         SELECT pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM resumed`,
        [newDeliveryId(), ...auditValues(audit)],
      );
    },

    async successor(run) {
      const [row] = await rows<{ id: string | null }>(
        run,
        'progress-successor',
        'SELECT successor_id AS id FROM waybill.run WHERE id = $1',
      );
      return row?.id ?? null;
    },

    async totals(run) {
      const [counted, [arrived]] = await Promise.all([
        rows<{ counts: Partial<Counts>; stored: boolean }>(
          run,
          'progress-counted',
          // What was made of a batch that was never stored counts as read, and nothing of it as emitted.
          `SELECT counts, true AS stored FROM waybill.ledger WHERE run_id = $1
           UNION ALL
           SELECT s.counts - 'emitted', false FROM waybill.stage s
           JOIN waybill.stage t ON t.run_id = $1 AND t.seq = s.seq AND t.stage = 'transform'
           WHERE s.run_id = $1 AND NOT EXISTS (SELECT FROM waybill.ledger l WHERE l.run_id = $1 AND l.seq = s.seq)`,
        ),
        rows<{ batches: number; readInBits: boolean }>(
          run,
          'progress-batches',
          `SELECT (SELECT count(*)::integer FROM waybill.batch WHERE run_id = $1) AS batches,
                  arrival = 'sealed' AND manifest -> 'source' ? 'cursor' AS "readInBits"
           FROM waybill.run WHERE id = $1`,
        ),
      ]);
      return {
        counts: counted.reduce((sum, { counts }) => addCounts(sum, counts), zeroCounts),
        stored: counted.filter(({ stored }) => stored).length,
        batches: arrived!.batches,
        nothingNew: arrived!.readInBits && arrived!.batches === 0,
      };
    },

    async end(run, outcome, audit): Promise<RunOutcome> {
      const [ended] = await rows(
        run,
        'progress-end',
        `WITH ended AS (
           UPDATE waybill.run SET state = $2, counts = $3, reason = $4, ended_at = now(),
             arrival = CASE arrival WHEN 'open' THEN 'broken' ELSE arrival END
           WHERE id = $1 AND ended_at IS NULL RETURNING ${calledBackBy}
         ), freed AS (
           -- An upload that still goes on ends with the run; its key was never settled.
           DELETE FROM waybill.idempotency WHERE request_digest IS NULL AND run_id IN (SELECT id FROM ended)
         ), unanswered AS (
           -- Nobody is waited for any more.
           UPDATE waybill.approval a SET state = 'cancelled', ended_at = now() FROM ended
           WHERE a.run_id = ended.id AND a.state = 'pending' RETURNING a.*
         ), ${tellingApproval('unanswered', `'approval.ended'`, 13)},
         ${callingBack('ended', 5)}, audited AS (${auditWhere('ended', 6)}),
         unanswered_audited AS (${auditWhere('unanswered', 14)})
         SELECT pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called),
                (SELECT count(pg_notify('waybill_outbox', '')) FROM told) FROM ended`,
        [
          ...[outcome.state, outcome.counts, outcome.reason ?? null, newDeliveryId()],
          ...auditValues(audit),
          base,
          ...auditValues({ ...audit, action: 'approval.cancelled', outcome: 'success', detail: {} }),
        ],
      );
      if (ended) return outcome;
      const [standing] = await rows<RunOutcome>(
        run,
        'progress-outcome',
        'SELECT state, counts, reason FROM waybill.run WHERE id = $1',
      );
      if (!standing) throw new WaybillError('RunUnknown', { detail: run.runId });
      const { state, counts, reason } = standing;
      return { state, counts: counts ?? zeroCounts, ...(reason && { reason }) };
    },

    async stageObjects(run) {
      const found = await rows<{ digest: string; rejected_digest: string | null }>(
        run,
        'progress-stage-objects',
        `SELECT digest, rejected_digest FROM waybill.stage WHERE run_id = $1
         UNION ALL SELECT sample->>'digest', NULL FROM waybill.approval WHERE run_id = $1 AND sample IS NOT NULL`,
      );
      return found.flatMap((row) => (row.rejected_digest ? [row.digest, row.rejected_digest] : [row.digest]));
    },
  };
}

/**
 * Whether nothing more is to be done for a run, in the execution of that parameter: it has ended. Where that very execution began and
 * completed it, a workflow task was lost after the last step, and the steps before are asked again for what they have said.
 */
function isOver(run: string, execution: number): string {
  return `(${run}.ended_at IS NOT NULL
           AND NOT (${run}.state = 'completed' AND ${run}.first_execution IS NOT DISTINCT FROM $${execution}))`;
}

const selectBatch = `SELECT seq, digest, size_bytes AS "sizeBytes", first_byte AS "firstByte",
  first_record AS "firstRecord", first_line AS "firstLine", records, header, refused,
  source_version AS "sourceVersion"
  FROM waybill.batch WHERE run_id = $1`;

interface WorkRow {
  ended: boolean;
  suspended: boolean;
  batch: Record<string, unknown>;
  validated: StageRow | null;
  transformed: StageRow | null;
  stored: Counts | null;
}

interface StageRow {
  seq: number;
  stage: StageOutput['stage'];
  digest: string;
  size_bytes: number;
  rejected_digest: string | null;
  counts: Partial<Counts>;
}

function stageFromRow({ seq, stage, digest, size_bytes, rejected_digest, counts }: StageRow): StageOutput {
  const rejected = rejected_digest && { rejectedDigest: rejected_digest };
  return { seq, stage, digest, sizeBytes: size_bytes, ...rejected, counts };
}
