import { auditOf } from '../../domain/audit.ts';
import { requesterOf } from '../../domain/principal.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Asks Temporal, through the relay, to cancel a run; resolves with the run as it is now. Throws `RunEnded`. */
export async function cancelRun(
  { runs }: Pick<ApplicationPorts, 'runs'>,
  { principal, run, policies, policyDigest, txn }: Authorization,
): Promise<Run> {
  const { id } = run!;
  const detail = { by: requesterOf(principal).id, policies, policyDigest };
  const audit = auditOf({ principal, runId: id, txn }, 'run.cancel-requested', detail);
  return (await runs.requestCancel(principal.tenant, id, audit)) ?? run!;
}
