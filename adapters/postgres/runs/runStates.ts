import type { ClientBase } from 'pg';
import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { baseOf } from '../../../domain/links.ts';
import type { RunStates } from '../../../domain/ports/runs.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import type { RunFacts, RunOutcome } from '../../../domain/runs/runFacts.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { approvalEventSql } from '../approvals/approvalEvent.ts';
import { auditParams, auditSql } from '../audit.ts';
import { newDeliveryId, runEventColumns, runEventSql } from '../deliveries/runEvent.ts';
import { countRun } from '../ledger/runTotals.ts';
import { settleWatermark } from '../ledger/watermarks.ts';
import type { Tenants } from '../tenants.ts';
import { findFailedAttempt } from './failedAttempts.ts';
import { commitSql, queryRun } from './queryRun.ts';
import { factColumns } from './runFacts.ts';

/** How many runs have their facts cached. The facts never change, and each step of a run asks for them. */
const factsMax = 1_000;

/**
 * Lifecycle of a run: `accepted`, then `running`, between which and `suspended` or `awaiting-approval` it may change any number of
 * times, then `completed`, `failed` or `cancelled` for good.
 */
export function createRunStates(tenants: Tenants, publicUrl?: string): RunStates {
  const ask = queryRun(tenants);
  const base = baseOf(publicUrl);
  const facts = new Map<string, RunFacts>();

  return {
    async find(run) {
      const { tenant, runId } = run;
      const known = facts.get(runId);
      if (known?.tenant === tenant) return known;
      const [found] = await ask<RunFacts>(
        run,
        'progress-run',
        `SELECT ${factColumns} FROM waybill.run WHERE id = :runId`,
      );
      if (!found) throw new WaybillError('RunNotFound', { detail: runId });
      if (facts.size >= factsMax) facts.delete(facts.keys().next().value!);
      facts.set(runId, found);
      return found;
    },

    async begin(run, execution, audit, isFollowed = false) {
      await ask(
        run,
        'progress-begin',
        `WITH begun AS (
           UPDATE waybill.run SET state = 'running', started_at = now(), first_execution = :execution
           WHERE id = :runId AND state = 'accepted' RETURNING id
         ), audited AS (${auditSql('begun')})
         SELECT pg_notify('waybill_run', id), ${commitSql} FROM begun`,
        { execution, isFollowed, ...auditParams(audit) },
      );
    },

    async suspend(run, reason, audit) {
      const [suspended] = await ask<{ forMs: number }>(
        run,
        'progress-suspend',
        `WITH suspended AS (
           UPDATE waybill.run SET state = 'suspended', reason = :reason, suspended_at = coalesce(suspended_at, now())
           WHERE id = :runId AND ended_at IS NULL RETURNING ${runEventColumns}, suspended_at
         ), ${runEventSql('suspended')}, audited AS (${auditSql('suspended')})
         SELECT (extract(epoch FROM now() - suspended_at) * 1000)::float8 AS "forMs",
                pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM suspended`,
        { reason: jsonParam(reason), delivery: newDeliveryId(), ...auditParams(audit) },
      );
      if (!suspended) throw new WaybillError('RunEnded', { detail: run.runId });
      return suspended.forMs;
    },

    async resume(run, audit) {
      await ask(
        run,
        'progress-resume',
        `WITH resumed AS (
           UPDATE waybill.run SET state = 'running', reason = NULL, suspended_at = NULL,
             started_at = coalesce(started_at, now())
           WHERE id = :runId AND state = 'suspended' AND ended_at IS NULL RETURNING ${runEventColumns}
         ), ${runEventSql('resumed')}, audited AS (${auditSql('resumed')})
         SELECT pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM resumed`,
        { delivery: newDeliveryId(), ...auditParams(audit) },
      );
    },

    async findSuccessor(run) {
      const [row] = await ask<{ id: string | null }>(
        run,
        'progress-successor',
        'SELECT successor_id AS id FROM waybill.run WHERE id = :runId',
      );
      return row?.id ?? null;
    },

    async end(run, settle): Promise<RunOutcome> {
      const { tenant, runId, principal } = run;
      return tenants.for(tenant, principal).transaction(async (client) => {
        const recorded = await lockRun(client, runId);
        if (recorded) return recorded;
        const { outcome, audit, movesWatermark } = settle(
          await countRun(client, runId),
          await findFailedAttempt(client, run),
        );
        await recordEnd(client, runId, outcome, audit, base);
        if (movesWatermark && outcome.state === 'completed') await settleWatermark(client, run, audit);
        return outcome;
      });
    },
  };
}

/** Waits for a store of the run that is under way; after this lock none can commit. Resolves with how the run ended, if it has. */
async function lockRun(client: ClientBase, runId: string): Promise<RunOutcome | undefined> {
  const { rows } = await client.query(
    sql(
      `SELECT state, counts, reason, ended_at IS NOT NULL AS ended FROM waybill.run WHERE id = :runId FOR UPDATE`,
      { runId },
      'lock-run',
    ),
  );
  if (!rows[0]) throw new WaybillError('RunNotFound', { detail: runId });
  const { state, counts, reason, ended } = rows[0];
  return ended ? { state, counts: counts ?? zeroCounts, ...(reason && { reason }) } : undefined;
}

async function recordEnd(
  client: ClientBase,
  runId: string,
  outcome: RunOutcome,
  audit: AuditEvent,
  base: string,
): Promise<void> {
  await client.query(
    sql(
      // An upload that still goes on ends with the run, and a trigger frees its key.
      `WITH ended AS (
         UPDATE waybill.run SET state = :state, counts = :counts, reason = :reason, ended_at = now(),
           arrival = CASE arrival WHEN 'open' THEN 'broken' ELSE arrival END
         WHERE id = :runId RETURNING ${runEventColumns}
       ), unanswered AS (
         UPDATE waybill.approval a SET state = 'cancelled', ended_at = now() FROM ended
         WHERE a.run_id = ended.id AND a.state = 'pending' RETURNING a.*
       ), ${approvalEventSql('unanswered', `'approval.ended'`)},
       ${runEventSql('ended')}, audited AS (${auditSql('ended')}),
       unanswered_audited AS (${auditSql('unanswered', 'cancelled')})
       SELECT pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called),
              (SELECT count(pg_notify('waybill_outbox', '')) FROM told) FROM ended`,
      {
        runId,
        state: outcome.state,
        counts: jsonParam(outcome.counts),
        reason: jsonParam(outcome.reason),
        delivery: newDeliveryId(),
        base,
        ...auditParams(audit),
        ...auditParams(
          { ...audit, action: 'approval.cancelled', outcome: 'success', detail: {} },
          'cancelled',
        ),
      },
      'end-run',
    ),
  );
}
