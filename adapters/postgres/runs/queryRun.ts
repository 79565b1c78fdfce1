import type { RunRef } from '../../../domain/runs/run.ts';
import { type Params, sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';

/** Asks about a run, as its tenant, by a prepared statement; its id is the parameter `runId`. */
export type QueryRun = <T>(run: RunRef, name: string, text: string, params?: Params) => Promise<T[]>;

export function queryRun(tenants: Tenants): QueryRun {
  return async <T>({ tenant, runId }: RunRef, name: string, text: string, params: Params = {}) =>
    (await tenants.for(tenant).query(sql(text, { runId, ...params }, name))).rows as T[];
}

/**
 * Whether nothing more is to be done for a run, in the execution `:execution`: it has ended. Where that very execution began and
 * completed it, a workflow task was lost after the last step, and the steps before are asked again for what they have said.
 */
export function isOverSql(run: string): string {
  return `(${run}.ended_at IS NOT NULL
           AND NOT (${run}.state = 'completed' AND ${run}.first_execution IS NOT DISTINCT FROM :execution::text))`;
}

/**
 * As a column of a statement that is a transaction of its own: with `:isFollowed` its commit does not wait for the disk. The next one that
 * does takes it along, since the log is written in order; what a crash of the server loses before that, no one was told.
 * Source: PostgreSQL 18, 28.4, https://www.postgresql.org/docs/18/wal-async-commit.html
 */
export const commitSql = `CASE WHEN :isFollowed::boolean THEN set_config('synchronous_commit', 'off', true) END`;
