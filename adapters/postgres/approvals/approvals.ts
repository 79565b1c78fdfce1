import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Approvals, ShownApproval, Submission } from '../../../domain/ports/approvals.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Tenants } from '../tenants.ts';

/** The approvals of tenants, for the API: it shows them and hands decisions in. Whether these count is found out by the run. */
export function createApprovals(tenants: Tenants): Approvals {
  async function rows(tenant: string, name: string, text: string, params: Params): Promise<ShownApproval[]> {
    const { rows } = await tenants.for(tenant).query(sql(text, { tenant, ...params }, name));
    return rows.map(shownFromRow);
  }

  return {
    async find(tenant, id) {
      const [found] = await rows(tenant, 'find-approval', `${select('a.shown')} AND a.id = :id`, { id });
      return found;
    },

    async list(tenant, { state, open = false, runId, requestedBy, decidedBy, limit, cursor }) {
      const found = await rows(
        tenant,
        'list-approvals',
        // Digests of stages are of no use in a list, and there may be many.
        `${select(`jsonb_set(a.shown, '{stages}', '[]')`)}
         AND (:state::text IS NULL OR a.state = :state) AND (:runId::text IS NULL OR a.run_id = :runId)
         AND (:requestedBy::text IS NULL OR r.requested_by->>'id' = :requestedBy
           OR r.requested_by->'actor'->>'id' = :requestedBy)
         AND (:decidedBy::text IS NULL OR EXISTS (
           SELECT FROM waybill.decision d
           WHERE d.tenant = :tenant AND d.approval_id = a.id AND d.principal = :decidedBy))
         AND (:cursor::text IS NULL OR a.id < :cursor)
         AND (NOT :open::boolean OR (a.state = 'pending' AND a.expires_at > now())) ORDER BY a.id DESC LIMIT :limit`,
        {
          state: state ?? null,
          runId: runId ?? null,
          requestedBy: requestedBy ?? null,
          decidedBy: decidedBy ?? null,
          cursor: cursor ?? null,
          open,
          limit: limit + 1,
        },
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.approval.id : null };
    },

    submit: (submission, audit) => submit(tenants, submission, audit),

    async findSigned(tenant, decision) {
      const { rows } = await tenants
        .for(tenant)
        .query<{ jws: string }>(
          sql(
            'SELECT jws FROM waybill.decision WHERE tenant = :tenant AND id = :decision',
            { tenant, decision },
            'find-signed-decision',
          ),
        );
      return rows[0]!.jws;
    },
  };
}

/**
 * Looks at the approval without holding it, for only workers may change one: a decision that comes as its approval ends is
 * recorded, carried to the run, and refused there.
 */
async function submit(
  tenants: Tenants,
  { tenant, approval, runId, digest, decision, jws }: Submission,
  audit: AuditEvent,
): ReturnType<Approvals['submit']> {
  const { id, vote, by, comment, form } = decision;
  const at = await tenants.for(tenant, by.id).transaction(async (client) => {
    const standing = await client.query(
      sql(
        `SELECT state, digest, expires_at <= now() AS over FROM waybill.approval
         WHERE tenant = :tenant AND id = :approval`,
        { tenant, approval },
        'standing-approval',
      ),
    );
    const [{ state, digest: shown, over }] = standing.rows as [
      { state: string; digest: string; over: boolean },
    ];
    if (state === 'void') throw new WaybillError('ApprovalChanged');
    if (state !== 'pending' || over) throw new WaybillError('ApprovalEnded');
    if (shown !== digest) throw new WaybillError('ApprovalChanged');
    const { rows } = await client.query<{ at: Date }>(
      sql(
        `
        WITH recorded AS (
          INSERT INTO waybill.decision (id, tenant, approval_id, run_id, principal, by, vote, comment, form, jws)
          VALUES (:id, :tenant, :approval, :runId, :principal, :by, :vote, :comment, :form, :jws)
          ON CONFLICT (tenant, approval_id, principal) WHERE refused IS NULL DO NOTHING RETURNING id, at
        ), due AS (
          INSERT INTO waybill.outbox (kind, run_id, decision_id) SELECT 'decide', :runId, id FROM recorded
        ) SELECT at, pg_notify('waybill_outbox', '') FROM recorded`,
        {
          tenant,
          id,
          approval,
          runId,
          principal: by.id,
          by: jsonParam(by),
          vote,
          comment,
          form: jsonParam(form),
          jws,
        },
        'submit-decision',
      ),
    );
    if (!rows[0]) throw new WaybillError('ApproverHasDecided');
    await insertAudit(client, audit);
    return rows[0].at;
  });
  return { ...decision, at: at.toISOString(), counted: null };
}

/** With the run that waits, since by that the policy decides who may see it. */
function select(shown: string): string {
  return `
    SELECT ${runColumns}, jsonb_build_object('id', a.id, 'gate', a.gate, 'state', a.state, 'round', a.round, 'digest', a.digest,
             'shown', ${shown}, 'sample', a.sample, 'by', a.by, 'quorum', a.terms->'quorum', 'form', a.terms->'form') AS asked,
           a.created_at AS asked_at, a.expires_at, a.escalated_at, a.ended_at AS decided_at,
           (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'vote', d.vote, 'by', d.by, 'comment', d.comment, 'form', d.form,
               'at', d.at, 'counted', coalesce(to_jsonb(d.refused), to_jsonb(nullif(d.counted, false)))) ORDER BY d.at, d.id)
            FROM waybill.decision d WHERE d.tenant = :tenant AND d.approval_id = a.id) AS decisions
    FROM waybill.approval a
      JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.tenant = a.tenant AND r.id = a.run_id
    WHERE a.tenant = :tenant`;
}

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function shownFromRow(row: any): ShownApproval {
  const run = runFromRow(row);
  return {
    run,
    approval: {
      ...row.asked,
      runId: run.id,
      tenant: run.tenant,
      pipeline: run.pipeline,
      requestedBy: run.requestedBy,
      createdAt: row.asked_at.toISOString(),
      expiresAt: row.expires_at.toISOString(),
      escalatedAt: row.escalated_at?.toISOString() ?? null,
      endedAt: row.decided_at?.toISOString() ?? null,
      decisions: (row.decisions ?? []).map((one: { at: string }) => ({
        ...one,
        at: new Date(one.at).toISOString(),
      })),
    },
  };
}
