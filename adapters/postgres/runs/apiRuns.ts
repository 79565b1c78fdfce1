import type { Runs } from '../../../domain/ports/runs.ts';
import type { DatabaseAddress } from '../address.ts';
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
    findGrant: (run) => findGrant(tenants, run),
    requestCancel: (tenant, runId, audit) => cancelRun(tenants, tenant, runId, audit),
    requestResume: (run, successor, audit) => resumeRun(tenants, run, successor, audit),
    watch: watching.watch,
    close: watching.close,
  };
}
