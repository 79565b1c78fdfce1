import { noLetters } from '../../../domain/deadLetters/letterStates.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { RunFilter, Runs } from '../../../domain/ports/runs.ts';
import { type Counts, type Run, zeroCounts } from '../../../domain/runs/run.ts';
import { lettersKind, retriedKind } from '../../../domain/sources/source.ts';
import { sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';
import { retryingSql } from './failedAttempts.ts';
import { definitionOf } from './runFacts.ts';

export async function findRun(tenants: Tenants, tenant: string, runId: string): Promise<Run | undefined> {
  const { rows } = await tenants
    .for(tenant)
    .query(
      sql(
        `SELECT ${runColumns} FROM ${runWithLiveCounts} WHERE r.tenant = :tenant AND r.id = :runId`,
        { tenant, runId },
        'find-run',
      ),
    );
  return rows[0] && runFromRow(rows[0]);
}

/** The cursor is the id of the last run of the page before; it means nothing outside the tenant. */
export async function listRuns(
  tenants: Tenants,
  tenant: string,
  { limit, cursor, ...filter }: Parameters<Runs['list']>[1],
): ReturnType<Runs['list']> {
  const { rows } = await tenants.for(tenant).query(
    sql(
      `SELECT ${runColumns} FROM ${runWithLiveCounts}
      WHERE r.tenant = :tenant ${conditionsOf(filter)} AND (:cursor::text IS NULL
          OR (r.created_at, r.id) < (SELECT c.created_at, c.id FROM waybill.run c WHERE c.tenant = :tenant AND c.id = :cursor))
      ORDER BY r.created_at DESC, r.id DESC LIMIT :limit`,
      {
        tenant,
        ...paramsOf(filter),
        cursor: cursor ?? null,
        limit: limit + 1,
      },
    ),
  );
  if (rows.length === 0 && cursor !== undefined && !(await findRun(tenants, tenant, cursor)))
    throw new WaybillError('InvalidRequest', { issues: [{ path: '/cursor', message: 'Unknown cursor.' }] });
  const items = rows.slice(0, limit).map(runFromRow);
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}

const ofScheduleSql = `EXISTS (SELECT FROM waybill.firing f WHERE f.tenant = r.tenant AND f.run_id = r.id @of)
  OR EXISTS (SELECT FROM waybill.backfill f WHERE f.tenant = r.tenant AND f.run_id = r.id @of)`;

/** A condition is part of the statement only where it is asked for, so that each plan is that of its filter. */
const conditions: Readonly<Record<keyof RunFilter, string>> = {
  pipeline: 'r.pipeline = :pipeline',
  version: 'r.version = :version::integer',
  states: 'r.state = ANY(:states::text[])',
  from: 'r.created_at >= :from::timestamptz',
  to: 'r.created_at < :to::timestamptz',
  requester: `:requester IN (r.principal, r.requested_by ->> 'subject')`,
  schedule: `(${ofScheduleSql.replaceAll('@of', 'AND f.schedule_id = :schedule')})`,
  trigger: `:trigger = CASE WHEN r.source ->> 'kind' = '${lettersKind}' THEN 'redrive'
    WHEN r.source ->> 'kind' = '${retriedKind}' THEN 'retry'
    WHEN ${ofScheduleSql.replaceAll('@of', '')} THEN 'schedule' ELSE 'request' END`,
  parameter: `r.parameters ->> split_part(:parameter, '=', 1) = substr(:parameter, strpos(:parameter, '=') + 1)`,
  code: `r.reason ->> 'code' = :code`,
  otherThan: 'r.ended_at IS NULL AND r.definition_digest <> ALL(:otherThan::text[])',
  unaddressed: `EXISTS (SELECT FROM waybill.dead_letter_group g WHERE g.tenant = r.tenant AND g.run_id = r.id
    AND g.state IN ('open', 'repaired', 'redriving'))`,
};

function paramsOf({ unaddressed: _, ...filter }: RunFilter) {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}

function conditionsOf({ unaddressed, ...filter }: RunFilter): string {
  const asked = [...Object.keys(paramsOf(filter)), ...(unaddressed ? ['unaddressed'] : [])];
  return asked.map((name) => `AND ${conditions[name as keyof RunFilter]}`).join(' ');
}

/** Columns of a run and of what `runFromRow` needs; `r` is the run with a column `live`. */
export const runColumns = `r.id, r.pipeline, r.state, r.tenant, r.requested_by, r.counts, r.live, r.reason,
  r.created_at, r.started_at, r.ended_at, r.left_bytes, r.source ? 'resumable' AS resumable, r.source ->> 'throttle' AS throttle,
  ${definitionOf('r.manifest')} AS definition,
  CASE WHEN r.state = 'awaiting-approval' THEN (SELECT a.id FROM waybill.approval a
    WHERE a.tenant = r.tenant AND a.run_id = r.id AND a.state = 'pending') END AS approval,
  (SELECT jsonb_object_agg(g.state, g.letters) FROM (
     SELECT g.state, sum(g.letters) AS letters FROM waybill.dead_letter_group g
     WHERE g.tenant = r.tenant AND g.run_id = r.id GROUP BY g.state) g) AS dead_letters,
  (SELECT q.result FROM waybill.quality_result q WHERE q.tenant = r.tenant AND q.run_id = r.id) AS quality,
  CASE WHEN r.manifest -> 'sink' ? 'outputs' THEN (SELECT jsonb_object_agg(o.name, o.counts) FROM (
     SELECT c.key AS name, jsonb_build_object('emitted', sum((c.value ->> 'emitted')::bigint),
              'stored', sum((c.value ->> 'stored')::bigint), 'unchanged', sum((c.value ->> 'unchanged')::bigint),
              'deduplicated', sum((c.value ->> 'deduplicated')::bigint)) AS counts
     FROM waybill.ledger l, jsonb_each(l.counts_by_output) c
     WHERE l.tenant = r.tenant AND l.run_id = r.id GROUP BY c.key) o) END AS counts_by_output,
  ${retryingSql} AS retrying,
  CASE WHEN r.manifest -> 'source' ? 'cursor' THEN (SELECT sum(s.ahead)::float8 FROM waybill.stage s
    WHERE s.run_id = r.id AND s.stage = 'transform') END AS records_ahead,
  CASE WHEN r.manifest ? 'unknownFields' THEN (SELECT sum(s.unknown_fields)::float8 FROM waybill.stage s
    WHERE s.run_id = r.id AND s.stage = 'validate') END AS unknown_fields`;

/**
 * While a run goes on its counts are summed up: what the stages saw, and what the ledger says was stored.
 * In the end they stand in the run itself.
 */
const runWithLiveCounts = `
  (SELECT run.*, CASE WHEN run.counts IS NULL AND run.started_at IS NOT NULL THEN (
     SELECT jsonb_object_agg(part.name, part.n) FROM (
       SELECT c.key AS name, sum(c.value::bigint) AS n
       FROM (SELECT counts, false AS landed FROM waybill.stage WHERE run_id = run.id
             UNION ALL
             SELECT counts, true FROM waybill.ledger WHERE tenant = run.tenant AND run_id = run.id) seen,
            jsonb_each_text(seen.counts) c
       WHERE (c.key IN ('stored', 'unchanged', 'deduplicated')) = seen.landed
       GROUP BY c.key) part
   ) END AS live FROM waybill.run) r`;

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
export function runFromRow(row: any): Run {
  return {
    id: row.id,
    pipeline: row.pipeline,
    state: row.state,
    tenant: row.tenant,
    requestedBy: row.requested_by,
    definition: row.definition,
    counts: countsOf(row.counts ?? row.live ?? {}),
    ...(row.counts_by_output && { countsByOutput: row.counts_by_output }),
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
    ...(row.resumable && { resumable: true as const }),
    ...(row.throttle && { throttle: row.throttle }),
    ...(row.reason && { reason: row.reason }),
    ...(row.records_ahead && { recordsAhead: row.records_ahead }),
    ...(row.unknown_fields && { unknownFields: row.unknown_fields }),
    ...(row.left_bytes !== null && { leftBytes: Number(row.left_bytes) }),
    ...(row.dead_letters && { deadLetters: { ...noLetters, ...row.dead_letters } }),
    ...(row.retrying && { retrying: retryingOf(row.retrying) }),
    ...(row.quality && { quality: row.quality }),
    ...(row.approval && { approval: row.approval }),
  };
}

function retryingOf(retrying: NonNullable<Run['retrying']>): Run['retrying'] {
  return { ...retrying, nextAttemptAt: new Date(retrying.nextAttemptAt).toISOString() };
}

function countsOf(known: Partial<Counts>): Counts {
  return Object.fromEntries(
    Object.keys(zeroCounts).map((name) => [name, Number(known[name as keyof Counts] ?? 0)]),
  ) as unknown as Counts;
}
