import { auditOf, whoOf } from '../../domain/audit.ts';
import type { LegalHold } from '../../domain/ports/legalHolds.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

type Ports = Pick<ApplicationPorts, 'legalHolds'>;

/** Keeps everything that there is of a run, whatever its retention says, until the hold is lifted. Throws `RunNotFound`. */
export function holdRun(
  { legalHolds }: Ports,
  { principal, policies, policyDigest, txn }: Authorization,
  { runId, reason }: { runId: string; reason: string },
): Promise<LegalHold> {
  const audit = auditOf({ principal, runId, txn }, 'run.held', { reason, policies, policyDigest });
  return legalHolds.place(principal.tenant, { runId, reason, placedBy: whoOf(principal) }, audit);
}

/** From then on the retention decides again. */
export function releaseRun(
  { legalHolds }: Ports,
  { principal, policies, policyDigest, txn }: Authorization,
  runId: string,
): Promise<void> {
  const audit = auditOf({ principal, runId, txn }, 'run.released', { policies, policyDigest });
  return legalHolds.lift(principal.tenant, runId, audit);
}
