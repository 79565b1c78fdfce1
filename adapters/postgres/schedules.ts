import type { ClientBase } from 'pg';
import type { Callback } from '../../domain/callback.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { RunReason } from '../../domain/ports/progress.ts';
import type {
  GivenDelegation,
  RecordedFiring,
  ScheduleDraft,
  Schedules,
  ShownFiring,
} from '../../domain/ports/schedules.ts';
import type { Schedule } from '../../domain/schedule.ts';
import { insertAudit } from './audit.ts';
import { newDeliveryId } from './callBack.ts';
import { fromPostgres } from './failure.ts';
import { runColumns, runFromRow } from './runs.ts';
import type { Queries, Tenants } from './tenants.ts';

/** The schedules of tenants, for the API. Each change is a new revision, which wakes the relay. */
export function createSchedules(tenants: Tenants): Schedules {
  async function select(tenant: string, where: string, values: unknown[]): Promise<Schedule[]> {
    return asked(selectSchedules(tenants.for(tenant), `s.tenant = $1 AND ${where}`, [tenant, ...values]));
  }

  return {
    async list(tenant, { pipeline, state, limit, cursor }) {
      const found = await select(
        tenant,
        `s.state <> 'deleted' AND ($2::text IS NULL OR s.pipeline = $2) AND ($3::text IS NULL OR s.state = $3)
         AND ($4::text IS NULL OR s.id > $4) ORDER BY s.id LIMIT $5`,
        [pipeline ?? null, state ?? null, cursor ?? null, limit + 1],
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.id : null };
    },

    async find(tenant, id) {
      const [found] = await select(tenant, `s.id = $2 AND s.state <> 'deleted'`, [id]);
      return found;
    },

    async create(draft, delegation, audit) {
      await tenants.for(draft.tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          `INSERT INTO waybill.schedule AS s
             (tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, paused_by, delegation_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           ON CONFLICT (tenant, id) DO UPDATE SET pipeline = $3, definition = $4, terms = $5, note = $6, declared = $7,
             owner = $8, state = $9, reason = $10, paused_by = $11, delegation_id = $12, active_since = now(), created_at = now(),
             updated_at = now(), due_at = now(), attempts = 0, revision = s.revision + 1
             WHERE s.state = 'deleted'`,
          valuesOf(draft, delegation),
        );
        if (!rowCount) throw new WaybillError('ScheduleExists');
        await settle(client, draft, delegation ?? 'stands', audit);
      });
      return (await this.find(draft.tenant, draft.id))!;
    },

    async change(draft, revision, consent, audit) {
      const delegation = typeof consent === 'object' ? consent : null;
      await tenants.for(draft.tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          `UPDATE waybill.schedule SET pipeline = $3, definition = $4, terms = $5, note = $6, declared = $7, owner = $8,
             state = $9, reason = $10, paused_by = $11,
             delegation_id = CASE WHEN $13 THEN delegation_id ELSE $12 END, revision = revision + 1,
             active_since = CASE WHEN $14 THEN now() ELSE active_since END, updated_at = now(), due_at = now(), attempts = 0
           WHERE tenant = $1 AND id = $2 AND revision = $15 AND state <> 'deleted'`,
          [...valuesOf(draft, delegation), consent === 'stands', draft.fresh, revision],
        );
        if (!rowCount) throw new WaybillError('ScheduleChanged');
        await settle(client, draft, consent, audit);
      });
      return (await this.find(draft.tenant, draft.id))!;
    },

    async remove({ tenant, id, revision }, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          `UPDATE waybill.schedule SET state = 'deleted', revision = revision + 1, updated_at = now(), due_at = now(),
             attempts = 0
           WHERE tenant = $1 AND id = $2 AND revision = $3 AND state <> 'deleted'`,
          [tenant, id, revision],
        );
        if (!rowCount) throw new WaybillError('ScheduleChanged');
        await endConsents(client, { tenant, id });
        await insertAudit(client, audit);
        await wakeRelay(client);
      });
    },

    async findDelegation({ tenant, delegation }) {
      if (!delegation) return undefined;
      const { rows } = await asked(
        tenants.for(tenant).query(
          `SELECT d.jws, EXISTS (
             SELECT FROM waybill.ended_delegation e WHERE e.tenant = d.tenant AND e.delegation_id = d.id) AS ended
           FROM waybill.delegation d WHERE d.tenant = $1 AND d.id = $2`,
          [tenant, delegation.id],
        ),
      );
      return rows[0];
    },

    async hasDelegation(tenant, delegationId) {
      const { rowCount } = await asked(
        tenants
          .for(tenant)
          .query('SELECT FROM waybill.delegation WHERE tenant = $1 AND id = $2', [tenant, delegationId]),
      );
      return rowCount === 1;
    },

    async listFirings(tenant, id, { limit, cursor }) {
      const found = await asked(
        selectFirings(
          tenants.for(tenant),
          `f.schedule_id = $2 AND ($3::timestamptz IS NULL OR f.nominal_at < $3) ORDER BY f.nominal_at DESC LIMIT $4`,
          [tenant, id, cursor ?? null, limit + 1],
        ),
      );
      const items = found
        .slice(0, limit)
        .map(({ firstRunId: _, begun: __, run, ...firing }) => ({ firing, run }));
      return { items, nextCursor: found.length > limit ? items.at(-1)!.firing.nominalAt : null };
    },

    async decidedTimes({ tenant, id }, { fromMs, toMs }) {
      const { rows } = await asked(
        tenants.for(tenant).query<{ nominal_at: Date }>(
          `SELECT nominal_at FROM waybill.firing
           WHERE tenant = $1 AND schedule_id = $2 AND nominal_at BETWEEN $3 AND $4 ORDER BY nominal_at`,
          [tenant, id, new Date(fromMs), new Date(toMs)],
        ),
      );
      return rows.map((row) => row.nominal_at.toISOString());
    },

    async findFiring(tenant, id, nominalAt) {
      const [found] = await asked(
        selectFirings(tenants.for(tenant), 'f.schedule_id = $2 AND f.nominal_at = $3', [
          tenant,
          id,
          nominalAt,
        ]),
      );
      return found;
    },

    async lastFired(tenant, id) {
      const { rows } = await asked(
        tenants.for(tenant).query({
          name: 'schedule-last-fired',
          text: `SELECT f.nominal_at, f.run_id, r.ended_at
                 FROM waybill.firing f JOIN waybill.run r ON r.tenant = f.tenant AND r.id = f.run_id
                 WHERE f.tenant = $1 AND f.schedule_id = $2 ORDER BY f.nominal_at DESC LIMIT 1`,
          values: [tenant, id],
        }),
      );
      const [last] = rows;
      return (
        last && {
          nominalAt: last.nominal_at.toISOString(),
          runId: last.run_id,
          endedAt: last.ended_at?.toISOString() ?? null,
        }
      );
    },

    async hasFailed({ tenant, id }) {
      const { rowCount } = await asked(
        tenants.for(tenant).query({
          name: 'schedule-has-failed',
          text: `SELECT FROM waybill.schedule s
                   JOIN waybill.firing f ON f.tenant = s.tenant AND f.schedule_id = s.id
                   JOIN waybill.run r ON r.tenant = f.tenant AND r.id = f.run_id
                 WHERE s.tenant = $1 AND s.id = $2 AND r.state = 'failed' AND r.ended_at >= s.active_since LIMIT 1`,
          values: [tenant, id],
        }),
      );
      return rowCount === 1;
    },

    async recordFiring(schedule, { nominalAt, execution, outcome, code }, block, audit) {
      const { tenant, id, revision } = schedule;
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          `INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, code, workflow_id, first_run_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
          [tenant, id, nominalAt, outcome, code, execution.workflowId, execution.firstRunId],
        );
        if (!rowCount) return;
        if (block) {
          await client.query(
            `UPDATE waybill.schedule SET state = 'blocked', reason = $4, revision = revision + 1, updated_at = now(),
               due_at = now(), attempts = 0
             WHERE tenant = $1 AND id = $2 AND revision = $3 AND state = 'active'`,
            [tenant, id, revision, JSON.stringify(block.reason)],
          );
          await announce(client, schedule, nominalAt, block);
          await wakeRelay(client);
        }
        await insertAudit(client, audit);
      });
      return (await this.findFiring(tenant, id, nominalAt))!;
    },

    async listAttempts(tenant, id, { from, to }) {
      const { rows } = await asked(
        tenants.for(tenant).query(
          `SELECT a.nominal_at, r.id, r.state
           FROM (SELECT tenant, nominal_at, run_id, at FROM waybill.firing
                 WHERE tenant = $1 AND schedule_id = $2 AND nominal_at BETWEEN $3 AND $4 AND run_id IS NOT NULL
                 UNION ALL
                 SELECT tenant, nominal_at, run_id, at FROM waybill.backfill
                 WHERE tenant = $1 AND schedule_id = $2 AND nominal_at BETWEEN $3 AND $4) a
           JOIN waybill.run r ON r.tenant = a.tenant AND r.id = a.run_id ORDER BY a.nominal_at, a.at`,
          [tenant, id, from, to],
        ),
      );
      return rows.map((row) => ({
        nominalAt: row.nominal_at.toISOString(),
        runId: row.id,
        state: row.state,
      }));
    },

    async recordBackfill(tenant, id, nominalAt, runId) {
      await asked(
        tenants.for(tenant).query(
          `INSERT INTO waybill.backfill (tenant, schedule_id, nominal_at, run_id) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING`,
          [tenant, id, nominalAt, runId],
        ),
      );
    },

    async putRight({ tenant, id, revision }, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          `UPDATE waybill.schedule SET applied_revision = 0, due_at = now()
           WHERE tenant = $1 AND id = $2 AND revision = $3 AND applied_revision = revision`,
          [tenant, id, revision],
        );
        if (!rowCount) return;
        await insertAudit(client, audit);
        await wakeRelay(client);
      });
    },
  };
}

function valuesOf(draft: ScheduleDraft, delegation: GivenDelegation | null): unknown[] {
  const { tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, pausedBy } = draft;
  const json = (value: object | null) => value && JSON.stringify(value);
  return [
    tenant,
    id,
    pipeline,
    json(definition),
    json(terms),
    note,
    declared,
    json(owner),
    state,
    json(reason),
    json(pausedBy),
    delegation?.id ?? null,
  ];
}

async function settle(
  client: ClientBase,
  { tenant, id }: ScheduleDraft,
  consent: GivenDelegation | 'stands' | 'ends',
  audit: Parameters<typeof insertAudit>[1],
): Promise<void> {
  if (consent !== 'stands') await endConsents(client, { tenant, id });
  if (typeof consent === 'object') {
    await client.query(
      `INSERT INTO waybill.delegation (id, tenant, schedule_id, owner, jws, given_at, expires_at, definition_digest)
       VALUES ($1, $2, $3, $4, $5, to_timestamp($6), to_timestamp($7), $8)`,
      [
        consent.id,
        tenant,
        id,
        consent.owner,
        consent.jws,
        consent.givenAtS,
        consent.expiresAtS,
        consent.definitionDigest,
      ],
    );
  }
  await insertAudit(client, audit);
  await wakeRelay(client);
}

/** All that were given so far. The API’s role cannot take it back, so that no change of a record makes one count again. */
async function endConsents(
  client: ClientBase,
  { tenant, id }: Pick<Schedule, 'tenant' | 'id'>,
): Promise<void> {
  await client.query(
    `INSERT INTO waybill.ended_delegation (tenant, delegation_id)
     SELECT tenant, id FROM waybill.delegation WHERE tenant = $1 AND schedule_id = $2 ON CONFLICT DO NOTHING`,
    [tenant, id],
  );
}

/** Without a consent there is nobody who agreed to whom to tell. */
async function announce(
  client: ClientBase,
  { tenant, id, pipeline, delegation }: Schedule,
  at: string,
  { reason, callback }: { reason: RunReason; callback: Callback | null },
): Promise<void> {
  if (!callback || !delegation) return;
  const { url, links } = callback;
  const data = { schedule: id, tenant, pipeline, state: 'blocked', at, reason, links };
  await client.query(
    `INSERT INTO waybill.delivery (id, tenant, schedule_id, delegation_id, type, data, url)
     VALUES ($1, $2, $3, $4, 'schedule.blocked', $5, $6)`,
    [newDeliveryId(), tenant, id, delegation.id, JSON.stringify(data), url],
  );
}

async function wakeRelay(client: ClientBase): Promise<void> {
  await client.query(`SELECT pg_notify('waybill_outbox', '')`);
}

/** For the API, and for the relay, which sees those of all tenants. */
export async function selectSchedules(
  queries: Queries,
  where: string,
  values: unknown[],
): Promise<(Schedule & { attempts: number })[]> {
  const { rows } = await queries.query(
    `SELECT s.*, d.given_at, d.expires_at, d.definition_digest FROM waybill.schedule s
     LEFT JOIN waybill.delegation d ON d.tenant = s.tenant AND d.id = s.delegation_id
     WHERE ${where}`,
    values,
  );
  return rows.map((row) => ({ ...scheduleFromRow(row), attempts: row.attempts }));
}

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function scheduleFromRow(row: any): Schedule {
  return {
    tenant: row.tenant,
    id: row.id,
    pipeline: row.pipeline,
    definition: row.definition,
    terms: row.terms,
    note: row.note,
    declared: row.declared,
    owner: row.owner,
    delegation: row.delegation_id && {
      id: row.delegation_id,
      givenAt: row.given_at.toISOString(),
      expiresAt: row.expires_at.toISOString(),
      definitionDigest: row.definition_digest,
    },
    state: row.state,
    reason: row.reason,
    pausedBy: row.paused_by,
    activeSince: row.active_since.toISOString(),
    revision: Number(row.revision),
    applied: row.revision === row.applied_revision,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

async function selectFirings(
  queries: Queries,
  where: string,
  values: unknown[],
): Promise<(RecordedFiring & Pick<ShownFiring, 'run'>)[]> {
  const { rows } = await queries.query(
    `SELECT ${runColumns}, r.grant_jws, r.manifest, f.*,
       (SELECT b.run_id FROM waybill.backfill b
        WHERE b.tenant = f.tenant AND b.schedule_id = f.schedule_id AND b.nominal_at = f.nominal_at
        ORDER BY b.at DESC LIMIT 1) AS backfilled_by
     FROM waybill.firing f
       LEFT JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.tenant = f.tenant AND r.id = f.run_id
     WHERE f.tenant = $1 AND ${where}`,
    values,
  );
  return rows.map((row) => ({
    nominalAt: row.nominal_at.toISOString(),
    outcome: row.outcome,
    runId: row.run_id,
    code: row.code,
    at: row.at.toISOString(),
    backfilledBy: row.backfilled_by,
    firstRunId: row.first_run_id,
    run: row.run_id && runFromRow(row),
    begun: row.run_id && {
      runId: row.run_id,
      requestedBy: row.requested_by,
      grant: row.grant_jws,
      manifest: row.manifest,
    },
  }));
}

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw fromPostgres(error);
  }
}
