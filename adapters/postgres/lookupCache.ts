import { hash } from 'node:crypto';
import type { LookupCache } from '../../domain/ports/lookupCache.ts';
import { sql } from '../../domain/sql.ts';
import type { Tenants } from './tenants.ts';

const sweepEvery = 64;
const sweepMax = 1_000;

/** Life of an entry: kept, replaced by a later answer, expired, and removed by one of the next workers that keep something. */
export function createLookupCache(tenants: Tenants): LookupCache {
  let kept = 0;
  return {
    async find(tenant, scope, keys) {
      const byDigest = new Map(keys.map((key) => [digestOf(key), key]));
      const { rows } = await tenants.for(tenant).query<{ key_digest: string; value: unknown }>(
        sql(
          `SELECT key_digest, value FROM waybill.lookup
           WHERE scope = :scope AND key_digest = ANY (:digests) AND expires_at > now()`,
          { scope, digests: [...byDigest.keys()] },
          'find-lookups',
        ),
      );
      return new Map(rows.map(({ key_digest, value }) => [byDigest.get(key_digest)!, value]));
    },

    async keep(tenant, scope, found, ttlMs) {
      const entries = [...found].map(([key, value]) => ({ key_digest: digestOf(key), value }));
      if (entries.length === 0) return;
      // Sorted, so that two workers do not wait for each other in turn.
      entries.sort((a, b) => (a.key_digest < b.key_digest ? -1 : 1));
      await tenants.for(tenant).query(
        sql(
          `INSERT INTO waybill.lookup (scope, key_digest, value, expires_at)
           SELECT :scope, e->>'key_digest', nullif(e->'value', 'null'), now() + :ttlMs::float8 * interval '1 millisecond'
           FROM jsonb_array_elements(:entries::jsonb) e
           ON CONFLICT (tenant, scope, key_digest) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
          { scope, ttlMs, entries: JSON.stringify(entries) },
          'keep-lookups',
        ),
      );
      if (++kept % sweepEvery === 0) await sweep(tenants, tenant);
    },
  };
}

function digestOf(key: string): string {
  return hash('sha256', key);
}

async function sweep(tenants: Tenants, tenant: string): Promise<void> {
  await tenants.for(tenant).query(
    sql(
      `DELETE FROM waybill.lookup WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM waybill.lookup WHERE expires_at <= now() LIMIT :sweepMax))`,
      { sweepMax },
      'sweep-lookups',
    ),
  );
}
