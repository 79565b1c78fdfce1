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
import type { Dependencies } from './index.ts';
import { definitionOf, digestOf, runOf } from './run.ts';
import { mustWait, shownBeforeIngest } from './shown.ts';

/** Runs of which it is known that they were let through; that is never taken back. */
const passed = new Set<string>();
const passedMax = 1_000;

/**
 * The run at hand, for a step that a gate before `ingest` stands before: it works only once people have let the run through, which
 * is asked of what they have signed and not of the record of it. Throws `ApprovalRequired`.
 */
export async function approvedRun(deps: Dependencies): Promise<RunFacts> {
  const run = await runOf(deps);
  const { manifest } = definitionOf(deps);
  if (manifest.approval?.before !== 'ingest' || passed.has(run.runId)) return run;
  const approval = await deps.approvals.find(run);
  const shown = shownBeforeIngest(deps, run);
  if (approval?.state === 'waived') {
    if (mustWait(deps, run, shown)) throw missing(run, 'it was waived, and would be asked for');
  } else {
    if (approval?.digest !== digestOf(canonicalJson(shown))) throw missing(run, 'another was given');
    const given = await signedApproval(deps, run, approval);
    if (given.some((one) => deps.revocations.find(credentialOfDecision(one))))
      throw missing(run, 'who gave it is revoked');
    if (!given.every(({ claims }) => mayApprove(deps, manifest, claims)))
      throw missing(run, 'who gave it may not any more');
    if (!isFilledIn(deps, approval)) throw missing(run, 'its form is not filled in');
  }
  if (passed.size >= passedMax) passed.delete(passed.values().next().value!);
  passed.add(run.runId);
  return run;
}

/**
 * What lets the run through, as each approver has signed it about exactly this digest: so many different people as the definition
 * asks for, each of them one that may decide, and nobody against it. Nothing that a table or a workflow says of a decision is
 * believed. Throws `ApprovalRequired`, and `KeysUnavailable` where it cannot be known.
 */
export async function signedApproval(
  deps: Dependencies,
  run: RunFacts,
  approval: StandingApproval,
): Promise<VerifiedGrant<DecisionClaims>[]> {
  const terms = definitionOf(deps).manifest.approval!;
  if (approval.state !== 'approved') throw missing(run, `${approval.id} is ${approval.state}`);
  const counted = approval.decisions.filter(({ counted }) => counted === true);
  const signed = await Promise.all(counted.map(({ jws }) => verify(deps, run, jws)));
  const votes = signed.map(({ claims }, i) => {
    const problem =
      mismatch(deps, run, claims, approval) ??
      unfit(deps, terms, approval, claims) ??
      (isDetail(claims, counted[i]!) ? undefined : 'comment or form');
    if (problem) throw missing(run, `${claims.jti}: ${problem}`);
    return { vote: claims.tctx.vote, by: requesterOf(approverOf(claims)), counted: true as const };
  });
  if (tally(votes, terms.quorum) !== 'approved')
    throw missing(run, `${votes.length} signed votes do not suffice`);
  return signed;
}

/** What the policy of now says of `approve` on the run at hand, by its definition. Throws `PolicyUnavailable`. */
export function mayApprove(deps: Dependencies, definition: DefinitionFacts, claims: DecisionClaims): boolean {
  const principal = approverOf(claims);
  const { kind: _, tenant, ...pipeline } = pipelineResourceOf(definition, principal.tenant);
  const { sub: requestedBy } = deps.grant().claims;
  const resource = { kind: 'run', id: claims.tctx.workflowId, tenant, requestedBy, pipeline } as const;
  return deps.policy.decide({ principal, action: 'approve', resource }).allowed;
}

/**
 * Whether all that counted was filled in as the code of the definition asks for: a worker that has other code by now has counted
 * it by its JSON Schema alone.
 */
export function isFilledIn(deps: Dependencies, { decisions }: StandingApproval): boolean {
  const { form: asked } = definitionOf(deps).approval;
  return decisions.every(({ counted, vote, form }) => counted !== true || fits(asked, vote, form));
}

/** Whether comment and form are those that were signed. */
export function isDetail(
  { tctx }: DecisionClaims,
  { comment, form }: Pick<RecordedDecision, 'comment' | 'form'>,
): boolean {
  return digestOf(canonicalJson({ comment, form })) === tctx.detailDigest;
}

/** Who rejects may leave it out. */
export function fits(
  asked: ApprovalCode['form'],
  vote: DecisionClaims['tctx']['vote'],
  form: DecisionMessage['form'] | undefined,
): boolean {
  if (!asked) return form == null;
  return (vote === 'reject' && form == null) || asked.safeParse(form ?? {}).success;
}

/** All of a decision that somebody may have revoked. */
export function credentialOfDecision({ claims, key }: VerifiedGrant<DecisionClaims>): Credential {
  const { sub, req, tctx } = claims;
  return { tenant: tctx.tenant, principals: [sub], issuedAtS: req.iat, outlastsSession: true, key };
}

/** In what a decision was signed for something else than this run and approval. */
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
  if (approval && tctx.shownDigest !== approval.digest) return 'what was shown';
  return undefined;
}

/** After an escalation others may decide too; that is the one thing that only the record of the approval says. */
function unfit(
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
