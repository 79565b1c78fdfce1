import type { Pool } from 'pg';
import { type ErrorCode, errors, WaybillError } from '../../../domain/errors.ts';
import type { DueSchedule, DueSchedules } from '../../../domain/ports/schedules.ts';
import type { Schedule } from '../../../domain/schedules/schedule.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { inTransaction } from '../connect.ts';
import { asked } from '../failure.ts';
import { selectSchedules } from './schedules.ts';

export function createDueSchedules(pool: Pool): DueSchedules {
  return {
    relay: (schedulesMax, apply) => relaySchedules(pool, schedulesMax, apply),
    listApplied: (after, schedulesMax) => listAppliedSchedules(pool, after, schedulesMax),
    reapply: (schedule, action) => reapplySchedule(pool, schedule, action),
    adoptPause: (schedule, code) => adoptPause(pool, schedule, code),
  };
}

async function relaySchedules(
  pool: Pool,
  schedulesMax: number,
  apply: (due: DueSchedule) => Promise<void>,
): Promise<number> {
  return inTransaction(pool, async (client) => {
    const found = await selectSchedules(
      client,
      // The rows stay unlocked: Temporal may be slow to answer, and owners change their schedules during that time.
      `(s.tenant, s.id) IN (
         WITH due AS MATERIALIZED (
           SELECT tenant, id FROM waybill.schedule WHERE revision <> applied_revision AND due_at <= now()
           ORDER BY due_at LIMIT :schedulesMax)
         SELECT tenant, id FROM due
         WHERE pg_try_advisory_xact_lock(hashtextextended('schedule ' || tenant || ' ' || id, 0)))`,
      { schedulesMax },
    );
    const results = await Promise.allSettled(found.map((schedule) => apply(dueOf(schedule))));
    for (const [i, schedule] of found.entries()) {
      const { tenant, id, revision } = schedule;
      const result = results[i]!;
      if (result.status === 'fulfilled') {
        await client.query(
          sql(
            'UPDATE waybill.schedule SET applied_revision = :revision, attempts = 0 WHERE tenant = :tenant AND id = :id',
            { tenant, id, revision },
          ),
        );
        continue;
      }
      const { reason } = result;
      if (reason instanceof WaybillError && reason.code === 'ScheduleInvalid')
        await stop(client, schedule, 'blocked', 'ScheduleInvalid', 'schedule.blocked');
      await client.query(
        sql(
          `UPDATE waybill.schedule SET attempts = attempts + 1,
             due_at = now() + least(power(2, least(attempts, 8)) * 0.5, 60) * (0.5 + random() / 2) * interval '1 second'
           WHERE tenant = :tenant AND id = :id`,
          { tenant, id },
        ),
      );
    }
    return found.length;
  });
}

type ClaimedSchedule = Awaited<ReturnType<typeof selectSchedules>>[number];

function dueOf(schedule: ClaimedSchedule): DueSchedule {
  return { schedule, deleted: (schedule.state as string) === 'deleted', attempts: schedule.attempts };
}

async function listAppliedSchedules(
  pool: Pool,
  after: Pick<Schedule, 'tenant' | 'id'>,
  schedulesMax: number,
): Promise<Schedule[]> {
  return asked(
    selectSchedules(
      pool,
      `s.revision = s.applied_revision AND s.state <> 'deleted' AND (s.tenant, s.id) > (:tenant, :id)
       ORDER BY s.tenant, s.id LIMIT :schedulesMax`,
      { tenant: after.tenant, id: after.id, schedulesMax },
    ),
  );
}

async function reapplySchedule(
  pool: Pool,
  { tenant, id, revision }: Schedule,
  action: 'schedule.drifted' | 'schedule.recreated',
): Promise<void> {
  await inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(
      sql(
        `UPDATE waybill.schedule SET applied_revision = 0, due_at = now()
         WHERE tenant = :tenant AND id = :id AND revision = :revision AND applied_revision = revision`,
        { tenant, id, revision },
      ),
    );
    if (rowCount) await insertAudit(client, event(action, 'failure', tenant, { schedule: id }));
  });
}

async function adoptPause(
  pool: Pool,
  schedule: Schedule,
  code: 'PausedOnFailure' | 'PausedExternally',
): Promise<void> {
  await inTransaction(pool, (client) => stop(client, schedule, 'paused', code, 'schedule.paused'));
}

async function stop(
  client: Parameters<Parameters<typeof inTransaction>[1]>[0],
  { tenant, id, revision }: Schedule,
  state: 'paused' | 'blocked',
  code: ErrorCode,
  action: string,
): Promise<void> {
  const { rowCount } = await client.query(
    sql(
      `UPDATE waybill.schedule SET state = :state, reason = :reason, revision = revision + 1, updated_at = now(),
         due_at = now()
       WHERE tenant = :tenant AND id = :id AND revision = :revision AND state = 'active'`,
      { tenant, id, revision, state, reason: jsonParam({ code, message: errors[code].message }) },
    ),
  );
  if (rowCount) await insertAudit(client, event(action, 'failure', tenant, { schedule: id, code }));
}

/** The client that did it in Temporal left no proof of its identity. */
function event(action: string, outcome: 'failure', tenant: string, detail: Record<string, unknown>) {
  return { action, outcome, tenant, actor: null, runId: null, txn: null, detail };
}
