import type { RunRef } from '../../../domain/runs/run.ts';
import type { Window } from '../../../domain/sources/watermark.ts';
import type { Tenants } from '../tenants.ts';

/** Throws `DatabaseUnavailable`. */
export async function findWindow(tenants: Tenants, { tenant, runId }: RunRef): Promise<Window | undefined> {
  const { rows } = await tenants.for(tenant).query<{ extent: Window }>({
    name: 'find-window',
    text: 'SELECT extent FROM waybill.source_window WHERE tenant = $1 AND run_id = $2',
    values: [tenant, runId],
  });
  return rows[0]?.extent;
}

/** Of several attempts that come at once, the first decides. Throws `DatabaseUnavailable`. */
export async function openWindow(
  tenants: Tenants,
  run: RunRef,
  key: string,
  window: Window,
): Promise<Window> {
  const { tenant, runId, principal } = run;
  await tenants.for(tenant, principal).query({
    name: 'open-window',
    text: `INSERT INTO waybill.source_window (tenant, run_id, key, extent)
           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
    values: [tenant, runId, key, JSON.stringify(window)],
  });
  return (await findWindow(tenants, run))!;
}
