import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { requesterOf } from '../../domain/principal.ts';
import type { Run } from '../../domain/runs/run.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Asks Temporal, through the relay, to cancel a run; resolves with the run as it is now. Throws `RunEnded`, `TooManyRequests`. */
export async function cancelRun(
  { runs }: Pick<ApplicationPorts, 'runs'>,
  { principal, run, policies, policyDigest, txn, signal }: Authorization,
): Promise<Run> {
  const { id } = run!;
  const detail = { by: requesterOf(principal).id, policies, policyDigest };
  const audit = auditOf({ principal, runId: id, txn }, 'run.cancel-requested', detail);
  const done = await turns.take(signal);
  try {
    return (await runs.requestCancel(principal.tenant, id, audit)) ?? run!;
  } finally {
    done();
  }
}

/** A run that publishes is locked, and a cancel waits for it with a connection: few may, so that other requests have theirs. */
const turns = new Semaphore({
  running: 3,
  waiting: 200,
  refuse: () => new WaybillError('TooManyRequests', { detail: '200 cancels wait' }),
});
