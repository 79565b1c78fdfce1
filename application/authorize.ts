import { ineligible } from '../domain/approvals/approval.ts';
import { auditOf } from '../domain/audit.ts';
import { type Denied, type ErrorCode, WaybillError } from '../domain/errors.ts';
import {
  type Action,
  type Decision,
  type Policy,
  pipelineResourceOf,
  type Question,
  type Resource,
  rolesThatMay,
  runResourceOf,
} from '../domain/policies/policy.ts';
import type { Identified } from '../domain/ports/authenticator.ts';
import type { Principal } from '../domain/principal.ts';
import type { Credential, StandingRevocation } from '../domain/revocation.ts';
import { type FoundResource, findResource, type ResourceKind, type ResourcePorts } from './findResource.ts';
import type { ApplicationOptions, ApplicationPorts } from './ports.ts';

/** What a caller asks for, and the token by which they ask. */
export interface AccessRequest {
  accessToken: string;
  /** What the policy is asked; `null` where the request touches nothing of others. */
  action: Action | null;
  resource: ResourceKind;
  /** Which one, in the caller’s own tenant. */
  id: string;
  /** W3C trace id. */
  txn: string;
  /** Where the request came in, for the audit. */
  route: string;
  /** Aborts when the caller gives the request up. */
  signal: AbortSignal;
}

/** A request that may go on: who asks, about what, and which policies allow it. */
export interface Authorization extends FoundResource {
  principal: Principal;
  /** What the caller relies on: the token, by what of it may have been revoked. */
  credential: Credential;
  /** W3C trace id of the request. */
  txn: string;
  /** Aborts when the caller gives the request up. */
  signal: AbortSignal;
  policies: readonly string[];
  /** Of the set that these are of. */
  policyDigest: string;
  /** For requests that take long. A revocation that is found is audited; throws where it cannot be known or recorded. */
  isRevoked(): Promise<boolean>;
  /** Of the token, in seconds since 1970; what goes on for longer needs another one. */
  expiresAtS: number;
}

type Ports = ResourcePorts &
  Pick<ApplicationPorts, 'authenticator' | 'principalDirectory' | 'auditLog' | 'policy' | 'revocations'>;

/**
 * Authorizes a request: identity, revocation, resource, policy, in this order. Each denial is audited. Throws `Unauthenticated`,
 * `TokenExpired`, `PrincipalRevoked`, `SignedOut`, `RevocationsUnavailable`, `Forbidden`, `PipelineNotFound`, `RunNotFound`,
 * `DeliveryNotFound`, `DeadLetterNotFound`, `ScheduleNotFound`, `ApprovalNotFound`, `ApprovalTampered` and, where the action is to decide,
 * `ApproverNotHuman`, `ApproverIsRequester`, `ApproverLacksRole`.
 */
export async function authorize(
  ports: Ports,
  options: Pick<ApplicationOptions, 'operatingTenant'>,
  access: AccessRequest,
): Promise<Authorization> {
  const { principal, issuedAtS, expiresAtS } = await identify(ports, access);
  const { txn, signal } = access;
  const credential = credentialOf(principal, issuedAtS);
  const find = () => findRevocation(ports, access, principal, credential);
  const revocation = await find();
  if (revocation) throw new WaybillError(revocation.issuedUntil === null ? 'PrincipalRevoked' : 'SignedOut');
  const isRevoked = async () => (await find()) !== undefined;
  const caller = { principal, credential, txn, signal, isRevoked, expiresAtS };
  // What a body names is authorized by the use case, which reads the body.
  if (
    access.resource === 'self' ||
    access.resource === 'named pipeline' ||
    access.resource === 'chosen letters'
  )
    return { ...caller, policies: [], policyDigest: ports.policy.digest };
  const found = await findResource(ports, access.resource, access.id, principal);
  if (access.action === 'approve') await checkApprover(ports, { principal, txn, ...found });
  const question = questionOf(options, access, principal, found);
  const { policies, digest } = await authorizeAction(ports, question, txn, found);
  return { ...caller, ...found, policies, policyDigest: digest };
}

/** Also for what a use case has to ask beside what its request says. Throws `Forbidden`, which is audited. */
export async function authorizeAction(
  { policy, auditLog }: Pick<Ports, 'policy' | 'auditLog'>,
  question: Question,
  txn: string,
  found: FoundResource = {},
): Promise<Decision> {
  const { principal, action } = question;
  const decision = policy.decide(question);
  if (decision.allowed) return decision;
  const detail = {
    action,
    resource: question.resource.kind,
    pipeline: found.pipeline?.manifest.id ?? found.run?.pipeline ?? null,
    policies: decision.policies,
    policyDigest: decision.digest,
  };
  const subject = { principal, runId: found.run?.id ?? null, txn };
  await auditLog.append(auditOf(subject, 'access.denied', detail, 'denied'));
  throw new WaybillError('Forbidden', { denied: deniedOf(policy, question) });
}

/** Rejects a caller who may not decide on an approval, and audits it. */
export async function rejectApprover(
  { auditLog, policy }: Pick<Ports, 'policy' | 'auditLog'>,
  code: ErrorCode,
  { principal, run, approval, txn }: Pick<Authorization, 'principal' | 'run' | 'approval' | 'txn'>,
): Promise<never> {
  const detail = {
    action: 'approve',
    resource: 'run',
    pipeline: run!.pipeline,
    approval: approval!.id,
    code,
    policies: [],
    policyDigest: policy.digest,
  };
  await auditLog.append(auditOf({ principal, runId: run!.id, txn }, 'access.denied', detail, 'denied'));
  throw new WaybillError(code);
}

/** Rejects a caller who may trigger the pipeline but has not asked for this run, and audits it. */
export async function rejectInput(
  { auditLog, policy }: Pick<Ports, 'policy' | 'auditLog'>,
  { principal, run, txn }: Pick<Authorization, 'principal' | 'run' | 'txn'>,
): Promise<never> {
  const detail = {
    action: 'trigger',
    resource: 'run',
    pipeline: run!.pipeline,
    policies: [],
    policyDigest: policy.digest,
  };
  await auditLog.append(auditOf({ principal, runId: run!.id, txn }, 'access.denied', detail, 'denied'));
  throw new WaybillError('Forbidden', {
    denied: {
      action: 'send',
      resource: `data of ${run!.id}`,
      ask: `${run!.requestedBy.subject}, its requester`,
    },
  });
}

async function identify(
  { authenticator, principalDirectory, auditLog }: Ports,
  { accessToken, action, route, txn }: AccessRequest,
): Promise<Extract<Identified, { outcome: 'placed' }>> {
  const identified = await authenticator.authenticate(accessToken);
  if (identified.outcome === 'placed') {
    principalDirectory.remember(identified.principal);
    return identified;
  }
  const { id, kind } = identified.who;
  await auditLog.append({
    action: 'access.denied',
    outcome: 'denied',
    tenant: null,
    actor: kind && { id, kind },
    runId: null,
    txn,
    detail: { principal: id, action, route, missing: identified.missing },
  });
  throw new WaybillError('Forbidden', { detail: `the token has no ${identified.missing}` });
}

/** A caller who is revoked, or who acts for a principal who is, may do nothing at all. */
async function findRevocation(
  { revocations, auditLog }: Ports,
  { action, route, txn }: AccessRequest,
  principal: Principal,
  credential: Credential,
): Promise<StandingRevocation | undefined> {
  const revocation = revocations.find(credential);
  if (!revocation) return undefined;
  const detail = { action, route, revocation: revocation.id };
  await auditLog.append(auditOf({ principal, runId: null, txn }, 'access.denied', detail, 'denied'));
  return revocation;
}

function credentialOf({ id, actor, tenant }: Principal, issuedAtS: number): Credential {
  return { tenant, principals: actor ? [id, actor.id] : [id], issuedAtS };
}

/** A caller who can never decide on this approval learns it whatever the policy says. What depends on the decision is checked with it. */
async function checkApprover(
  ports: Ports,
  about: Pick<Authorization, 'principal' | 'run' | 'approval' | 'txn'>,
): Promise<void> {
  const code = ineligible({ ...about.approval!, decisions: [] }, about.principal);
  if (code) await rejectApprover(ports, code, about);
}

function deniedOf(policy: Policy, { principal, action, resource }: Question): Denied {
  const { tenant } = principal;
  const asked = { principal, action: 'administer', resource: { kind: 'tenant', tenant } } as const;
  const administrators = rolesThatMay(policy, asked).join(' or ') || 'administrator';
  return {
    action,
    resource: nameOf(resource),
    ask: `a principal with the role ${administrators} in ${tenant}`,
  };
}

function nameOf(resource: Resource): string {
  if (resource.kind === 'instance') return 'this Waybill';
  return `${resource.kind} ${resource.kind === 'tenant' ? resource.tenant : resource.id}`;
}

function questionOf(
  { operatingTenant = '' }: Pick<ApplicationOptions, 'operatingTenant'>,
  { action, resource }: AccessRequest,
  principal: Principal,
  { pipeline, run, schedule, scheduled }: FoundResource,
): Question {
  const { tenant } = principal;
  if (!action) throw new WaybillError('Forbidden', { detail: 'the request has no action' });
  // The data of a run is a part of its trigger.
  if (run && action === 'trigger')
    return { principal, action, resource: pipelineResourceOf(run.definition, tenant) };
  if (run) return { principal, action, resource: runResourceOf(run) };
  if (pipeline) return { principal, action, resource: pipelineResourceOf(pipeline.manifest, tenant) };
  // A pipeline that is served no more is what it was when the schedule was saved.
  if (schedule) return { principal, action, resource: pipelineResourceOf(schedule.definition, tenant) };
  // Who may schedule the pipeline may have the events of its schedules sent again.
  if (scheduled)
    return {
      principal,
      action: action === 'resume' ? 'schedule' : action,
      resource: pipelineResourceOf(scheduled, tenant),
    };
  if (resource === 'instance')
    return { principal, action, resource: { kind: 'instance', tenant: operatingTenant } };
  return { principal, action, resource: { kind: 'tenant', tenant } };
}
