import { refusalOf } from '../domain/approvals/approval.ts';
import { formSchemaOf } from '../domain/approvals/approvalForm.ts';
import { approverOf, type DecisionClaims, DecisionMessage } from '../domain/approvals/decision.ts';
import type { AuditEvent } from '../domain/audit.ts';
import { WaybillError } from '../domain/errors.ts';
import type { VerifiedGrant } from '../domain/grants/grant.ts';
import { principalOf } from '../domain/grants/grant.ts';
import type { StandingApproval } from '../domain/ports/approvals.ts';
import { requesterOf } from '../domain/principal.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { credentialOfDecision, isDetail, isValidForm, mayApprove, mismatch } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { type ApprovalStatus, approvalStatusOf } from './processApprovalTimers.ts';
import { audited, deployedOf, runOf } from './run.ts';

/**
 * Counts a decision or rejects it with a code; both are recorded. A housekeeping step: the approver acts by their signature, not by
 * the grant of the run. `null`: the run has no approval.
 */
export async function decideStep(
  deps: Dependencies,
  sent: DecisionMessage,
): Promise<{ counted: true | string; approval: ApprovalStatus | null }> {
  const run = await runOf(deps);
  const { counted, approval } = await decideOn(deps, run, sent);
  return { counted, approval: approval ? approvalStatusOf(approval) : null };
}

export async function decideOn(
  deps: Dependencies,
  run: RunFacts,
  sent: DecisionMessage,
): Promise<{ counted: true | string; approval: StandingApproval | undefined }> {
  const message = DecisionMessage.safeParse(sent);
  if (!message.success) return reject(deps, run, 'DecisionInvalid', 'malformed');
  const { token, comment, form } = message.data;
  const verified = await identify(deps, token);
  if (typeof verified === 'string') return reject(deps, run, 'DecisionInvalid', verified);
  const { claims } = verified;
  const other =
    mismatch(deps, run, claims) ?? (isDetail(claims, message.data) ? undefined : 'comment or form');
  if (other) return reject(deps, run, 'DecisionMismatch', other, claims.jti);
  const by = requesterOf(approverOf(claims));
  const refusal = checkDecision(deps, run, verified, form);
  const made = { claims, jws: token, by, comment, form, refusal };
  const decided = await deps.approvals.decide(run, made, (action, detail, outcome = 'success') => ({
    ...audited(deps, action, detail),
    outcome,
    actor: { id: by.id, kind: by.kind },
  }));
  return decided ?? reject(deps, run, 'DecisionMismatch', 'approval', claims.jti);
}

/** The verified decision, or the code of its fault. Throws `KeysUnavailable`. */
async function identify(
  { decisions }: Dependencies,
  token: string,
): Promise<VerifiedGrant<DecisionClaims> | string> {
  try {
    return await decisions.verify(token);
  } catch (error) {
    if (!(error instanceof WaybillError) || error.retryable) throw error;
    return error.code;
  }
}

/**
 * The current answer, in the order of checks on every path. It needs no code of the pipeline, which may be deployed again while
 * approvers decide: the record of the run has what the policy needs, and the approval has the form’s JSON Schema. The publishing
 * step checks both again with the code. Throws `RevocationsUnavailable`, `PolicyUnavailable`.
 */
function checkDecision(
  deps: Dependencies,
  { definition }: RunFacts,
  verified: VerifiedGrant<DecisionClaims>,
  filledIn: DecisionMessage['form'],
): (approval: StandingApproval) => string | undefined {
  const { claims } = verified;
  const code = deployedOf(deps)?.approval;
  const principal = approverOf(claims);
  const requestedBy = principalOf(deps.grant().claims);
  const revoked = deps.revocations.find(credentialOfDecision(verified)) !== undefined;
  const allowed = mayApprove(deps, definition, claims);
  return (approval) => {
    if (revoked) return 'PrincipalRevoked';
    const asked = { ...approval, requestedBy };
    const refusal = refusalOf(asked, { principal, allowed, digest: claims.tctx.shownDigest });
    if (refusal) return refusal;
    if (deps.nowS() >= claims.exp) return 'DecisionInvalid';
    const form = code ? code.form : formSchemaOf(approval.terms.form);
    return isValidForm(form, claims.tctx.vote, filledIn) ? undefined : 'FormInvalid';
  };
}

/** An unverified decision names no actor. */
async function reject(
  deps: Dependencies,
  run: RunFacts,
  code: 'DecisionInvalid' | 'DecisionMismatch',
  reason: string,
  decision?: string,
): Promise<{ counted: string; approval: StandingApproval | undefined }> {
  const event: AuditEvent = {
    ...audited(deps, 'decision.denied', { code, reason, ...(decision && { decision }) }),
    outcome: 'denied',
    actor: null,
  };
  await deps.audit.append(event);
  return { counted: code, approval: await deps.approvals.find(run) };
}
