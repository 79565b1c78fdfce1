import {
  escapeLiteral,
  type Pool,
  type PoolClient,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
} from 'pg';
import { sql } from '../../domain/sql.ts';
import { inTransaction } from './connect.ts';
import { asked } from './failure.ts';

/** What can be asked within a tenant, within a transaction, or of a pool that sees everything. */
export interface Queries {
  // biome-ignore lint/suspicious/noExplicitAny: as `pg` has it; each query says what its rows are.
  query<Row extends QueryResultRow = any>(
    query: string | QueryConfig,
    values?: unknown[],
  ): Promise<QueryResult<Row>>;
}

/** The database as one tenant sees it. What fails, fails as `fromPostgres` has it. */
export interface TenantDatabase extends Queries {
  /** Like `inTransaction`; triggers and row-level security see the subject too. */
  transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T>;
}

/**
 * The only way in which API and workers get at the database: through a tenant. Row-level security compares each row with
 * the setting `waybill.tenant` of the session, and without it there are no rows.
 *
 * A connection keeps the tenant that it had last, and is told another only when it gets one; so with one tenant, which is
 * the common case, that costs nothing. A transaction is told at its `BEGIN`, for itself alone. Since settings belong to a
 * session, whatever stands between here and PostgreSQL must pool sessions, not transactions.
 */
export interface Tenants {
  /** `null` for what belongs to no tenant. `subject` is the principal (`prn_…`) that it is done for, where that is known. */
  for(tenant: string | null, subject?: string): TenantDatabase;
  /** Throws `DatabaseUnavailable`. */
  check(): Promise<void>;
  /** How many queries wait for a connection. */
  waiting(): number;
  end(): Promise<void>;
}

export function tenantsOf(pool: Pool): Tenants {
  /** What `waybill.tenant` is in the session of a connection. One that breaks is closed, so this is never in doubt. */
  const known = new WeakMap<PoolClient, string>();

  async function within<T>(tenant: string, ask: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      if (known.get(client) !== tenant) {
        await client.query(sql(setTenant, { tenant }, 'tenant'));
        known.set(client, tenant);
      }
      const answer = await ask(client);
      client.release();
      return answer;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  return {
    for: (tenant, subject) => ({
      query: (query, values) => asked(within(tenant ?? '', (client) => client.query(query, values))),
      transaction: (work) => inTransaction(pool, work, beginAs(tenant ?? '', subject ?? '')),
    }),
    waiting: () => pool.waitingCount,
    check: async () => void (await asked(pool.query('SELECT 1'))),
    end: () => pool.end(),
  };
}

const setTenant = `SELECT set_config('waybill.tenant', :tenant, false)`;

/** One round trip, like `BEGIN` alone; `SET` needs no plan, unlike `SELECT set_config(…)`. */
export function beginAs(tenant: string, subject: string): string {
  const [ofTenant, ofSubject] = [tenant, subject].map(escapeLiteral);
  return `BEGIN; SET LOCAL waybill.tenant = ${ofTenant}; SET LOCAL waybill.subject = ${ofSubject}`;
}
