import type { ClientBase } from 'pg';
import { uuidv7 } from 'uuidv7';
import { WaybillError } from '../../../domain/errors.ts';
import type { RevocationRecords, RevocationScope } from '../../../domain/ports/revocations.ts';
import type { Revocation } from '../../../domain/revocation.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { enforceLimit } from '../limits.ts';
import type { Tenants } from '../tenants.ts';

/** How often a revocation may turn out to stand and then to be lifted again before we give up. */
const attemptsMax = 3;

/** The records of what was revoked. Caches are notified with each commit. */
export function createRevocationRecords(tenants: Tenants): RevocationRecords {
  return {
    async revoke(byTenant, wanted, audit) {
      const sought = { ...wanted, tenant: wanted.kind === 'key' ? null : byTenant };
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const id = `rev_${uuidv7()}`;
        const written = await tenants.for(byTenant, wanted.revokedBy?.id).transaction(async (client) => {
          const revocation = await insertRevocation(client, id, sought);
          if (revocation?.id === id) await enforceLimit(client, byTenant, 'standingRevocations');
          if (revocation) await insertAudit(client, audit(revocation));
          return revocation;
        });
        if (written) return { revocation: written, created: written.id === id };
        const revocation = await findStanding(tenants, sought);
        if (revocation) return { revocation, created: false };
      }
      throw new WaybillError('DatabaseUnavailable', { detail: 'it was revoked and lifted again and again' });
    },

    async lift(scope, id, liftedBy, audit) {
      const lifted = await tenants.for(scope.tenant, liftedBy?.id).transaction(async (client) => {
        const revocation = await lift(client, scope, id, liftedBy);
        if (revocation) await insertAudit(client, audit(revocation));
        return revocation;
      });
      return lifted ?? this.find(scope, id);
    },

    async hasSeen(tenant, principal) {
      try {
        return await tenants.for(tenant).transaction(async (client) => {
          await client.query(`SET LOCAL statement_timeout = ${seenWithinMs}`);
          const { rows } = await client.query<{ seen: boolean }>(sql(seenLately, { tenant, principal }));
          return rows[0]!.seen;
        });
      } catch {
        return undefined;
      }
    },

    async find(scope, id) {
      const [found] = await select(tenants, scope.tenant, `${inScope} AND id = :id`, {
        ...inScopeParams(scope),
        id,
      });
      return found;
    },

    async list(scope, { kind, target, limit, cursor }) {
      const found = await select(
        tenants,
        scope.tenant,
        `${inScope} AND lifted_at IS NULL AND (:kind::text IS NULL OR kind = :kind)
           AND (:target::text IS NULL OR target = :target) AND (:cursor::text IS NULL OR id < :cursor)
         ORDER BY id DESC LIMIT :limit`,
        {
          ...inScopeParams(scope),
          kind: kind ?? null,
          target: target ?? null,
          cursor: cursor ?? null,
          limit: limit + 1,
        },
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.id : null };
    },
  };
}

/** Not worth more: what it is for is a hint. */
const seenWithinMs = 1_000;
const seenLately = `
  WITH who AS (
    (SELECT jsonb_build_object('id', principal, 'actor', requested_by -> 'actor') AS who FROM waybill.run
     WHERE tenant = :tenant ORDER BY created_at DESC, id DESC LIMIT 20000)
    UNION ALL
    (SELECT actor FROM waybill.audit_event WHERE tenant = :tenant ORDER BY id DESC LIMIT 20000)
  ) SELECT EXISTS (SELECT FROM who WHERE :principal IN (who ->> 'id', who -> 'actor' ->> 'id')) AS seen`;

/** No row where it stands already and is not extended. */
export async function insertRevocation(
  client: ClientBase,
  id: string,
  {
    kind,
    target,
    tenant,
    issuedUntil,
    reason,
    revokedBy,
  }: Omit<Revocation, 'id' | 'createdAt' | 'liftedBy' | 'liftedAt'>,
): Promise<Revocation | undefined> {
  const { rows } = await client.query(
    sql(
      `
      WITH written AS (
        INSERT INTO waybill.revocation AS r (id, kind, target, tenant, issued_until, reason, revoked_by)
        VALUES (:id, :kind, :target, :tenant, :issuedUntil, :reason, :revokedBy)
        ON CONFLICT (target, kind, tenant, (issued_until IS NULL)) WHERE lifted_at IS NULL
          DO UPDATE SET issued_until = EXCLUDED.issued_until, changed = pg_current_xact_id()
          WHERE r.issued_until < EXCLUDED.issued_until
        RETURNING *
      ) SELECT ${columns}, pg_notify('waybill_revocation', '') FROM written`,
      { id, kind, target, tenant, issuedUntil, reason, revokedBy: jsonParam(revokedBy) },
    ),
  );
  return rows[0] && fromRow(rows[0]);
}

async function findStanding(
  tenants: Tenants,
  { kind, target, tenant, issuedUntil }: Pick<Revocation, 'kind' | 'target' | 'tenant' | 'issuedUntil'>,
): Promise<Revocation | undefined> {
  const [found] = await select(
    tenants,
    tenant,
    `kind = :kind AND target = :target AND tenant IS NOT DISTINCT FROM :tenant
       AND (issued_until IS NULL) = :always AND lifted_at IS NULL`,
    { kind, target, tenant, always: issuedUntil === null },
  );
  return found;
}

/**
 * The suspended runs that may wait for this check their right again. For a key these are the runs of all tenants. For the id of one
 * grant, which the record of a run does not name, these are all runs of the tenant.
 */
async function lift(
  client: ClientBase,
  scope: RevocationScope,
  id: string,
  liftedBy: Revocation['liftedBy'],
): Promise<Revocation | undefined> {
  const { rows } = await client.query(
    sql(
      `
      WITH lifted AS (
        UPDATE waybill.revocation SET lifted_at = now(), lifted_by = :liftedBy, changed = pg_current_xact_id()
        WHERE ${inScope} AND id = :id AND lifted_at IS NULL RETURNING *
      ), due AS (
        INSERT INTO waybill.outbox (kind, run_id)
        SELECT 'recheckAuthorization', r.id FROM lifted l JOIN waybill.run r ON l.tenant = r.tenant
        WHERE r.state = 'suspended' AND r.reason ->> 'code' = 'GrantRevoked' AND CASE l.kind
          WHEN 'principal' THEN l.target IN (r.principal, r.requested_by -> 'actor' ->> 'id')
          WHEN 'grant' THEN r.id = l.target OR NOT EXISTS (SELECT FROM waybill.run WHERE id = l.target)
          WHEN 'delegation' THEN EXISTS (
            SELECT FROM waybill.firing f JOIN waybill.delegation d USING (tenant, schedule_id)
            WHERE f.run_id = r.id AND d.id = l.target)
        END
      ) SELECT ${columns}, pg_notify('waybill_revocation', ''), pg_notify('waybill_outbox', ''),
               CASE WHEN tenant IS NULL THEN waybill.recheck_suspended('GrantRevoked') END FROM lifted`,
      { ...inScopeParams(scope), id, liftedBy: jsonParam(liftedBy) },
    ),
  );
  return rows[0] && fromRow(rows[0]);
}

/** No operator lifts a sign-out: a newer token counts again by itself, and an older one never. */
const inScope = `(tenant = :tenant OR (kind = 'key' AND :keys::boolean))`;
const inScopeParams = ({ tenant, keys }: RevocationScope): Params => ({ tenant, keys });
const columns = `id, kind, target, tenant, issued_until, reason, revoked_by, created_at, lifted_by, lifted_at`;

async function select(
  tenants: Tenants,
  tenant: string | null,
  where: string,
  params: Params,
): Promise<Revocation[]> {
  const text = `SELECT ${columns} FROM waybill.revocation WHERE ${where}`;
  const { rows } = await tenants.for(tenant).query(sql(text, params));
  return rows.map(fromRow);
}

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function fromRow(row: any): Revocation {
  return {
    id: row.id,
    kind: row.kind,
    target: row.target,
    tenant: row.tenant,
    issuedUntil: row.issued_until?.toISOString() ?? null,
    reason: row.reason,
    revokedBy: row.revoked_by,
    createdAt: row.created_at.toISOString(),
    liftedBy: row.lifted_by,
    liftedAt: row.lifted_at?.toISOString() ?? null,
  };
}
