import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import {
  type EffectiveLimit,
  effectiveLimits,
  type Limit,
  type LimitName,
  limitReached,
} from '../../domain/limits.ts';
import type { LimitUse, TenantLimits } from '../../domain/ports/limits.ts';
import { sql } from '../../domain/sql.ts';
import { cachedByTenant } from './cachedByTenant.ts';
import type { Queries, Tenants } from './tenants.ts';

/** How old limits and the use of those that are counted quickly may be. */
const maxAgeMs = 1_000;
/** The others are counted again after this. */
const slowAgeMs = 10_000;
/** And not before so many times as long as it took: a count of much is no large part of what the database does. */
const slowGap = 100;
/** Up to so many runs in flight, each acceptance counts them; beyond, those that come near the bound. */
const alwaysCountedMax = 2_000;

export interface LimitsInDatabase extends TenantLimits {
  /**
   * Whether a run more of a pipeline may reach a limit, so that its acceptance has to count (`enforceLimit`). Throws
   * `DatabaseUnavailable`.
   */
  mustCount(tenant: string, pipeline: string): Promise<boolean>;
}

/** The limits of a tenant, as old as they may be. */
export type StandingLimits = (tenant: string) => Promise<EffectiveLimit[]>;

/** One for each process, so that they are asked for once. */
export function createStandingLimits(tenants: Tenants): StandingLimits {
  return cachedByTenant(
    async (tenant) => effectiveLimits((await selectLimits(tenants.for(tenant), tenant)).rows, tenant),
    { ageMs: maxAgeMs },
  );
}

/**
 * Limits as the migrator wrote them, and what tenants use of them.
 * @param limitsOf that of the process, where another part of it reads limits too
 */
export function createLimits(
  tenants: Tenants,
  limitsOf: StandingLimits = createStandingLimits(tenants),
): LimitsInDatabase {
  const quick = cachedByTenant(
    async (tenant) =>
      (await tenants.for(tenant).query(counted(quickCounts, { tenant }, 'use-of-limits'))).rows as Use[],
    { ageMs: maxAgeMs },
  );
  const slow = cachedByTenant(
    async (tenant) =>
      (await tenants.for(tenant).query(counted(slowCounts, { tenant }, 'slow-use-of-limits'))).rows as Use[],
    { ageMs: slowAgeMs, gap: slowGap, stale: true },
  );

  async function read(tenant: string): Promise<LimitUse[]> {
    const [limits, uses, more] = await Promise.all([limitsOf(tenant), quick(tenant), slow(tenant)]);
    return limits.map((limit) => ({ ...limit, use: useOf([...uses, ...more], limit) }));
  }

  return {
    read,
    async max(tenant, name) {
      const limits = await limitsOf(tenant);
      return limits.find((limit) => limit.name === name && limit.pipeline === null)!.max;
    },
    async mustCount(tenant, pipeline) {
      const [limits, uses] = await Promise.all([limitsOf(tenant), quick(tenant)]);
      return limits.some(
        (limit) =>
          limit.name === 'runsInFlight' &&
          (limit.pipeline ?? pipeline) === pipeline &&
          (limit.max <= alwaysCountedMax || useOf(uses, limit)! * 2 >= limit.max),
      );
    },
  };
}

/**
 * Throws `LimitReached` where what the transaction has added is one too many. Until it ends, no other transaction of the tenant counts:
 * of two that add the last one, the second sees that of the first.
 */
export async function enforceLimit(
  client: ClientBase,
  tenant: string,
  name: keyof typeof quickCounts,
  pipeline?: string,
): Promise<void> {
  await client.query(sql('SELECT pg_advisory_xact_lock(:lock::bigint)', { lock: lockOf(tenant, name) }));
  const { rows: limits } = await selectLimits(client, tenant);
  const { rows: uses } = await client.query<Use>(counted({ [name]: quickCounts[name] }, { tenant }));
  for (const limit of effectiveLimits(limits, tenant)) {
    if (limit.name !== name || (limit.pipeline !== null && limit.pipeline !== pipeline)) continue;
    const use = useOf(uses, limit)!;
    if (use > limit.max)
      throw limitReached(
        limit,
        `has ${limit.max} of at most ${limit.max}`,
        name === 'runsInFlight' ? 5_000 : 60_000,
      );
  }
}

interface Use {
  name: LimitName;
  /** `null`: of the tenant as a whole. */
  pipeline: string | null;
  use: number;
}

/** Each is bounded by what is in flight. Columns: pipeline, use. */
const quickCounts = {
  runsInFlight: `SELECT pipeline, count(*)::float8 FROM waybill.run WHERE tenant = :tenant AND ended_at IS NULL GROUP BY pipeline`,
  openUploads: `SELECT NULL, count(*)::float8 FROM waybill.upload u JOIN waybill.run r ON r.id = u.run_id
    WHERE u.tenant = :tenant AND r.ended_at IS NULL AND r.arrival = 'open'`,
  schedules: `SELECT NULL, count(*)::float8 FROM waybill.schedule WHERE tenant = :tenant AND state <> 'deleted'`,
  standingRevocations: `SELECT NULL, count(*)::float8 FROM waybill.revocation WHERE tenant = :tenant AND lifted_at IS NULL`,
} as const satisfies Partial<Record<LimitName, string>>;

/** Each reads as many rows as the tenant has runs. */
const slowCounts = {
  openDeadLetters: `SELECT pipeline, sum(letters)::float8 FROM waybill.dead_letter_group
    WHERE tenant = :tenant AND state IN ('open', 'repaired', 'redriving') GROUP BY pipeline`,
  bytesStored: `SELECT NULL, coalesce(sum(b.size_bytes), 0)::float8 FROM waybill.run r JOIN waybill.batch b ON b.run_id = r.id
    WHERE r.tenant = :tenant AND r.input_removed_at IS NULL`,
} as const satisfies Partial<Record<LimitName, string>>;

function counted(counts: Partial<Record<LimitName, string>>, params: { tenant: string }, name?: string) {
  const each = Object.entries(counts).map(
    ([of, query]) => `SELECT '${of}' AS name, * FROM (${query}) AS c (pipeline, use)`,
  );
  return sql(each.join(' UNION ALL '), params, name);
}

function selectLimits(queries: Pick<Queries, 'query'> | ClientBase, tenant: string) {
  const query = sql(
    `SELECT tenant, pipeline, name, max::float8 AS max FROM waybill.tenant_limit WHERE tenant IN ('', :tenant)`,
    { tenant },
    'limits',
  );
  return (queries as Pick<ClientBase, 'query'>).query<Limit>(query);
}

function useOf(uses: readonly Use[], { name, pipeline }: EffectiveLimit): number | null {
  if (!(name in quickCounts) && !(name in slowCounts)) return null;
  const counted = uses.filter((use) => use.name === name && (pipeline === null || use.pipeline === pipeline));
  return counted.reduce((sum, { use }) => sum + use, 0);
}

/** Of one limit of one tenant. */
function lockOf(tenant: string, name: string): string {
  return createHash('sha256').update(`limit ${tenant} ${name}`).digest().readBigInt64BE().toString();
}
