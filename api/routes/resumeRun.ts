import { uuidv7 } from 'uuidv7';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { principalOf, successorOf } from '../../domain/grants/grant.ts';
import { differenceFrom } from '../../domain/grants/grantedRun.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Authorization } from '../gate.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { sha256 } from '../sha256.ts';

export function resumeRun(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a suspended run ask whether it may go on',
      description:
        'Whoever asked for the run gives it a new grant by this: with the roles that they have today, and for as long ' +
        'again. Anybody else only has it ask once more. Answers with the run as it is now; follow it to see it go on.',
      tags: ['runs'],
      params: byId,
      response: { 202: RunView },
    },
    async ({ admission, request, reply }) => {
      const run = admission.run!;
      if (run.state !== 'suspended') throw new WaybillError('RunNotSuspended');
      const successor = isRequester(admission.principal, run, ports.scheduler.id)
        ? await succeed(ports, run, admission)
        : undefined;
      const subject = { principal: admission.principal, runId: run.id, txn: request.traceId };
      const audit = auditOf(subject, 'run.resume-requested', {
        policies: admission.policies,
        ...(successor && { grant: successor.id, supersedes: successor.supersedes }),
      });
      const now = await ports.runs.requestResume({ tenant: run.tenant, runId: run.id }, successor, audit);
      return reply.code(202).send(runViewOf(now, options));
    },
  );
}

/**
 * The very principal, and the very one who acts for them, or nobody: a successor is never somebody else’s. What a schedule began
 * is its owner’s, who agreed to that in person.
 */
function isRequester(
  { id, actor }: Principal,
  { requestedBy }: Pick<Run, 'requestedBy'>,
  scheduler: string,
): boolean {
  const acting = requestedBy.actor?.id === scheduler ? undefined : requestedBy.actor?.id;
  return id === requestedBy.id && actor?.id === acting;
}

/** The grant before it is believed no more than a worker would: what stands in the database may be anybody’s. */
async function succeed(
  { runs, grantVerifier, grantSigner, revocations, scheduler }: ApiPorts,
  { id: runId, tenant }: Run,
  { principal, credential: { issuedAtS }, policyDigest }: Authorization,
): Promise<{ id: string; grant: string; supersedes: string }> {
  const { claims } = await grantVerifier.verify(await runs.findGrant({ tenant, runId }));
  // Not by the record alone, which somebody may have changed: by what was signed.
  if (!isRequester(principal, { requestedBy: requesterOf(principalOf(claims)) }, scheduler.id))
    throw new WaybillError('GrantMismatch', { detail: `requester of ${runId}` });
  // Whoever revoked this very grant did not mean it to be had again for the asking.
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
