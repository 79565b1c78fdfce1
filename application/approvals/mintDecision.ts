import { uuidv7 } from 'uuidv7';
import type { Approval, RecordedDecision } from '../../domain/approvals/approval.ts';
import { type DecisionClaims, decisionType } from '../../domain/approvals/decision.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { claimsOfRequester } from '../../domain/grants/claimedRequester.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';

/** What an approver decides, about what they were shown. */
export interface DecisionInput extends Pick<RecordedDecision, 'vote' | 'comment' | 'form'> {
  digest: string;
}

/** The decision as the run will verify it: of this person, about exactly this, until the approval’s deadline. */
export async function mintDecision(
  { grantSigner, policy }: Pick<ApplicationPorts, 'grantSigner' | 'policy'>,
  { instance, namespace }: ApplicationOptions,
  approval: Approval,
  { vote, digest, comment, form }: DecisionInput,
  { principal, credential, txn }: Pick<Authorization, 'principal' | 'credential' | 'txn'>,
): Promise<{ id: string; jws: string }> {
  const roles = [...policy.roles, ...approval.by];
  const id = `dec_${uuidv7()}`;
  const claims: DecisionClaims = {
    iss: `urn:waybill:${instance}`,
    aud: 'waybill',
    iat: Math.floor(Date.now() / 1000),
    exp: Math.floor(Date.parse(approval.expiresAt) / 1000),
    jti: id,
    txn,
    sub: principal.id,
    req: { ...claimsOfRequester(principal, credential, roles), kind: 'person' },
    tctx: {
      tenant: approval.tenant,
      namespace,
      workflowId: approval.runId,
      approval: approval.id,
      shownDigest: digest,
      vote,
      detailDigest: sha256(canonicalJson({ comment, form })),
    },
  };
  return { id, jws: await grantSigner.sign(claims, decisionType) };
}
