import { WaybillError } from '../../../domain/errors.ts';
import type { RetryInput, Runs } from '../../../domain/ports/runs.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import type { DatabaseAddress } from '../address.ts';
import { batchFromRow, selectBatch } from '../batches/batchRows.ts';
import type { Tenants } from '../tenants.ts';
import { cancelRun, findGrant, resumeRun } from './controlRun.ts';
import { findOpenRun } from './runFacts.ts';
import { findRun, listRuns } from './runs.ts';
import { watchRuns } from './watchRuns.ts';

/** The connection that listens for changes of runs is opened with the first watcher and lives until `close`. */
export function createRuns(tenants: Tenants, address: DatabaseAddress): Runs & { close(): Promise<void> } {
  const watching = watchRuns(address);
  return {
    find: (tenant, runId) => findRun(tenants, tenant, runId),
    findOpen: (tenant, runId) => findOpenRun(tenants, tenant, runId),
    list: (tenant, filter) => listRuns(tenants, tenant, filter),
    findInput: (run) => findInput(tenants, run),
    findGrant: (run) => findGrant(tenants, run),
    requestCancel: (tenant, runId, audit) => cancelRun(tenants, tenant, runId, audit),
    requestResume: (run, successor, audit) => resumeRun(tenants, run, successor, audit),
    watch: watching.watch,
    close: watching.close,
  };
}

async function findInput(tenants: Tenants, { tenant, runId }: RunRef): Promise<RetryInput> {
  const database = tenants.for(tenant);
  const runs = await database.query<Omit<RetryInput, 'left'>>(
    sql(
      `SELECT source, parameters, arrival = 'sealed' AS sealed FROM waybill.run WHERE tenant = :tenant AND id = :runId`,
      { tenant, runId },
    ),
  );
  if (!runs.rows[0]) throw new WaybillError('RunNotFound');
  const { rows } = await database.query(
    sql(
      `${selectBatch} AND NOT EXISTS (
         SELECT FROM waybill.ledger l WHERE l.tenant = :tenant AND l.run_id = :runId AND l.seq = batch.seq) ORDER BY seq`,
      { tenant, runId },
    ),
  );
  return { ...runs.rows[0], left: rows.map(batchFromRow) };
}
