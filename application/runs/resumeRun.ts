import { uuidv7 } from 'uuidv7';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { principalOf, successorOf } from '../../domain/grants/grant.ts';
import { differenceFrom } from '../../domain/grants/grantedRun.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';

type Ports = Pick<ApplicationPorts, 'runs' | 'grantVerifier' | 'grantSigner' | 'revocations' | 'scheduler'>;

/**
 * Has a suspended run check again whether it may go on. Its requester gives it a new grant with that, with the roles of today; any
 * other caller only asks for the check. Throws `RunNotSuspended`, `GrantMismatch`, `GrantRevoked`.
 */
export async function resumeRun(ports: Ports, authorization: Authorization): Promise<Run> {
  const { principal, policies, txn } = authorization;
  const run = authorization.run!;
  if (run.state !== 'suspended') throw new WaybillError('RunNotSuspended');
  const successor = isRequester(principal, run, ports.scheduler.id)
    ? await mintSuccessor(ports, run, authorization)
    : undefined;
  const audit = auditOf({ principal, runId: run.id, txn }, 'run.resume-requested', {
    policies,
    ...(successor && { grant: successor.id, supersedes: successor.supersedes }),
  });
  return ports.runs.requestResume({ tenant: run.tenant, runId: run.id }, successor, audit);
}

/** The same principal and the same actor. The run of a schedule is its owner’s, who consented in person. */
function isRequester(
  { id, actor }: Principal,
  { requestedBy }: Pick<Run, 'requestedBy'>,
  scheduler: string,
): boolean {
  const acting = requestedBy.actor?.id === scheduler ? undefined : requestedBy.actor?.id;
  return id === requestedBy.id && actor?.id === acting;
}

/** The grant before is verified as a worker would: a record in the database proves nothing. */
async function mintSuccessor(
  { runs, grantVerifier, grantSigner, revocations, scheduler }: Ports,
  { id: runId, tenant }: Run,
  { principal, credential: { issuedAtS }, policyDigest }: Authorization,
): Promise<{ id: string; grant: string; supersedes: string }> {
  const { claims } = await grantVerifier.verify(await runs.findGrant({ tenant, runId }));
  // By what was signed: the record may have been changed.
  if (!isRequester(principal, { requestedBy: requesterOf(principalOf(claims)) }, scheduler.id))
    throw new WaybillError('GrantMismatch', { detail: `requester of ${runId}` });
  // A revoked grant is restored by an operator, not by asking for another one.
  if (revocations.find({ tenant, principals: [], issuedAtS: 0, grants: [claims.jti, runId] }))
    throw new WaybillError('GrantRevoked');
  const facts = await runs.findOpen(tenant, runId);
  if (!facts) throw new WaybillError('RunNotSuspended');
  const differs =
    claims.tctx.workflowId === runId ? differenceFrom(claims, facts, (text) => sha256(text)) : 'id';
  if (differs) throw new WaybillError('GrantMismatch', { detail: `${differs} of ${runId}` });
  const id = uuidv7();
  const iat = Math.floor(Date.now() / 1000);
  const grant = await grantSigner.sign(
    successorOf(claims, { jti: id, iat, issuedAtS, roles: principal.roles, policyDigest }),
  );
  return { id, grant, supersedes: claims.jti };
}
