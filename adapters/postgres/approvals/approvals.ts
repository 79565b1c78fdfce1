import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Approvals, ShownApproval, Submission } from '../../../domain/ports/approvals.ts';
import { insertAudit } from '../audit.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Tenants } from '../tenants.ts';

/** The approvals of tenants, for the API: it shows them and hands decisions in. Whether these count is found out by the run. */
export function createApprovals(tenants: Tenants): Approvals {
  async function rows(
    tenant: string,
    name: string,
    text: string,
    values: unknown[],
  ): Promise<ShownApproval[]> {
    const { rows } = await tenants.for(tenant).query({ name, text, values: [tenant, ...values] });
    return rows.map(shownFromRow);
  }

  return {
    async find(tenant, id) {
      const [found] = await rows(tenant, 'find-approval', `${select('a.shown')} AND a.id = $2`, [id]);
      return found;
    },

    async list(tenant, { state, open = false, runId, requestedBy, decidedBy, limit, cursor }) {
      const found = await rows(
        tenant,
        'list-approvals',
        // Digests of stages are of no use in a list, and there may be many.
        `${select(`jsonb_set(a.shown, '{stages}', '[]')`)}
         AND ($2::text IS NULL OR a.state = $2) AND ($3::text IS NULL OR a.run_id = $3)
         AND ($4::text IS NULL OR r.requested_by->>'id' = $4 OR r.requested_by->'actor'->>'id' = $4)
         AND ($5::text IS NULL
           OR EXISTS (SELECT FROM waybill.decision d WHERE d.tenant = $1 AND d.approval_id = a.id AND d.principal = $5))
         AND ($6::text IS NULL OR a.id < $6)
         AND (NOT $7::boolean OR (a.state = 'pending' AND a.expires_at > now())) ORDER BY a.id DESC LIMIT $8`,
        [
          state ?? null,
          runId ?? null,
          requestedBy ?? null,
          decidedBy ?? null,
          cursor ?? null,
          open,
          limit + 1,
        ],
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.approval.id : null };
    },

    submit: (submission, audit) => submit(tenants, submission, audit),

    async findSigned(tenant, decision) {
      const { rows } = await tenants.for(tenant).query<{ jws: string }>({
        name: 'find-signed-decision',
        text: 'SELECT jws FROM waybill.decision WHERE tenant = $1 AND id = $2',
        values: [tenant, decision],
      });
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
    const standing = await client.query({
      name: 'standing-approval',
      text: `SELECT state, digest, expires_at <= now() AS over FROM waybill.approval WHERE tenant = $1 AND id = $2`,
      values: [tenant, approval],
    });
    const [{ state, digest: shown, over }] = standing.rows as [
      { state: string; digest: string; over: boolean },
    ];
    if (state === 'void') throw new WaybillError('ApprovalChanged');
    if (state !== 'pending' || over) throw new WaybillError('ApprovalEnded');
    if (shown !== digest) throw new WaybillError('ApprovalChanged');
    const { rows } = await client.query<{ at: Date }>({
      name: 'submit-decision',
      text: `
        WITH recorded AS (
          INSERT INTO waybill.decision (id, tenant, approval_id, run_id, principal, by, vote, comment, form, jws)
          VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10)
          ON CONFLICT (tenant, approval_id, principal) WHERE refused IS NULL DO NOTHING RETURNING id, at
        ), due AS (
          INSERT INTO waybill.outbox (kind, run_id, decision_id) SELECT 'decide', $4, id FROM recorded
        ) SELECT at, pg_notify('waybill_outbox', '') FROM recorded`,
      values: [
        tenant,
        id,
        approval,
        runId,
        by.id,
        JSON.stringify(by),
        vote,
        comment,
        form && JSON.stringify(form),
        jws,
      ],
    });
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
            FROM waybill.decision d WHERE d.tenant = $1 AND d.approval_id = a.id) AS decisions
    FROM waybill.approval a
      JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.tenant = a.tenant AND r.id = a.run_id
    WHERE a.tenant = $1`;
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
