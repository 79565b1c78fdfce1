import type {
  DeadLetters,
  GroupField,
  LetterChoice,
  LetterOrigin,
} from '../../../domain/ports/deadLetters.ts';
import { sql } from '../../../domain/sql.ts';
import { definitionOf } from '../runs/runFacts.ts';
import type { Tenants } from '../tenants.ts';
import { discardLetters, repairLetters } from './changeLetters.ts';
import {
  conditionOf,
  cursorSql,
  letterColumns,
  letterFromRow,
  placeOf,
  storedColumns,
  storedFromRow,
} from './letterRows.ts';

/** A pipeline may give any code; more of them are of no use in an answer. */
const codesMax = 1_000;
const groupsMax = 100;
/** So many letters a page looks at, however few of them a filter holds. */
const scannedMax = 20_000;

export function createDeadLetters(tenants: Tenants): DeadLetters {
  return {
    async countByCode(tenant, runId) {
      // Summed by batches, as they were counted when the batch was stored: a run may have millions of dead letters.
      const { rows } = await tenants.for(tenant).query<{ code: string; records: number }>(
        sql(
          `SELECT c.key AS code, sum(c.value::bigint)::float8 AS records
           FROM waybill.ledger l, jsonb_each_text(l.rejected_by_code) c
           WHERE l.tenant = :tenant AND l.run_id = :runId GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :codesMax`,
          { tenant, runId, codesMax },
          'count-rejections',
        ),
      );
      return Object.fromEntries(rows.map(({ code, records }) => [code, records]));
    },

    async find(tenant, id) {
      const { rows } = await tenants
        .for(tenant)
        .query(
          sql(
            `SELECT ${letterColumns} FROM waybill.dead_letter d WHERE d.tenant = :tenant AND d.id = :id`,
            { tenant, id },
            'find-letter',
          ),
        );
      return rows[0] && letterFromRow(rows[0]);
    },

    list: (tenant, query) => listLetters(tenants, tenant, query),

    async group(tenant, { run, pipeline, code, path, state }, by, pipelines) {
      const of = (field: GroupField) => (field === 'run' ? 'run_id' : field);
      const columns = by.map((field) => `g.${of(field)}`).join(', ');
      const { rows } = await tenants.for(tenant).query(
        sql(
          `WITH grouped AS (
             SELECT ${columns}, sum(g.letters)::float8 AS letters,
                    (array_agg(g.run_id ORDER BY g.letters DESC, g.state, g.code, g.path))[1] AS in_run,
                    (array_agg(g.state ORDER BY g.letters DESC, g.state, g.code, g.path))[1] AS in_state,
                    (array_agg(g.code ORDER BY g.letters DESC, g.state, g.code, g.path))[1] AS in_code,
                    (array_agg(g.path ORDER BY g.letters DESC, g.state, g.code, g.path))[1] AS in_path
             FROM waybill.dead_letter_group g
             WHERE g.tenant = :tenant AND g.pipeline = ANY(:pipelines) AND g.letters > 0
               AND (:run::text IS NULL OR g.run_id = :run) AND (:pipeline::text IS NULL OR g.pipeline = :pipeline)
               AND (:code::text IS NULL OR g.code = :code) AND (:path::text IS NULL OR g.path = :path)
               AND (:state::text IS NULL OR g.state = :state)
             GROUP BY ${columns} ORDER BY letters DESC, ${columns} LIMIT :groupsMax
           )
           SELECT ${columns}, g.letters, e.id AS example FROM grouped g LEFT JOIN LATERAL (
             SELECT d.id FROM waybill.dead_letter d
             WHERE d.tenant = :tenant AND d.run_id = g.in_run AND d.state = g.in_state AND d.code = g.in_code
               AND d.path = g.in_path LIMIT 1) e ON true`,
          {
            tenant,
            pipelines,
            groupsMax,
            ...{ run: run ?? null, pipeline: pipeline ?? null, code: code ?? null },
            ...{ path: path ?? null, state: state ?? null },
          },
        ),
      );
      return rows.map(({ letters, example, ...row }) => ({
        by: Object.fromEntries(by.map((field) => [field, row[of(field)]])),
        letters,
        example,
      }));
    },

    async pick(tenant, choice, { after, limit }) {
      const { where, params } = whereOf(tenant, choice);
      const place = after === undefined ? undefined : placeOf(after);
      const { rows } = await tenants.for(tenant).query(
        sql(
          `SELECT ${storedColumns} FROM waybill.dead_letter d
           LEFT JOIN waybill.batch b ON b.run_id = d.run_id AND b.seq = d.seq
           WHERE ${where} ${place ? `AND (d.created_at, d.n) > (${instant}, :n::bigint)` : ''}
           ORDER BY d.created_at, d.n LIMIT :limit`,
          { ...params, ...place, limit },
        ),
      );
      return rows.map(storedFromRow);
    },

    async findOrigins(tenant, runIds) {
      const { rows } = await tenants.for(tenant).query<LetterOrigin>(
        sql(
          `SELECT id, tenant, pipeline, requested_by AS "requestedBy", ${definitionOf('manifest')} AS definition, parameters
           FROM waybill.run WHERE tenant = :tenant AND id = ANY(:runIds)`,
          { tenant, runIds },
          'find-letter-origins',
        ),
      );
      return rows;
    },

    repair: (tenant, edits, by, audit) => repairLetters(tenants, tenant, edits, by, audit),
    discard: (tenant, letters, by, reason, audit) =>
      discardLetters(tenants, tenant, letters, by, reason, audit),
  };
}

const instant = `'epoch'::timestamptz + :micros::bigint * interval '1 microsecond'`;

async function listLetters(
  tenants: Tenants,
  tenant: string,
  { limit, cursor, ...filter }: Parameters<DeadLetters['list']>[1],
): ReturnType<DeadLetters['list']> {
  const { indexed, others, params, otherParams } = conditionOf(tenant, filter);
  const place = cursor === undefined ? undefined : placeOf(cursor);
  const before = place ? `AND (d.created_at, d.n) < (${instant}, :n::bigint)` : '';
  const database = tenants.for(tenant);
  const scanned = `SELECT d.* FROM waybill.dead_letter d WHERE ${indexed} ${before} ORDER BY d.created_at DESC, d.n DESC`;
  const { rows } = await database.query(
    sql(
      `SELECT ${letterColumns}, ${cursorSql} AS cursor, r.requested_by, ${definitionOf('r.manifest')} AS definition
       FROM (${scanned} LIMIT :scannedMax) d JOIN waybill.run r ON r.tenant = d.tenant AND r.id = d.run_id
       WHERE ${others} ORDER BY d.created_at DESC, d.n DESC LIMIT :limit`,
      { ...params, ...otherParams, ...place, scannedMax, limit: limit + 1 },
    ),
  );
  const items = rows.slice(0, limit).map((row) => ({
    letter: letterFromRow(row),
    run: {
      id: row.run_id,
      tenant,
      pipeline: row.pipeline,
      requestedBy: row.requested_by,
      definition: row.definition,
    },
  }));
  if (rows.length > limit) return { items, nextCursor: rows[limit - 1].cursor };
  if (others === 'true') return { items, nextCursor: null };
  const last = await database.query<{ cursor: string }>(
    sql(`SELECT ${cursorSql} AS cursor FROM (${scanned} OFFSET :last LIMIT 1) d`, {
      ...params,
      ...place,
      last: scannedMax - 1,
    }),
  );
  return { items, nextCursor: last.rows[0]?.cursor ?? null };
}

function whereOf(tenant: string, choice: LetterChoice) {
  if ('ids' in choice)
    return { where: 'd.tenant = :tenant AND d.id = ANY(:ids)', params: { tenant, ids: choice.ids } };
  const { indexed, others, params, otherParams } = conditionOf(tenant, choice.filter);
  return {
    where: `${indexed} AND ${others} AND d.state = ANY(:states)`,
    params: { ...params, ...otherParams, states: choice.states },
  };
}
