import type { ClientBase } from 'pg';
import type { DecisionMade, StandingApproval } from '../../../domain/ports/approvals.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import type { Queries } from '../tenants.ts';

export interface FoundApproval extends StandingApproval {
  /** Whether its deadline has passed, by the clock of the database. */
  overdue: boolean;
}

/** The approval of the run of that id, or its newest. */
export async function findStanding(
  client: Queries,
  { runId, id }: { runId: string; id?: string },
): Promise<FoundApproval | undefined> {
  const { rows } = await client.query(
    sql(
      `SELECT a.id, a.round, a.state, a.digest, a.shown, a.terms, a.by, a.escalated_at IS NOT NULL AS escalated, a.expires_at,
             a.expires_at <= clock_timestamp() AS overdue,
             CASE WHEN a.state = 'pending' THEN greatest(0, ceil(1000 *
               extract(epoch FROM least(a.remind_at, a.expires_at) - clock_timestamp())))::float8 ELSE 0 END AS due_in_ms,
             coalesce((SELECT jsonb_agg(jsonb_build_object('id', d.id, 'vote', d.vote, 'by', d.by, 'comment', d.comment,
                 'form', d.form, 'at', to_char(d.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'jws', d.jws,
                 'counted', CASE WHEN d.refused IS NOT NULL THEN to_jsonb(d.refused) ELSE to_jsonb(d.counted) END)
                 ORDER BY d.at, d.id)
               FROM waybill.decision d WHERE d.approval_id = a.id), '[]') AS decisions
      FROM waybill.approval a WHERE a.run_id = :runId AND (:id::text IS NULL OR a.id = :id)
      ORDER BY a.round DESC LIMIT 1`,
      { runId, id: id ?? null },
      'gate-standing',
    ),
  );
  const [row] = rows;
  if (!row) return undefined;
  const { expires_at, due_in_ms, ...approval } = row;
  return { ...approval, expiresAt: expires_at.toISOString(), dueInMs: due_in_ms };
}

/** A decision that came through the API has its row already; one that came by itself gets one. */
export async function recordDecision(
  client: ClientBase,
  { runId }: RunFacts,
  { claims, jws, by, comment, form }: DecisionMade,
  refused: string | undefined,
): Promise<void> {
  await client.query(
    sql(
      `INSERT INTO waybill.decision AS d
         (id, approval_id, run_id, principal, by, vote, comment, form, jws, counted, refused)
       VALUES (:id, :approval, :runId, :principal, :by, :vote, :comment, :form, :jws, :counted, :refused)
       ON CONFLICT (id) DO UPDATE SET counted = EXCLUDED.counted, refused = EXCLUDED.refused
       WHERE d.counted IS NULL AND d.refused IS NULL`,
      {
        id: claims.jti,
        approval: claims.tctx.approval,
        runId,
        principal: claims.sub,
        by: jsonParam(by),
        vote: claims.tctx.vote,
        comment,
        form: jsonParam(form),
        jws,
        counted: refused === undefined,
        refused: refused ?? null,
      },
      'gate-decision',
    ),
  );
}
