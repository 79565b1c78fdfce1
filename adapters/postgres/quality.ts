import type { Quality, QualityResults, RecordedQuality } from '../../domain/ports/quality.ts';
import {
  addMeasures,
  type Measures,
  type QualityResult,
  qualityKeyBytes,
  qualityKeysMax,
} from '../../domain/quality/quality.ts';
import { addCounts, type Counts, zeroCounts } from '../../domain/runs/run.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import { jsonParam, sql } from '../../domain/sql.ts';
import { auditParams, auditSql } from './audit.ts';
import { queryRun } from './runs/queryRun.ts';
import { definitionOf } from './runs/runFacts.ts';
import type { Queries, Tenants } from './tenants.ts';

/** For the steps of runs. */
export function createQuality(tenants: Tenants): Quality {
  const ask = queryRun(tenants);
  return {
    async find(run) {
      const [found] = await ask<{ result: QualityResult }>(
        run,
        'quality-find',
        'SELECT result FROM waybill.quality_result WHERE run_id = :runId',
      );
      return found?.result;
    },

    async measure(run, { earlierRuns, countsKeys }) {
      const { tenant, principal } = run;
      return tenants.for(tenant, principal).transaction(async (client) => {
        const { counts, measures, keys } = await sumBatches(client, run.runId);
        const tooMany = keys > qualityKeysMax;
        return {
          counts,
          measures,
          earlierRows: earlierRuns > 0 ? await findEarlierRows(client, run, earlierRuns) : [],
          distinct: tooMany ? undefined : countsKeys ? await countKeys(client, run.runId) : new Map(),
        };
      });
    },

    async record(run, result, audit) {
      const [recorded] = await ask<{ result: QualityResult }>(
        run,
        'quality-record',
        `WITH recorded AS (
           INSERT INTO waybill.quality_result (run_id, pipeline, version, result)
           VALUES (:runId, :pipeline, :version, :result) ON CONFLICT DO NOTHING RETURNING result
         ), audited AS (${auditSql('recorded')})
         SELECT result FROM recorded`,
        { pipeline: run.pipeline, version: run.version, result: jsonParam(result), ...auditParams(audit) },
      );
      return recorded?.result ?? (await this.find(run))!;
    },
  };
}

export function createQualityResults(tenants: Tenants): QualityResults {
  return {
    async list(tenant, { pipeline, limit, cursor }) {
      const { rows } = await tenants.for(tenant).query<ResultRow>(
        sql(
          `SELECT q.version, q.result, q.measured_at, r.id, r.tenant, r.requested_by AS "requestedBy",
                  ${definitionOf('r.manifest')} AS definition
           FROM waybill.quality_result q JOIN waybill.run r ON r.tenant = q.tenant AND r.id = q.run_id
           WHERE q.tenant = :tenant AND q.pipeline = :pipeline AND (:cursor::text IS NULL OR q.run_id < :cursor)
           ORDER BY q.run_id DESC LIMIT :limit`,
          { tenant, pipeline, cursor: cursor ?? null, limit: limit + 1 },
          'quality-list',
        ),
      );
      const items = rows.slice(0, limit).map(({ version, result, measured_at, ...run }) => ({
        ...result,
        run,
        version,
        measuredAt: measured_at.toISOString(),
      }));
      return { items, nextCursor: rows.length > limit ? items.at(-1)!.run.id : null };
    },
  };
}

type ResultRow = RecordedQuality['run'] & {
  version: number;
  result: QualityResult;
  measured_at: Date;
};

/** A batch that is stored counts as the ledger has it: the database may have rejected more of its records. */
async function sumBatches(
  client: Queries,
  runId: string,
): Promise<{ counts: Counts; measures: Measures; keys: number }> {
  const { rows } = await client.query<{
    counts: Partial<Counts>;
    measures: Measures | null;
    keys: number | null;
  }>(
    sql(
      `SELECT counts, NULL::jsonb AS measures, NULL::integer AS keys FROM waybill.ledger WHERE run_id = :runId
       UNION ALL
       SELECT s.counts, NULL, NULL FROM waybill.stage s WHERE s.run_id = :runId
         AND NOT EXISTS (SELECT FROM waybill.ledger l WHERE l.run_id = :runId AND l.seq = s.seq)
       UNION ALL
       SELECT '{}', measures, octet_length(keys) FROM waybill.quality_measure WHERE run_id = :runId`,
      { runId },
      'quality-sum',
    ),
  );
  let [counts, keysBytes, measures] = [zeroCounts, 0, {} as Measures];
  for (const row of rows) {
    counts = addCounts(counts, row.counts);
    if (row.measures) measures = addMeasures(measures, row.measures);
    keysBytes += row.keys ?? 0;
  }
  return { counts, measures, keys: keysBytes / qualityKeyBytes };
}

/** As many different keys as each rule has. PostgreSQL sorts them, in memory or on disk. */
async function countKeys(client: Queries, runId: string): Promise<Map<number, number>> {
  const { rows } = await client.query<{ rule: number; keys: number }>(
    sql(
      // Appended to nothing, the keys of a batch are read once instead of once a key; without OFFSET they would be sorted with each.
      `SELECT get_byte(k.key, 0) AS rule, count(DISTINCT k.key)::float8 AS keys
       FROM (SELECT keys || ''::bytea AS keys FROM waybill.quality_measure
             WHERE run_id = :runId AND keys IS NOT NULL OFFSET 0) b
       CROSS JOIN LATERAL (
         SELECT substring(b.keys FROM i * :size::integer + 1 FOR :size::integer) AS key
         FROM generate_series(0, octet_length(b.keys) / :size::integer - 1) i OFFSET 0) k
       GROUP BY 1`,
      { runId, size: qualityKeyBytes },
      'quality-keys',
    ),
  );
  return new Map(rows.map(({ rule, keys }) => [rule, keys]));
}

async function findEarlierRows(
  client: Queries,
  { tenant, runId, pipeline, version }: RunFacts,
  limit: number,
): Promise<number[]> {
  const { rows } = await client.query<{ rows: number }>(
    sql(
      `SELECT coalesce((r.counts ->> 'emitted')::float8, 0) AS rows
       FROM waybill.quality_result q JOIN waybill.run r ON r.tenant = q.tenant AND r.id = q.run_id
       WHERE q.tenant = :tenant AND q.pipeline = :pipeline AND q.version = :version AND q.run_id < :runId
         AND r.state = 'completed' AND r.source ->> 'kind' <> 'deadLetters'
       ORDER BY q.run_id DESC LIMIT :limit`,
      { tenant, runId, pipeline, version, limit },
      'quality-earlier',
    ),
  );
  return rows.map((row) => row.rows);
}
