import type { ClientBase } from 'pg';
import { uuidv7 } from 'uuidv7';
import { tally } from '../../../domain/approvals/approval.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { baseOf } from '../../../domain/links.ts';
import type {
  Asked,
  DecisionMade,
  GateAudit,
  RunApprovals,
  StandingApproval,
} from '../../../domain/ports/approvals.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Tenants } from '../tenants.ts';
import { approvalEventSql } from './approvalEvent.ts';
import { type FoundApproval, findStanding, recordDecision } from './standingApproval.ts';

/**
 * Lifecycle of an approval: opened `pending` (or `waived`, which ends at once), then `approved` or `rejected` by decisions,
 * `expired` by the clock of the database, `void` where another round takes its place, `cancelled` with its run. Each change holds
 * the row of the run first, so that of two that come at once the later sees what the earlier did.
 */
export function createRunApprovals(tenants: Tenants, publicUrl?: string): RunApprovals {
  const base = baseOf(publicUrl);

  function holding<T>(
    { tenant, runId, principal }: RunFacts,
    work: (client: ClientBase, ended: boolean) => Promise<T>,
  ): Promise<T> {
    return tenants.for(tenant, principal).transaction(async (client) => {
      const { rows } = await client.query<{ ended: boolean }>(
        sql(
          'SELECT ended_at IS NOT NULL AS ended FROM waybill.run WHERE id = :runId FOR UPDATE',
          { runId },
          'gate-hold',
        ),
      );
      if (!rows[0]) throw new WaybillError('RunNotFound', { detail: runId });
      return work(client, rows[0].ended);
    });
  }

  return {
    async find({ tenant, runId }) {
      return findStanding(tenants.for(tenant), { runId });
    },

    open: (run, asked, audit) =>
      holding(run, async (client, ended) => {
        if (ended) throw new WaybillError('RunEnded', { detail: run.runId });
        const before = await findStanding(client, run);
        if (before && stands(before, asked)) {
          if (before.state === 'pending') await awaitApproval(client, run);
          return before;
        }
        if (before) await makeVoid(client, before, audit);
        const id = await insertApproval(client, run, asked, (before?.round ?? 0) + 1, base);
        if (!asked.waived) await awaitApproval(client, run);
        const detail = { approval: id, gate: asked.terms.before, shown: asked.digest };
        await insertAudit(client, audit(asked.waived ? 'approval.waived' : 'approval.requested', detail));
        return (await findStanding(client, { ...run, id }))!;
      }),

    decide: (run, decision, audit) =>
      holding(run, async (client) => {
        const { tctx, jti } = decision.claims;
        const approval = await findStanding(client, { ...run, id: tctx.approval });
        if (!approval) return undefined;
        const mine = approval.decisions.find(({ id }) => id === jti);
        if (mine && mine.counted !== null) return { counted: mine.counted, approval };
        const refused = decision.refusal(asSeenBy(approval, jti));
        await recordDecision(client, run, decision, refused);
        await insertAudit(client, decisionEvent(decision, refused, audit));
        if (refused === undefined) await settle(client, run, approval.id, base, audit);
        const after = (await findStanding(client, { ...run, id: approval.id }))!;
        return { counted: refused ?? true, approval: after };
      }),

    processTimers: (run, audit) =>
      holding(run, async (client, ended) => {
        const approval = await findStanding(client, run);
        if (approval?.state !== 'pending' || ended) return approval;
        const { rows } = await client.query<{ what: 'reminded' | 'escalated' | 'expired' }>(
          sql(
            `WITH lapsed AS (
               SELECT *, CASE WHEN state = 'expired' THEN state
                              WHEN escalated_at IS NOT NULL AND NOT :escalated::boolean THEN 'escalated'
                              ELSE 'reminded' END AS what
               FROM waybill.process_approval_timers(:id)
             ), ${approvalEventSql('lapsed', `'approval.' || CASE what WHEN 'expired' THEN 'ended' ELSE what END`)}
             SELECT what, pg_notify('waybill_run', run_id), (SELECT count(pg_notify('waybill_outbox', '')) FROM told)
             FROM lapsed`,
            { id: approval.id, escalated: approval.escalated, base },
            'gate-lapse',
          ),
        );
        const [lapsed] = rows;
        if (lapsed) await insertAudit(client, audit(`approval.${lapsed.what}`, { approval: approval.id }));
        return findStanding(client, run);
      }),
  };
}

/** Whether the approval at hand is the answer. A rejected or expired approval is not requested again. */
function stands({ round, state, digest }: StandingApproval, asked: Asked): boolean {
  if (state === 'rejected' || state === 'expired' || state === 'cancelled') return true;
  if (round <= asked.after || digest !== asked.digest) return false;
  return asked.waived ? state === 'waived' : state === 'pending' || state === 'approved';
}

/** A passed deadline counts, noticed or not; and an approver does not count as having decided before themselves. */
function asSeenBy(approval: FoundApproval, jti: string): StandingApproval {
  const { overdue, ...standing } = approval;
  const decisions = approval.decisions.filter(({ id }) => id !== jti);
  return { ...standing, ...(standing.state === 'pending' && overdue && { state: 'expired' }), decisions };
}

async function insertApproval(
  client: ClientBase,
  { runId, pipeline }: RunFacts,
  { shown, digest, terms, sample, waived }: Asked,
  round: number,
  base: string,
): Promise<string> {
  const id = `apr_${uuidv7()}`;
  // The database dates it, from the terms.
  await client.query(
    sql(
      `WITH opened AS (
         INSERT INTO waybill.approval (id, run_id, pipeline, gate, round, state, digest, shown, sample, terms)
         VALUES (:id, :runId, :pipeline, :gate, :round, :state, :digest, :shown, :sample, :terms) RETURNING *
       ), asked AS (
         SELECT * FROM opened WHERE state = 'pending'
       ), ${approvalEventSql('asked', `'approval.requested'`)}
       SELECT pg_notify('waybill_run', run_id), (SELECT count(pg_notify('waybill_outbox', '')) FROM told) FROM opened`,
      {
        id,
        runId,
        pipeline,
        gate: terms.before,
        round,
        state: waived ? 'waived' : 'pending',
        digest,
        shown: jsonParam(shown),
        sample: jsonParam(sample),
        terms: jsonParam(terms),
        base,
      },
      'gate-open',
    ),
  );
  return id;
}

/** The run shows that it waits; whatever held it before does so no more. */
async function awaitApproval(client: ClientBase, { runId }: RunFacts): Promise<void> {
  await client.query(
    sql(
      `UPDATE waybill.run SET state = 'awaiting-approval', reason = NULL, suspended_at = NULL,
             started_at = coalesce(started_at, now()) WHERE id = :runId`,
      { runId },
      'gate-await',
    ),
  );
}

/** What was shown is not what would be published any more, and so no vote on it counts. */
async function makeVoid(
  client: ClientBase,
  { id, state }: StandingApproval,
  audit: GateAudit,
): Promise<void> {
  if (state === 'void') return;
  await client.query(
    sql(
      `UPDATE waybill.approval SET state = 'void', ended_at = coalesce(ended_at, clock_timestamp()) WHERE id = :id`,
      { id },
      'gate-void',
    ),
  );
  await insertAudit(client, audit('approval.voided', { approval: id, was: state }));
}

function decisionEvent({ claims, by }: DecisionMade, refused: string | undefined, audit: GateAudit) {
  const { tctx, jti } = claims;
  const detail = {
    approval: tctx.approval,
    decision: jti,
    vote: tctx.vote,
    shown: tctx.shownDigest,
    by: by.id,
  };
  return refused === undefined
    ? audit('decision.counted', detail)
    : audit('decision.denied', { ...detail, code: refused }, 'denied');
}

/** Ends the approval where what was counted suffices; approved, the run goes on. */
async function settle(
  client: ClientBase,
  run: RunFacts,
  id: string,
  base: string,
  audit: GateAudit,
): Promise<void> {
  const approval = (await findStanding(client, { ...run, id }))!;
  const outcome = tally(approval.decisions, approval.terms.quorum);
  if (outcome === 'pending') return;
  await client.query(
    sql(
      `WITH settled AS (
         UPDATE waybill.approval SET state = :outcome, ended_at = clock_timestamp() WHERE id = :id RETURNING *
       ), going AS (
         UPDATE waybill.run r SET state = 'running' FROM settled
         WHERE r.id = settled.run_id AND settled.state = 'approved' AND r.state = 'awaiting-approval' RETURNING r.id
       ), ${approvalEventSql('settled', `'approval.ended'`)}
       SELECT pg_notify('waybill_run', run_id), (SELECT count(pg_notify('waybill_outbox', '')) FROM told) FROM settled`,
      { id, outcome, base },
      'gate-settle',
    ),
  );
  const decisions = approval.decisions.flatMap((one) => (one.counted === true ? [one.id] : []));
  await insertAudit(client, audit(`approval.${outcome}`, { approval: id, decisions }));
}
