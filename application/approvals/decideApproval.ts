import { type Approval, type RecordedDecision, refusalOf } from '../../domain/approvals/approval.ts';
import { auditOf } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import { requesterOf } from '../../domain/principal.ts';
import { type Authorization, rejectApprover } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { checkForm } from './decisionForm.ts';
import { type DecisionInput, mintDecision } from './mintDecision.ts';

type Ports = Pick<ApplicationPorts, 'approvals' | 'grantSigner' | 'auditLog' | 'policy' | 'definitions'>;

export interface SignedDecision {
  decision: RecordedDecision;
  /** As it was signed. */
  token: string;
}

/**
 * Signs what an approver decides and has the relay carry it to the run: repeat, check, mint, submit. Throws `ApprovalEnded`,
 * `ApprovalChanged`, `FormInvalid`, `DefinitionUnavailable`, and why the caller may not decide, which is audited.
 */
export async function decideApproval(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  input: DecisionInput,
): Promise<SignedDecision> {
  const { principal, policies, policyDigest, txn } = authorization;
  const approval = authorization.approval!;
  const same = repeated(approval, authorization, input);
  if (same) return signed(ports, approval, same);
  const { digest, ...rest } = input;
  const code = refusalOf(approval, { principal, allowed: true, digest });
  if (code) await reject(ports, code, authorization);
  checkForm(approval.form, input);
  checkDefinition(ports, approval, input);
  const { id, jws } = await mintDecision(ports, options, approval, input, authorization);
  const decision = { id, by: requesterOf(principal), ...rest };
  const { tenant, runId } = approval;
  const detail = { approval: approval.id, decision: id, vote: rest.vote, digest, policies, policyDigest };
  const audit = auditOf({ principal, runId, txn }, 'decision.submitted', detail);
  const recorded = await ports.approvals
    .submit({ tenant, approval: approval.id, runId, digest, decision, jws }, audit)
    .catch((error) => afterConcurrent(ports, error, input, authorization));
  return signed(ports, approval, recorded);
}

/** An approval that no worker can act on would only suspend the run. A rejection needs no code. */
function checkDefinition(
  { definitions }: Pick<Ports, 'definitions'>,
  { shown: { pipeline, definitionDigest } }: Approval,
  { vote }: DecisionInput,
): void {
  if (vote === 'reject' || definitions.find(pipeline, definitionDigest)) return;
  const message = 'The run was accepted with code that is not deployed. Deploy it again, or cancel the run.';
  throw new WaybillError('DefinitionUnavailable', { issues: [{ path: '', message }] });
}

async function signed(
  { approvals }: Ports,
  { tenant }: Approval,
  decision: RecordedDecision,
): Promise<SignedDecision> {
  return { decision, token: await approvals.findSigned(tenant, decision.id) };
}

/** The same decision that this approver has made already, unless it was rejected. */
function repeated(
  approval: Approval,
  { principal }: Authorization,
  { vote, digest, comment, form }: DecisionInput,
): RecordedDecision | undefined {
  const before = approval.decisions.find(
    ({ by, counted }) => by.id === principal.id && typeof counted !== 'string',
  );
  const wanted = canonicalJson([vote, digest, comment, form]);
  return before && canonicalJson([before.vote, approval.digest, before.comment, before.form]) === wanted
    ? before
    : undefined;
}

/** Another request of the same approver came first: with the same decision, or with another one. */
async function afterConcurrent(
  ports: Ports,
  error: unknown,
  input: DecisionInput,
  authorization: Authorization,
): Promise<RecordedDecision> {
  if (!(error instanceof WaybillError) || error.code !== 'ApproverHasDecided') throw error;
  const found = await ports.approvals.find(authorization.principal.tenant, authorization.approval!.id);
  return repeated(found!.approval, authorization, input) ?? reject(ports, error.code, authorization);
}

/** A caller who may not decide is audited; one who came too late is not. */
async function reject(
  ports: Ports,
  code: NonNullable<ReturnType<typeof refusalOf>>,
  authorization: Authorization,
): Promise<never> {
  if (code === 'ApprovalEnded' || code === 'ApprovalChanged') throw new WaybillError(code);
  return rejectApprover(ports, code, authorization);
}
