import { WaybillError } from '../../../domain/errors.ts';
import type { Stages, Work } from '../../../domain/ports/stages.ts';
import type { StageOutput } from '../../../domain/runs/batch.ts';
import type { Rejection } from '../../../domain/runs/rejection.ts';
import type { Counts } from '../../../domain/runs/run.ts';
import { jsonParam } from '../../../domain/sql.ts';
import { auditParams, auditSql } from '../audit.ts';
import { commitSql, isOverSql, queryRun } from '../runs/queryRun.ts';
import type { Tenants } from '../tenants.ts';
import { batchFromRow, selectBatch } from './batchRows.ts';

/** What the steps have made of the batches of a run. */
export function createStages(tenants: Tenants): Stages {
  const ask = queryRun(tenants);
  return {
    async findWork(run, execution, seq): Promise<Work> {
      const [row] = await ask<WorkRow>(
        run,
        'progress-work',
        `SELECT to_jsonb(b) AS batch, l.counts AS stored,
                ${isOverSql('r')} AS ended, r.state = 'suspended' AS suspended,
                (SELECT to_jsonb(s) FROM waybill.stage s
                  WHERE s.run_id = :runId AND s.seq = :seq AND s.stage = 'validate') AS validated,
                (SELECT to_jsonb(s) FROM waybill.stage s
                  WHERE s.run_id = :runId AND s.seq = :seq AND s.stage = 'enrich') AS enriched,
                (SELECT to_jsonb(s) FROM waybill.stage s
                  WHERE s.run_id = :runId AND s.seq = :seq AND s.stage = 'transform') AS transformed
         FROM (${selectBatch} AND seq = :seq) b JOIN waybill.run r ON r.id = :runId
         LEFT JOIN waybill.ledger l ON l.tenant = r.tenant AND l.run_id = :runId AND l.seq = :seq`,
        { seq, execution },
      );
      if (!row) throw new WaybillError('StepResultInvalid', { detail: `${run.runId} batch ${seq}` });
      const { batch, validated, enriched, transformed, stored, ended, suspended } = row;
      if (ended) throw new WaybillError('RunEnded', { detail: run.runId });
      return {
        batch: batchFromRow(batch),
        suspended,
        ...(validated && { validated: stageFromRow(validated) }),
        ...(enriched && { enriched: stageFromRow(enriched) }),
        ...(transformed && { transformed: stageFromRow(transformed) }),
        ...(stored && { stored }),
      };
    },

    async record(run, output, audit, isFollowed = false) {
      const { seq, stage, digest, sizeBytes, rejectedDigest, rejections, counts, highest, form, values } =
        output;
      const [recorded] = await ask(
        run,
        'progress-record-stage',
        `WITH recorded AS (
           INSERT INTO waybill.stage
             (run_id, seq, stage, digest, size_bytes, rejected_digest, rejections, counts, highest, ahead, unknown_fields, form,
              lookups)
           VALUES (:runId, :seq, :stage, :digest, :sizeBytes, :rejectedDigest, :rejections::jsonb, :counts, :highest, :ahead, :unknownFields,
             :form, :values)
           ON CONFLICT DO NOTHING RETURNING seq
         ), measured AS (
           INSERT INTO waybill.quality_measure (run_id, seq, measures, keys)
           SELECT :runId, seq, :measures::jsonb, :keys::bytea FROM recorded WHERE :measures::jsonb IS NOT NULL
         ), audited AS (${auditSql('recorded')})
         SELECT seq, ${commitSql} FROM recorded`,
        {
          seq,
          stage,
          digest,
          sizeBytes,
          rejectedDigest: rejectedDigest ?? null,
          rejections: jsonParam(rejections),
          counts,
          highest: highest ?? null,
          form: form ?? null,
          ahead: output.ahead ?? null,
          unknownFields: output.unknownFields ?? null,
          values: values ? Buffer.from(values) : null,
          isFollowed,
          measures: jsonParam(output.quality?.measures),
          keys: output.quality?.keys === undefined ? null : Buffer.from(output.quality.keys, 'base64'),
          ...auditParams(audit),
        },
      );
      if (recorded) return output;
      const [standing] = await ask<{ stage: StageRow }>(
        run,
        'progress-standing-stage',
        'SELECT to_jsonb(s) AS stage FROM waybill.stage s WHERE run_id = :runId AND seq = :seq AND stage = :stage',
        { seq, stage },
      );
      return stageFromRow(standing!.stage);
    },

    async listStaged(run) {
      const found = await ask<Omit<WorkRow, 'suspended' | 'stored'> & { arrival: string }>(
        run,
        'progress-staged',
        `SELECT r.arrival, r.ended_at IS NOT NULL AS ended, to_jsonb(b) AS batch, to_jsonb(v) AS validated, to_jsonb(t) AS transformed,
                to_jsonb(e) AS enriched
         FROM waybill.run r LEFT JOIN (${selectBatch}) b ON true
         LEFT JOIN waybill.stage v ON v.run_id = :runId AND v.seq = b.seq AND v.stage = 'validate'
         LEFT JOIN waybill.stage t ON t.run_id = :runId AND t.seq = b.seq AND t.stage = 'transform'
         LEFT JOIN waybill.stage e ON e.run_id = :runId AND e.seq = b.seq AND e.stage = 'enrich'
         WHERE r.id = :runId ORDER BY b.seq`,
      );
      if (found[0]?.ended) throw new WaybillError('RunEnded', { detail: run.runId });
      if (found[0]?.arrival !== 'sealed') throw new WaybillError('UploadIncomplete', { detail: run.runId });
      if (!found[0].batch) return [];
      return found.map(({ batch, validated, enriched, transformed }) => {
        if (!validated || !transformed)
          throw new WaybillError('StepResultInvalid', {
            detail: `batch ${batch.seq} of ${run.runId} is not transformed`,
          });
        return {
          batch: batchFromRow(batch),
          validated: stageFromRow(validated),
          ...(enriched && { enriched: stageFromRow(enriched) }),
          transformed: stageFromRow(transformed),
        };
      });
    },

    async listUnkept(run) {
      const found = await ask<{ batch: Record<string, unknown>; stages: StageRow[] }>(
        run,
        'progress-unkept',
        `SELECT to_jsonb(b) AS batch, s.stages FROM (${selectBatch}) b JOIN LATERAL (
           SELECT jsonb_agg(s ORDER BY s.stage = 'transform') AS stages FROM waybill.stage s
           WHERE s.run_id = :runId AND s.seq = b.seq AND s.stage IN ('validate', 'transform') AND (s.counts ->> 'rejected')::bigint > 0) s ON s.stages IS NOT NULL
         WHERE NOT EXISTS (SELECT FROM waybill.ledger l WHERE l.tenant = :tenant AND l.run_id = :runId AND l.seq = b.seq)
           AND NOT EXISTS (SELECT FROM waybill.dead_letter d WHERE d.tenant = :tenant AND d.run_id = :runId AND d.seq = b.seq)
         ORDER BY b.seq`,
        { tenant: run.tenant },
      );
      return found.map(({ batch, stages }) => ({
        batch: batchFromRow(batch),
        stages: stages.map(stageFromRow),
      }));
    },

    async listObjects(run) {
      const found = await ask<{ digest: string; rejected_digest: string | null }>(
        run,
        'progress-stage-objects',
        // The rows of other runs were in no object.
        `SELECT s.digest, s.rejected_digest FROM waybill.stage s JOIN waybill.run r ON r.id = s.run_id
         WHERE s.run_id = :runId
           AND (s.rejected_digest IS NOT NULL OR r.manifest -> 'approval' ->> 'before' = 'publish')
         UNION ALL SELECT sample->>'digest', NULL FROM waybill.approval WHERE run_id = :runId AND sample IS NOT NULL`,
      );
      return found.flatMap((row) => (row.rejected_digest ? [row.digest, row.rejected_digest] : [row.digest]));
    },
  };
}

interface WorkRow {
  ended: boolean;
  suspended: boolean;
  batch: Record<string, unknown>;
  validated: StageRow | null;
  enriched: StageRow | null;
  transformed: StageRow | null;
  stored: Counts | null;
}

interface StageRow {
  seq: number;
  stage: StageOutput['stage'];
  digest: string;
  size_bytes: number;
  rejected_digest: string | null;
  rejections: readonly Rejection[] | null;
  form: number | null;
  /** In the form that `bytea` has in JSON. */
  lookups: string | null;
  counts: Partial<Counts>;
}

function stageFromRow(row: StageRow): StageOutput {
  const { seq, stage, digest, size_bytes, rejected_digest, rejections, counts, form, lookups } = row;
  return {
    seq,
    stage,
    digest,
    sizeBytes: size_bytes,
    ...(rejected_digest && { rejectedDigest: rejected_digest }),
    ...(rejections && { rejections }),
    ...(form !== null && { form }),
    ...(typeof lookups === 'string' && { values: Buffer.from(lookups.slice('\\x'.length), 'hex') }),
    counts,
  };
}
