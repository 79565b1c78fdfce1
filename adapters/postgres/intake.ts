import type { Pool } from 'pg';
import type { Intake } from '../../domain/ports/intake.ts';
import { acceptRun, findKey, recordFailedRun } from './acceptRun.ts';
import type { DatabaseAddress } from './address.ts';
import { appendArrival, breakOffArrival, sealArrival, touchArrival } from './arrival.ts';
import { listRunAudit } from './auditTrail.ts';
import { cancelRun } from './cancelRun.ts';
import { fromPostgres } from './failure.ts';
import { findRun, listRuns } from './runs.ts';
import { watchRuns } from './watchRuns.ts';

/**
 * What the API asks of PostgreSQL. The connection that listens for changes of runs is opened with the first
 * watcher and lives until `close`.
 */
export function createIntake(pool: Pool, address: DatabaseAddress): Intake & { close(): Promise<void> } {
  const watching = watchRuns(address);
  return {
    findKey: (scope) => asked(findKey(pool, scope)),
    accept: (acceptance) => acceptRun(pool, acceptance),
    recordFailed: (acceptance, code) => recordFailedRun(pool, acceptance, code),
    appendBatch: (runId, batch) => appendArrival(pool, runId, batch),
    touch: (runId) => asked(touchArrival(pool, runId)),
    seal: (runId, requestDigest, audit) => sealArrival(pool, runId, requestDigest, audit),
    breakOff: (runId, audit) => breakOffArrival(pool, runId, audit),
    findRun: (tenant, runId) => asked(findRun(pool, tenant, runId)),
    listRuns: (tenant, filter) => asked(listRuns(pool, tenant, filter)),
    requestCancel: (tenant, runId, audit) => cancelRun(pool, tenant, runId, audit),
    listAudit: (tenant, runId, page) => asked(listRunAudit(pool, tenant, runId, page)),
    watchRun: watching.watch,
    check: async () => void (await asked(pool.query('SELECT 1'))),
    close: watching.close,
  };
}

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw fromPostgres(error);
  }
}
