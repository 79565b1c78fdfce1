import { WaybillError } from '../../../domain/errors.ts';
import type { Progress, RunFacts, RunOutcome } from '../../../domain/ports/progress.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { approvalEventSql } from '../approvals/tellApproval.ts';
import { auditValues, auditWhere } from '../audit.ts';
import { calledBackBy, newDeliveryId, runEventSql } from '../deliveries/callBack.ts';
import { factColumns } from '../runs/runFacts.ts';
import type { AskOfRun } from './askOfRun.ts';

/** Runs of which the facts are kept; they never change, and each of the steps of a run asks for them. */
const factsMax = 1_000;

/** What a run is, and where it stands: begun, suspended, resumed, ended. */
export function progressOfRuns(ask: AskOfRun, base: string) {
  const facts = new Map<string, RunFacts>();

  return {
    async findRun(run) {
      const { tenant, runId } = run;
      const known = facts.get(runId);
      if (known?.tenant === tenant) return known;
      const [found] = await ask<RunFacts>(
        run,
        'progress-run',
        `SELECT ${factColumns} FROM waybill.run WHERE id = $1`,
      );
      if (!found) throw new WaybillError('RunNotFound', { detail: runId });
      if (facts.size >= factsMax) facts.delete(facts.keys().next().value!);
      facts.set(runId, found);
      return found;
    },

    async begin(run, execution, audit) {
      await ask(
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

    async suspend(run, reason, audit) {
      const [suspended] = await ask<{ forMs: number }>(
        run,
        'progress-suspend',
        `WITH suspended AS (
           UPDATE waybill.run SET state = 'suspended', reason = $2, suspended_at = coalesce(suspended_at, now())
           WHERE id = $1 AND ended_at IS NULL RETURNING ${calledBackBy}, suspended_at
         ), ${runEventSql('suspended', 3)}, audited AS (${auditWhere('suspended', 4)})
         SELECT (extract(epoch FROM now() - suspended_at) * 1000)::float8 AS "forMs",
                pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM suspended`,
        [reason, newDeliveryId(), ...auditValues(audit)],
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
           WHERE id = $1 AND state = 'suspended' AND ended_at IS NULL RETURNING ${calledBackBy}
         ), ${runEventSql('resumed', 2)}, audited AS (${auditWhere('resumed', 3)})
         SELECT pg_notify('waybill_run', id), (SELECT pg_notify('waybill_outbox', '') FROM called) FROM resumed`,
        [newDeliveryId(), ...auditValues(audit)],
      );
    },

    async successor(run) {
      const [row] = await ask<{ id: string | null }>(
        run,
        'progress-successor',
        'SELECT successor_id AS id FROM waybill.run WHERE id = $1',
      );
      return row?.id ?? null;
    },

    async totals(run) {
      const [counted, [arrived]] = await Promise.all([
        ask<{ counts: Partial<Counts>; stored: boolean }>(
          run,
          'progress-counted',
          // What was made of a batch that was never stored counts as read, and nothing of it as emitted.
          `SELECT counts, true AS stored FROM waybill.ledger WHERE run_id = $1
           UNION ALL
           SELECT s.counts - 'emitted', false FROM waybill.stage s
           JOIN waybill.stage t ON t.run_id = $1 AND t.seq = s.seq AND t.stage = 'transform'
           WHERE s.run_id = $1 AND NOT EXISTS (SELECT FROM waybill.ledger l WHERE l.run_id = $1 AND l.seq = s.seq)`,
        ),
        ask<{ batches: number; readInBits: boolean }>(
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
      const [ended] = await ask(
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
         ), ${approvalEventSql('unanswered', `'approval.ended'`, 13)},
         ${runEventSql('ended', 5)}, audited AS (${auditWhere('ended', 6)}),
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
      const [standing] = await ask<RunOutcome>(
        run,
        'progress-outcome',
        'SELECT state, counts, reason FROM waybill.run WHERE id = $1',
      );
      if (!standing) throw new WaybillError('RunNotFound', { detail: run.runId });
      const { state, counts, reason } = standing;
      return { state, counts: counts ?? zeroCounts, ...(reason && { reason }) };
    },
  } satisfies Partial<Progress>;
}
