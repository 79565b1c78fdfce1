import type { RunRef } from '../../../domain/runs/run.ts';
import type { Tenants } from '../tenants.ts';

/** Asks for a run, as its tenant; its id is `$1`, and `values` follow. */
export type QueryRun = <T>(run: RunRef, name: string, text: string, values?: unknown[]) => Promise<T[]>;

export function queryRun(tenants: Tenants): QueryRun {
  return async <T>({ tenant, runId }: RunRef, name: string, text: string, values: unknown[] = []) => {
    const query = { name, text, values: [runId, ...values] };
    return (await tenants.for(tenant).query(query)).rows as T[];
  };
}

/**
 * Whether nothing more is to be done for a run, in the execution of that parameter: it has ended. Where that very execution began and
 * completed it, a workflow task was lost after the last step, and the steps before are asked again for what they have said.
 */
export function isOver(run: string, execution: number): string {
  return `(${run}.ended_at IS NOT NULL
           AND NOT (${run}.state = 'completed' AND ${run}.first_execution IS NOT DISTINCT FROM $${execution}))`;
}
