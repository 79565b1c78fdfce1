import type { AuditEvent } from '../../../domain/audit.ts';
import { type GrantKey, publishedAheadS } from '../../../domain/grants/grantKey.ts';
import { sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Queries, TenantDatabase } from '../tenants.ts';

/** Told to every API when a key was added. */
export const keysChannel = 'waybill_keys';

/** The public parts of all keys of the table, endorsed or not, newest first, and the time by the clock of the database. */
export interface KeysNow {
  keys: GrantKey[];
  nowS: number;
}

/**
 * One transaction, one at a time among all APIs: `choose` sees what stands and says what to add, or `undefined` for
 * nothing. The keys before retire when it begins to sign; where it signs at once, `publishedAheadS` later, because
 * an API that has not heard of it yet may sign with one of them until then. `database` is that of the tenant that the audit
 * event names. Resolves with the keys as they then are.
 */
export async function addGrantKey(
  database: TenantDatabase,
  choose: (standing: KeysNow) => Promise<(Omit<GrantKey, 'retiredAtS'> & { audit: AuditEvent }) | undefined>,
): Promise<KeysNow> {
  return database.transaction(async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('waybill.grant_key'))`);
    const added = await choose(await listGrantKeys(client));
    if (!added) return listGrantKeys(client);
    const { kid, x, createdAtS, signsFromS, endorsement } = added;
    await client.query(
      sql(
        `WITH retired AS (
           UPDATE waybill.grant_key SET retired_at = to_timestamp(:createdAtS::bigint + :publishedAheadS::integer)
           WHERE retired_at IS NULL
         ), added AS (
           INSERT INTO waybill.grant_key (kid, x, created_at, signs_from, voucher)
           VALUES (:kid, :x, to_timestamp(:createdAtS::bigint), to_timestamp(:signsFromS::bigint), :endorsement)
         ) SELECT pg_notify('${keysChannel}', '')`,
        { kid, x, createdAtS, signsFromS, endorsement, publishedAheadS },
      ),
    );
    await insertAudit(client, added.audit);
    return listGrantKeys(client);
  });
}

export async function listGrantKeys(database: Queries): Promise<KeysNow> {
  const { rows } = await database.query<KeysNow>(
    `SELECT extract(epoch FROM clock_timestamp())::float8 AS "nowS", coalesce((
       SELECT jsonb_agg(jsonb_build_object('kid', kid, 'x', x, 'createdAtS', extract(epoch FROM created_at),
         'signsFromS', extract(epoch FROM signs_from), 'retiredAtS', extract(epoch FROM retired_at), 'endorsement', voucher)
         ORDER BY signs_from DESC, created_at DESC)
       FROM waybill.grant_key), '[]') AS keys`,
  );
  return rows[0]!;
}
