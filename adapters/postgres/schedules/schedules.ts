import type { ClientBase } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { GivenDelegation, ScheduleDraft, Schedules } from '../../../domain/ports/schedules.ts';
import type { Schedule, ScheduleTerms } from '../../../domain/schedules/schedule.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { enforceLimit } from '../limits.ts';
import { notifyRelay } from '../outbox.ts';
import type { Queries, Tenants } from '../tenants.ts';

/** The schedules of tenants, for the API. Each change is a new revision, which wakes the relay. */
export function createSchedules(tenants: Tenants): Schedules {
  async function select(tenant: string, where: string, params: Params): Promise<Schedule[]> {
    return selectSchedules(tenants.for(tenant), `s.tenant = :tenant AND ${where}`, { tenant, ...params });
  }

  return {
    async list(tenant, { pipeline, state, limit, cursor }) {
      const found = await select(
        tenant,
        `s.state <> 'deleted' AND (:pipeline::text IS NULL OR s.pipeline = :pipeline)
         AND (:state::text IS NULL OR s.state = :state) AND (:cursor::text IS NULL OR s.id > :cursor)
         ORDER BY s.id LIMIT :limit`,
        { pipeline: pipeline ?? null, state: state ?? null, cursor: cursor ?? null, limit: limit + 1 },
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.id : null };
    },

    async find(tenant, id) {
      const [found] = await select(tenant, `s.id = :id AND s.state <> 'deleted'`, { id });
      return found;
    },

    async create(draft, delegation, audit) {
      await tenants.for(draft.tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `INSERT INTO waybill.schedule AS s
               (tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, paused_by, delegation_id)
             VALUES (:tenant, :id, :pipeline, :definition, :terms, :note, :declared, :owner, :state, :reason,
               :pausedBy, :delegationId)
             ON CONFLICT (tenant, id) DO UPDATE SET ${draftColumns}, delegation_id = :delegationId,
               active_since = now(), created_at = now(), updated_at = now(), due_at = now(), attempts = 0,
               revision = s.revision + 1
               WHERE s.state = 'deleted'`,
            { ...draftParams(draft), delegationId: delegation?.id ?? null },
          ),
        );
        if (!rowCount) throw new WaybillError('ScheduleExists');
        await enforceLimit(client, draft.tenant, 'schedules');
        await settle(client, draft, delegation ?? 'stands', audit);
      });
      return (await this.find(draft.tenant, draft.id))!;
    },

    async change(draft, revision, consent, audit) {
      const delegation = typeof consent === 'object' ? consent : null;
      await tenants.for(draft.tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `UPDATE waybill.schedule SET ${draftColumns},
               delegation_id = CASE WHEN :stands THEN delegation_id ELSE :delegationId END, revision = revision + 1,
               active_since = CASE WHEN :fresh THEN now() ELSE active_since END, updated_at = now(), due_at = now(),
               attempts = 0
             WHERE tenant = :tenant AND id = :id AND revision = :revision AND state <> 'deleted'`,
            {
              ...draftParams(draft),
              delegationId: delegation?.id ?? null,
              stands: consent === 'stands',
              fresh: draft.fresh,
              revision,
            },
          ),
        );
        if (!rowCount) throw new WaybillError('ScheduleChanged');
        await settle(client, draft, consent, audit);
      });
      return (await this.find(draft.tenant, draft.id))!;
    },

    async remove({ tenant, id, revision }, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `UPDATE waybill.schedule SET state = 'deleted', revision = revision + 1, updated_at = now(),
               due_at = now(), attempts = 0
             WHERE tenant = :tenant AND id = :id AND revision = :revision AND state <> 'deleted'`,
            { tenant, id, revision },
          ),
        );
        if (!rowCount) throw new WaybillError('ScheduleChanged');
        await endConsents(client, { tenant, id });
        await insertAudit(client, audit);
        await notifyRelay(client);
      });
    },

    async findDelegation({ tenant, delegation }) {
      if (!delegation) return undefined;
      const { rows } = await tenants.for(tenant).query(
        sql(
          `SELECT d.jws, EXISTS (
             SELECT FROM waybill.ended_delegation e WHERE e.tenant = d.tenant AND e.delegation_id = d.id) AS ended
           FROM waybill.delegation d WHERE d.tenant = :tenant AND d.id = :id`,
          { tenant, id: delegation.id },
        ),
      );
      return rows[0];
    },

    async findConsentedTerms({ tenant, id, owner }) {
      const { rows } = await tenants.for(tenant).query<{ terms: ScheduleTerms | null }>(
        sql(
          // A consent that ended before the schedule was created is of a deleted one with its id.
          `SELECT d.terms FROM waybill.schedule s JOIN waybill.delegation d ON d.tenant = s.tenant AND d.schedule_id = s.id
             LEFT JOIN waybill.ended_delegation e ON e.tenant = d.tenant AND e.delegation_id = d.id
           WHERE s.tenant = :tenant AND s.id = :id AND d.owner = :owner AND (e.at IS NULL OR e.at > s.created_at)
           ORDER BY d.id DESC LIMIT 1`,
          { tenant, id, owner: owner.id },
        ),
      );
      return rows[0]?.terms ?? undefined;
    },

    async hasDelegation(tenant, delegationId) {
      const { rowCount } = await tenants.for(tenant).query(
        sql('SELECT FROM waybill.delegation WHERE tenant = :tenant AND id = :delegationId', {
          tenant,
          delegationId,
        }),
      );
      return rowCount === 1;
    },

    async resync({ tenant, id, revision }, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `UPDATE waybill.schedule SET applied_revision = 0, due_at = now()
             WHERE tenant = :tenant AND id = :id AND revision = :revision AND applied_revision = revision`,
            { tenant, id, revision },
          ),
        );
        if (!rowCount) return;
        await insertAudit(client, audit);
        await notifyRelay(client);
      });
    },
  };
}

const draftColumns = `pipeline = :pipeline, definition = :definition, terms = :terms, note = :note, declared = :declared,
  owner = :owner, state = :state, reason = :reason, paused_by = :pausedBy`;

function draftParams(draft: ScheduleDraft): Params {
  const { tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, pausedBy } = draft;
  return {
    tenant,
    id,
    pipeline,
    definition: jsonParam(definition),
    terms: jsonParam(terms),
    note,
    declared,
    owner: jsonParam(owner),
    state,
    reason: jsonParam(reason),
    pausedBy: jsonParam(pausedBy),
  };
}

async function settle(
  client: ClientBase,
  { tenant, id }: ScheduleDraft,
  consent: GivenDelegation | 'stands' | 'ends',
  audit: Parameters<typeof insertAudit>[1],
): Promise<void> {
  if (consent !== 'stands') await endConsents(client, { tenant, id });
  if (typeof consent === 'object') {
    const { owner, jws, givenAtS, expiresAtS, definitionDigest, boundDigest, terms } = consent;
    await client.query(
      sql(
        `INSERT INTO waybill.delegation (id, tenant, schedule_id, owner, jws, given_at, expires_at, definition_digest,
           bound_digest, terms)
         VALUES (:id, :tenant, :scheduleId, :owner, :jws, to_timestamp(:givenAtS), to_timestamp(:expiresAtS),
           :definitionDigest, :boundDigest, :terms)`,
        {
          ...{
            id: consent.id,
            tenant,
            scheduleId: id,
            owner,
            jws,
            givenAtS,
            expiresAtS,
            definitionDigest,
            boundDigest,
          },
          terms: jsonParam(terms),
        },
      ),
    );
  }
  await insertAudit(client, audit);
  await notifyRelay(client);
}

/** All that were given so far. The API’s role cannot take it back, so that no change of a record makes one count again. */
async function endConsents(
  client: ClientBase,
  { tenant, id }: Pick<Schedule, 'tenant' | 'id'>,
): Promise<void> {
  await client.query(
    sql(
      `INSERT INTO waybill.ended_delegation (tenant, delegation_id)
       SELECT tenant, id FROM waybill.delegation WHERE tenant = :tenant AND schedule_id = :id ON CONFLICT DO NOTHING`,
      { tenant, id },
    ),
  );
}

/** The last run of an active schedule is suspended, and its overlap lets none begin beside it. */
const stalledSql = `CASE WHEN s.state = 'active' AND coalesce(s.terms ->> 'overlap', 'skip') NOT IN ('allow-all', 'cancel-other') THEN (
  SELECT jsonb_build_object('run', r.id, 'code', r.reason ->> 'code') FROM waybill.run r
  WHERE r.tenant = s.tenant AND r.state = 'suspended' AND r.id = (
    SELECT f.run_id FROM waybill.firing f WHERE f.tenant = s.tenant AND f.schedule_id = s.id AND f.run_id IS NOT NULL
    ORDER BY f.nominal_at DESC LIMIT 1)) END`;

/** For the API, and for the relay, which sees those of all tenants. */
export async function selectSchedules(
  queries: Queries,
  where: string,
  params: Params,
): Promise<(Schedule & { attempts: number })[]> {
  const { rows } = await queries.query(
    sql(
      `SELECT s.*, d.given_at, d.expires_at, d.definition_digest, d.bound_digest, ${stalledSql} AS stalled
       FROM waybill.schedule s
       LEFT JOIN waybill.delegation d ON d.tenant = s.tenant AND d.id = s.delegation_id
       WHERE ${where}`,
      params,
    ),
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
      boundDigest: row.bound_digest,
    },
    state: row.state,
    reason: row.reason,
    stalledBehind: row.stalled,
    pausedBy: row.paused_by,
    activeSince: row.active_since.toISOString(),
    revision: Number(row.revision),
    applied: row.revision === row.applied_revision,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
