import type { RunStore } from '../../../domain/ports/runStore.ts';
import type { DatabaseAddress } from '../address.ts';
import { listRunAudit } from '../auditTrail.ts';
import type { Tenants } from '../tenants.ts';
import { acceptFiring, acceptRun, findKey, recordFailedRun } from './acceptRun.ts';
import { appendArrival, breakOffArrival, sealArrival, touchArrival } from './arrival.ts';
import { cancelRun } from './cancelRun.ts';
import { findGrant, resumeRun } from './resumeRun.ts';
import { findOpenRun } from './runFacts.ts';
import { countRejections, findRun, listRuns } from './runs.ts';
import { watchRuns } from './watchRuns.ts';

/**
 * What the API asks of PostgreSQL. The connection that listens for changes of runs is opened with the first
 * watcher and lives until `close`.
 */
export function createIntake(
  tenants: Tenants,
  address: DatabaseAddress,
): RunStore & { close(): Promise<void> } {
  const watching = watchRuns(address);
  return {
    findKey: (scope) => findKey(tenants, scope),
    accept: (acceptance) => acceptRun(tenants, acceptance),
    acceptFiring: (acceptance, firing) => acceptFiring(tenants, acceptance, firing),
    recordFailed: (acceptance, code) => recordFailedRun(tenants, acceptance, code),
    appendBatch: (run, batch) => appendArrival(tenants, run, batch),
    touch: (run) => touchArrival(tenants, run),
    seal: (run, requestDigest, audit) => sealArrival(tenants, run, requestDigest, audit),
    breakOff: (run, audit) => breakOffArrival(tenants, run, audit),
    findRun: (tenant, runId) => findRun(tenants, tenant, runId),
    countRejections: (tenant, runId) => countRejections(tenants, tenant, runId),
    findOpenRun: (tenant, runId) => findOpenRun(tenants, tenant, runId),
    listRuns: (tenant, filter) => listRuns(tenants, tenant, filter),
    findGrant: (run) => findGrant(tenants, run),
    requestResume: (run, successor, audit) => resumeRun(tenants, run, successor, audit),
    requestCancel: (tenant, runId, audit) => cancelRun(tenants, tenant, runId, audit),
    listAudit: (tenant, runId, page) => listRunAudit(tenants, tenant, runId, page),
    watchRun: watching.watch,
    check: async () => void (await tenants.for(null).query('SELECT 1')),
    close: watching.close,
  };
}
