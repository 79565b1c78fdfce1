import { uuidv7 } from 'uuidv7';
import { WaybillError } from '../../domain/errors.ts';
import type { VerifiedGrant } from '../../domain/grants/grant.ts';
import { actorOf } from '../../domain/grants/grant.ts';
import { failedCheck } from '../../domain/grants/grantChecks.ts';
import { differenceFrom } from '../../domain/grants/grantedRun.ts';
import {
  type StepTokenClaims,
  stepTokenClaims,
  stepTokenType,
  tokenKinds,
} from '../../domain/grants/stepToken.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';

/** The one grant type of OAuth that is served here; any other is `TokenTypeUnsupported`. */
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** A token exchange (RFC 8693, section 2.1) of a client that proves itself by a JWT (RFC 7523, section 2.2). */
export interface TokenRequest {
  grant_type: string;
  /** The grant of a run that is open. */
  subject_token: string;
  /** The origin that is called. */
  audience: string;
  /** The step. */
  scope: string;
  /** Of a workload: good for 60 s at most, and for one request. */
  client_assertion: string;
  /** Where given, the workload of the assertion. */
  client_id?: string | undefined;
}

type Ports = Pick<
  ApplicationPorts,
  'workloads' | 'grantVerifier' | 'runs' | 'authorizer' | 'grantSigner' | 'auditLog'
>;

/** The answer of a token exchange (RFC 8693, section 2.2.1). */
export interface IssuedToken {
  access_token: string;
  issued_token_type: typeof tokenKinds.stepToken;
  token_type: 'Bearer';
  /** Seconds. */
  expires_in: number;
  scope: string;
}

/**
 * A workload that holds the grant of an open run gets a token for one step and one audience. Who asks is found out first,
 * then whether the grant is genuine and of that run, then the very checks that stand before an attempt of the step.
 * A refusal that stands is audited; so is each token, without the token.
 */
export async function exchangeToken(
  ports: Ports,
  options: Pick<ApplicationOptions, 'namespace'>,
  request: TokenRequest,
): Promise<IssuedToken> {
  if (request.grant_type !== tokenExchange) throw new WaybillError('TokenTypeUnsupported');
  const workload = await identify(ports, request);
  let grant: VerifiedGrant | undefined;
  try {
    grant = await ports.grantVerifier.verify(request.subject_token);
    const run = await findRun(ports, grant);
    await admit(ports, options, grant, request.scope);
    checkAudience(request, run);
    return await issue(ports, grant, request, workload);
  } catch (error) {
    if (error instanceof WaybillError && !error.retryable)
      await ports.auditLog.append(refusalOf(error, request, workload, grant));
    throw error;
  }
}

async function identify(
  { workloads }: Ports,
  { client_assertion, client_id }: TokenRequest,
): Promise<string> {
  const workload = await workloads.authenticate(client_assertion);
  if (client_id === undefined || client_id === workload) return workload;
  throw new WaybillError('WorkloadUnauthenticated', { detail: `${workload} says that it is ${client_id}` });
}

async function findRun({ runs }: Ports, { claims }: VerifiedGrant): Promise<RunFacts> {
  const { tenant, workflowId } = claims.tctx;
  const run = await runs.findOpen(tenant, workflowId);
  if (!run) throw new WaybillError('TokenRequestInvalid', { detail: `${workflowId} is not open` });
  const differs = differenceFrom(claims, run, sha256);
  if (differs) throw new WaybillError('GrantMismatch', { detail: `${differs} differs from the record` });
  return run;
}

/** Only a source that is read as the caller gets a token, and only for the origin that the run names. */
function checkAudience({ audience, scope }: TokenRequest, { source }: RunFacts): void {
  const called = source.auth === 'caller' && source.url ? new URL(source.url).origin : undefined;
  if (scope !== 'fetch' || audience !== called)
    throw new WaybillError('TokenAudienceRefused', { detail: `${scope} for ${audience}` });
}

/** What would stand before an attempt of the step in the run’s own workflow. */
async function admit(
  { authorizer }: Ports,
  { namespace }: Pick<ApplicationOptions, 'namespace'>,
  grant: VerifiedGrant,
  step: string,
): Promise<void> {
  const { workflowId, workflowType } = grant.claims.tctx;
  const attempt = { namespace, workflowId, workflowType, activityType: step };
  const failed = await failedCheck({ grant, attempt, nowS: nowS(), authorizer });
  if (failed) throw new WaybillError(failed.code, { detail: `the check of ${failed.name} failed` });
}

async function issue(
  { grantSigner, auditLog, authorizer }: Ports,
  { claims: grant }: VerifiedGrant,
  { audience, scope: step }: TokenRequest,
  workload: string,
): Promise<IssuedToken> {
  const claims = stepTokenClaims(grant, { audience, step, workload, jti: uuidv7(), nowS: nowS() });
  const token = await grantSigner.sign(claims, stepTokenType);
  const { policies, digest } = authorizer.decide(grant, step);
  await auditLog.append({
    action: 'step-token.issued',
    outcome: 'success',
    tenant: grant.tctx.tenant,
    actor: actorOf(grant),
    runId: grant.tctx.workflowId,
    txn: grant.txn,
    detail: { ...factsOf(claims), grant: grant.jti, policies, policyDigest: digest },
  });
  return {
    access_token: token,
    issued_token_type: tokenKinds.stepToken,
    token_type: 'Bearer',
    expires_in: claims.exp - claims.iat,
    scope: step,
  };
}

function factsOf({ jti, aud, scope, req_wl, exp }: StepTokenClaims) {
  return { token: jti, audience: aud, step: scope, workload: req_wl, expiresAtS: exp };
}

/** Nothing that an unverified grant says is taken for true. */
function refusalOf(
  { code, detail: reason }: WaybillError,
  { audience, scope: step }: TokenRequest,
  workload: string,
  grant: VerifiedGrant | undefined,
) {
  const claims = grant?.claims;
  return {
    action: 'step-token.denied',
    outcome: 'denied' as const,
    tenant: claims?.tctx.tenant ?? null,
    actor: claims ? actorOf(claims) : null,
    runId: claims?.tctx.workflowId ?? null,
    txn: claims?.txn ?? null,
    detail: { code, reason: reason ?? null, audience, step, workload, ...(claims && { grant: claims.jti }) },
  };
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}
