import { uuidv7 } from 'uuidv7';
import { describeBinding } from '../../domain/contracts/contract.ts';
import { type ErrorCode, WaybillError } from '../../domain/errors.ts';
import { claimsOfRequester } from '../../domain/grants/claimedRequester.ts';
import type { VerifiedGrant } from '../../domain/grants/grant.ts';
import { actionsOfRun } from '../../domain/grants/grant.ts';
import { scheduleLinksOf } from '../../domain/links.ts';
import { pipelineResourceOf } from '../../domain/policies/policy.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { GivenDelegation, ScheduleDraft } from '../../domain/ports/schedules.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Credential } from '../../domain/revocation.ts';
import { consentFailure } from '../../domain/schedules/consent.ts';
import {
  delegationMaxS as consentMaxS,
  credentialUnder,
  type DelegationClaims,
  delegationType,
  describeTerms,
  principalUnder,
} from '../../domain/schedules/delegation.ts';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import { type TermChange, termsDifference } from '../../domain/schedules/termsDifference.ts';
import { type Callback, describeCallback } from '../../domain/webhooks/callback.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';

/** Only the owner can consent, acting directly: an agent cannot consent for its person. */
export function mayConsent(principal: Principal, owner: Pick<Principal, 'id'>): boolean {
  return principal.id === owner.id && principal.actor === undefined;
}

/** Only the owner can resume what the owner has paused, directly or through the agent that they used to pause it. */
export function mayResume({ id, actor }: Principal, { owner, pausedBy }: Schedule): boolean {
  if (pausedBy?.id !== owner.id) return true;
  return id === owner.id && (actor === undefined || actor.id === pausedBy.actor?.id);
}

/** Signs what the caller agrees to. `sinceS`: from which times on; `lifetimeS`: for how long. */
export async function giveConsent(
  { grantSigner, policy }: Pick<ApplicationPorts, 'grantSigner' | 'policy'>,
  options: ApplicationOptions,
  {
    principal,
    credential,
    pipeline,
    draft,
  }: {
    principal: Principal;
    credential: Credential;
    pipeline: LoadedPipeline;
    draft: Pick<ScheduleDraft, 'id' | 'terms'>;
  },
  { sinceS, lifetimeS }: { sinceS?: number | undefined; lifetimeS?: number | undefined },
): Promise<GivenDelegation> {
  const nowS = Math.floor(Date.now() / 1000);
  const callback = consentCallback(draft, options);
  const claims: DelegationClaims = {
    iss: `urn:waybill:${options.instance}`,
    aud: 'waybill',
    iat: nowS,
    nbf: Math.min(sinceS ?? nowS, nowS),
    exp: nowS + consentLifetimeS(lifetimeS),
    jti: `dlg_${uuidv7()}`,
    sub: principal.id,
    req: claimsOfRequester(principal, credential, policy.roles),
    tenant: principal.tenant,
    schedule: draft.id,
    pipeline: pipeline.manifest.id,
    definitionDigest: pipeline.digest,
    ...(draft.terms.binds !== 'code' && { boundDigest: sha256(describeBinding(pipeline)) }),
    termsDigest: sha256(describeTerms(draft)),
    ...(callback && { callbackDigest: sha256(describeCallback(callback)) }),
  };
  const jws = await grantSigner.sign(claims, delegationType);
  return {
    id: claims.jti,
    owner: claims.sub,
    jws,
    givenAtS: claims.iat,
    expiresAtS: claims.exp,
    definitionDigest: claims.definitionDigest,
    boundDigest: claims.boundDigest ?? null,
    terms: draft.terms,
  };
}

/** What changed in the terms since the owner consented last; `null`: they never did, or their terms were not kept. */
export async function changesSinceConsent(
  { schedules }: Pick<ApplicationPorts, 'schedules'>,
  schedule: Schedule,
): Promise<TermChange[] | null> {
  const consented = await schedules.findConsentedTerms(schedule);
  return consented ? termsDifference(consented, schedule.terms) : null;
}

export { consentMaxS };

/** How long a consent lasts: as long as is asked for, and 90 days at most. */
export function consentLifetimeS(wantedS: number = consentMaxS): number {
  return Math.min(wantedS, consentMaxS);
}

/** Where the events of a schedule go, and the links in them; `null`: nowhere. */
export function consentCallback(
  { id, terms }: Pick<ScheduleDraft, 'id' | 'terms'>,
  { publicUrl }: ApplicationOptions,
): Callback | null {
  if (!terms.callback) return null;
  return { url: new URL(terms.callback.url).href, links: scheduleLinksOf(id, publicUrl) };
}

export type ConsentPorts = Pick<
  ApplicationPorts,
  'definitions' | 'deployments' | 'revocations' | 'policy' | 'schedules' | 'scheduler' | 'delegationVerifier'
>;

/** Under what a schedule runs today. */
export interface StandingConsent {
  claims: DelegationClaims;
  principal: Principal;
  credential: Credential;
  pipeline: LoadedPipeline;
  policies: readonly string[];
  policyDigest: string;
}

/**
 * Whether the owner’s consent holds now, and covers exactly what the schedule would do; else the code of why not. Throws what passes,
 * such as `RevocationsUnavailable`: then it cannot be known.
 */
export async function standingConsent(
  ports: ConsentPorts,
  schedule: Schedule,
): Promise<StandingConsent | { code: ErrorCode }> {
  const { definitions, revocations, policy } = ports;
  const standing = await ports.schedules.findDelegation(schedule);
  const verified = standing && (await verify(ports, standing.jws));
  if (verified === 'invalid') return { code: 'DelegationInvalid' };
  const pipeline = definitions.find(schedule.pipeline);
  const actor = ports.scheduler;
  const principal = verified && principalUnder(verified.claims, actor);
  const credential = verified && credentialUnder(verified.claims, actor, verified.key);
  const decisions = () => {
    const resource = pipelineResourceOf(pipeline!.manifest, schedule.tenant);
    return (['schedule', ...actionsOfRun(pipeline!.manifest)] as const).map((action) =>
      policy.decide({ principal: principal!, action, resource }),
    );
  };
  const code = consentFailure({
    schedule,
    claims: verified?.claims,
    ended: standing?.ended ?? false,
    pipeline,
    boundDigest: pipeline && sha256(describeBinding(pipeline)),
    termsDigest: sha256(describeTerms(schedule)),
    nowS: Date.now() / 1000,
    isRevoked: () => revocations.find(credential!) !== undefined,
    isAllowed: () => decisions().every(({ allowed }) => allowed),
  });
  if (code) return { code };
  if (verified!.claims.definitionDigest !== pipeline!.digest) await checkApplied(ports, pipeline!);
  const policies = [...new Set(decisions().flatMap((decision) => decision.policies))];
  return {
    claims: verified!.claims,
    principal: principal!,
    credential: credential!,
    pipeline: pipeline!,
    policies,
    policyDigest: policy.digest,
  };
}

/** Other code than the owner saw counts within a version, once `apply` has vouched for it. Throws `DefinitionNotApplied`. */
async function checkApplied(
  { deployments }: Pick<ConsentPorts, 'deployments'>,
  { manifest, digest }: LoadedPipeline,
): Promise<void> {
  if (await deployments.isApplied(manifest.id, digest)) return;
  throw new WaybillError('DefinitionNotApplied', { detail: `${manifest.id} as ${digest}` });
}

async function verify(
  { delegationVerifier }: ConsentPorts,
  jws: string,
): Promise<VerifiedGrant<DelegationClaims> | 'invalid'> {
  try {
    return await delegationVerifier.verify(jws);
  } catch (error) {
    if (error instanceof WaybillError && !error.retryable) return 'invalid';
    throw error;
  }
}
