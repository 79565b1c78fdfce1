import { ineligible, type RecordedDecision, tally } from '../domain/approvals/approval.ts';
import type { ApprovalCode } from '../domain/approvals/approvalTerms.ts';
import { approverOf, type DecisionClaims, type DecisionMessage } from '../domain/approvals/decision.ts';
import type { ApprovalManifest } from '../domain/approvals/gate.ts';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import type { VerifiedGrant } from '../domain/grants/grant.ts';
import { principalOf } from '../domain/grants/grant.ts';
import { type DefinitionFacts, pipelineResourceOf } from '../domain/policies/policy.ts';
import type { StandingApproval } from '../domain/ports/approvals.ts';
import { requesterOf } from '../domain/principal.ts';
import type { Credential } from '../domain/revocation.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { needsApproval, subjectBeforeIngest } from './approvalSubject.ts';
import type { Dependencies } from './dependencies.ts';
import { digestOf, requireDefinition, runOf } from './run.ts';

/** Runs that are known to be approved; an approval is never taken back. */
const approvedRuns = new Set<string>();
const approvedRunsMax = 1_000;

/**
 * The current run, for a step behind a gate before `ingest`: the step works only once the run is approved, which
 * the signatures prove and not the record. Throws `ApprovalRequired`.
 */
export async function approvedRun(deps: Dependencies): Promise<RunFacts> {
  const run = await runOf(deps);
  const { manifest } = requireDefinition(deps);
  if (manifest.approval?.before !== 'ingest' || approvedRuns.has(run.runId)) return run;
  const approval = await deps.approvals.find(run);
  const shown = subjectBeforeIngest(deps, run);
  if (approval?.state === 'waived') {
    if (needsApproval(deps, run, shown)) throw missing(run, 'it was waived, but is required');
  } else {
    if (approval?.digest !== digestOf(canonicalJson(shown))) throw missing(run, 'it is for another subject');
    const given = await signedApproval(deps, run, approval);
    if (given.some((one) => deps.revocations.find(credentialOfDecision(one))))
      throw missing(run, 'an approver is revoked');
    if (!given.every(({ claims }) => mayApprove(deps, manifest, claims)))
      throw missing(run, 'an approver is not permitted any more');
    if (!hasValidForms(deps, approval)) throw missing(run, 'its form is not complete');
  }
  if (approvedRuns.size >= approvedRunsMax) approvedRuns.delete(approvedRuns.values().next().value!);
  approvedRuns.add(run.runId);
  return run;
}

/**
 * The signed decisions that approve the run: over exactly this digest, by as many distinct people as the definition
 * asks for, each of them eligible, and no rejection. Nothing that a table or a workflow says about a decision is
 * trusted. Throws `ApprovalRequired`, `KeysUnavailable`.
 */
export async function signedApproval(
  deps: Dependencies,
  run: RunFacts,
  approval: StandingApproval,
): Promise<VerifiedGrant<DecisionClaims>[]> {
  const terms = requireDefinition(deps).manifest.approval!;
  if (approval.state !== 'approved') throw missing(run, `${approval.id} is ${approval.state}`);
  // The database escalated it by these terms and its own clock; no other process can write when.
  if (canonicalJson(approval.terms) !== canonicalJson(terms))
    throw missing(run, `${approval.id} was opened with other terms`);
  const counted = approval.decisions.filter(({ counted }) => counted === true);
  const signed = await Promise.all(counted.map(({ jws }) => verify(deps, run, jws)));
  const votes = signed.map(({ claims }, i) => {
    const problem =
      mismatch(deps, run, claims, approval) ??
      ineligibility(deps, terms, approval, claims) ??
      (isDetail(claims, counted[i]!) ? undefined : 'comment or form');
    if (problem) throw missing(run, `${claims.jti}: ${problem}`);
    return { vote: claims.tctx.vote, by: requesterOf(approverOf(claims)), counted: true as const };
  });
  if (tally(votes, terms.quorum) !== 'approved')
    throw missing(run, `${votes.length} signed votes are too few`);
  return signed;
}

/** Whether the current policy permits `approve` on the current run. Throws `PolicyUnavailable`. */
export function mayApprove(deps: Dependencies, definition: DefinitionFacts, claims: DecisionClaims): boolean {
  const principal = approverOf(claims);
  const { kind: _, tenant, ...pipeline } = pipelineResourceOf(definition, principal.tenant);
  const { sub: requestedBy } = deps.grant().claims;
  const resource = { kind: 'run', id: claims.tctx.workflowId, tenant, requestedBy, pipeline } as const;
  return deps.policy.decide({ principal, action: 'approve', resource }).allowed;
}

/**
 * Whether the form of every counted decision fits the schema in the definition’s code: a worker without that code has checked
 * only its JSON Schema.
 */
export function hasValidForms(deps: Dependencies, { decisions }: StandingApproval): boolean {
  const { form: asked } = requireDefinition(deps).approval;
  return decisions.every(({ counted, vote, form }) => counted !== true || isValidForm(asked, vote, form));
}

/** Whether comment and form are those that were signed. */
export function isDetail(
  { tctx }: DecisionClaims,
  { comment, form }: Pick<RecordedDecision, 'comment' | 'form'>,
): boolean {
  return digestOf(canonicalJson({ comment, form })) === tctx.detailDigest;
}

/** A rejection may omit the form. */
export function isValidForm(
  asked: ApprovalCode['form'],
  vote: DecisionClaims['tctx']['vote'],
  form: DecisionMessage['form'] | undefined,
): boolean {
  if (!asked) return form == null;
  return (vote === 'reject' && form == null) || asked.safeParse(form ?? {}).success;
}

/** The parts of a decision that may have been revoked. */
export function credentialOfDecision({ claims, key }: VerifiedGrant<DecisionClaims>): Credential {
  const { sub, req, tctx } = claims;
  return { tenant: tctx.tenant, principals: [sub], issuedAtS: req.iat, outlastsSession: true, key };
}

/** What differs between a decision and this run and approval, or `undefined`. */
export function mismatch(
  deps: Dependencies,
  run: RunFacts,
  { tctx }: DecisionClaims,
  approval?: Pick<StandingApproval, 'id' | 'digest'>,
): string | undefined {
  if (tctx.tenant !== run.tenant) return 'tenant';
  if (tctx.namespace !== deps.grant().claims.tctx.namespace) return 'namespace';
  if (tctx.workflowId !== run.runId) return 'workflow';
  if (approval && tctx.approval !== approval.id) return 'approval';
  if (approval && tctx.shownDigest !== approval.digest) return 'subject';
  return undefined;
}

/** After an escalation more roles may decide. Only the database writes that an approval is escalated (`process_approval_timers`). */
function ineligibility(
  deps: Dependencies,
  terms: ApprovalManifest,
  { escalated }: StandingApproval,
  claims: DecisionClaims,
): string | undefined {
  const by = escalated ? [...terms.by, ...terms.escalateTo] : terms.by;
  return ineligible({ requestedBy: principalOf(deps.grant().claims), by, decisions: [] }, approverOf(claims));
}

async function verify(
  { decisions }: Dependencies,
  run: RunFacts,
  jws: string,
): Promise<VerifiedGrant<DecisionClaims>> {
  try {
    return await decisions.verify(jws);
  } catch (error) {
    if (error instanceof WaybillError && error.retryable) throw error;
    throw missing(run, `a decision does not verify: ${error instanceof WaybillError ? error.code : error}`);
  }
}

function missing({ runId }: RunFacts, why: string): WaybillError {
  return new WaybillError('ApprovalRequired', { detail: `${runId}: ${why}` });
}
