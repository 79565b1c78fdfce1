import type { FastifyRequest } from 'fastify';
import { type Approval, ineligible } from '../domain/approvals/approval.ts';
import { auditOf } from '../domain/audit.ts';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { type Denied, type ErrorCode, WaybillError } from '../domain/errors.ts';
import {
  type Decision,
  type DefinitionFacts,
  type Policy,
  pipelineResourceOf,
  type Question,
  type Resource,
  rolesThatMay,
  runResourceOf,
} from '../domain/policies/policy.ts';
import type { Identified } from '../domain/ports/authenticator.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Principal } from '../domain/principal.ts';
import type { Credential, StandingRevocation } from '../domain/revocation.ts';
import type { Run } from '../domain/runs/run.ts';
import { type Schedule, scheduleId } from '../domain/schedules/schedule.ts';
import type { Delivery } from '../domain/webhooks/webhookDelivery.ts';
import type { ApiOptions, ApiPorts } from './ports.ts';
import { unknownPipeline } from './readablePipelines.ts';
import type { Route } from './routeTable.ts';
import { sha256 } from './sha256.ts';

/** What the checks before a handler found out: who asks, about what, and which policies allowed it. */
export interface Authorization {
  principal: Principal;
  /** What the caller relies on: the token, by what of it may have been revoked. */
  credential: Credential;
  pipeline?: LoadedPipeline;
  run?: Run;
  delivery?: Delivery;
  /** Of a delivery that tells of a schedule: its pipeline. */
  scheduled?: DefinitionFacts;
  schedule?: Schedule;
  approval?: Approval;
  policies: readonly string[];
  /** Of the set that these are of. */
  policyDigest: string;
  /** For requests that take long. Where the caller is revoked, that is audited; throws where it cannot be known or recorded. */
  isRevoked(): Promise<boolean>;
  /** Of the token, in seconds since 1970; what goes on for longer needs another one. */
  expiresAtS: number;
}

/**
 * Identity, whether it was revoked, then the resource, then the policy, as the route’s row says; before a byte of the
 * body is read. Throws `Unauthenticated`, `TokenExpired`, `PrincipalRevoked`, `SignedOut`, `RevocationsUnavailable`, `Forbidden`,
 * `PipelineNotFound`, `RunNotFound`, `DeliveryNotFound`, `ScheduleNotFound`, `ApprovalNotFound`, `ApprovalTampered` and, of who is to decide, `ApproverNotAPerson`,
 * `ApproverIsRequester`, `ApproverLacksRole`. A denial is audited.
 */
export async function authorize(
  ports: ApiPorts,
  options: ApiOptions,
  route: Route,
  request: FastifyRequest,
): Promise<Authorization | undefined> {
  if (route.identity !== 'token') return undefined;
  const { principal, issuedAtS, expiresAtS } = await identify(ports, route, request);
  const credential = credentialOf(principal, issuedAtS);
  const find = () => findRevocation(ports, route, request, principal, credential);
  const revocation = await find();
  if (revocation) throw new WaybillError(revocation.issuedUntil === null ? 'PrincipalRevoked' : 'SignedOut');
  const isRevoked = async () => (await find()) !== undefined;
  // The pipeline that a body names is asked about by the handler, which knows it.
  if (route.resource === 'self' || route.resource === 'named pipeline')
    return { principal, credential, policies: [], policyDigest: ports.policy.digest, isRevoked, expiresAtS };
  const found = await findResource(ports, route, request, principal);
  if (route.action === 'approve') await refuseUnfit(ports, request, principal, found);
  const question = questionOf(options, route, principal, found);
  const { policies, digest } = await decide(ports, question, request, found);
  return { principal, credential, ...found, policies, policyDigest: digest, isRevoked, expiresAtS };
}

async function identify(
  ports: ApiPorts,
  route: Route,
  request: FastifyRequest,
): Promise<Extract<Identified, { outcome: 'placed' }>> {
  const identified = await ports.authenticator.authenticate(tokenOf(request));
  if (identified.outcome === 'placed') {
    ports.directory.remember(identified.principal);
    return identified;
  }
  const { id, kind } = identified.who;
  await ports.auditLog.append({
    action: 'access.denied',
    outcome: 'denied',
    tenant: null,
    actor: kind && { id, kind },
    runId: null,
    txn: request.traceId,
    detail: { principal: id, action: route.action, route: route.path, missing: identified.missing },
  });
  throw new WaybillError('Forbidden', { detail: `the token has no ${identified.missing}` });
}

/** Node keeps the first of several such headers and a proxy may look at the last, so there may be one alone. */
function tokenOf({ raw }: FastifyRequest): string {
  const [header = '', ...more] = raw.headersDistinct.authorization ?? [];
  const token = bearer.exec(header)?.[1];
  if (!token || more.length > 0)
    throw new WaybillError('Unauthenticated', { detail: 'not one bearer token' });
  return token;
}

const bearer = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** Whoever was revoked, or acts for somebody who was, may do nothing at all. */
async function findRevocation(
  ports: ApiPorts,
  route: Route,
  request: FastifyRequest,
  principal: Principal,
  credential: Credential,
): Promise<StandingRevocation | undefined> {
  const revocation = ports.revocations.find(credential);
  if (!revocation) return undefined;
  const detail = { action: route.action, route: route.path, revocation: revocation.id };
  const subject = { principal, runId: null, txn: request.traceId };
  await ports.auditLog.append(auditOf(subject, 'access.denied', detail, 'denied'));
  return revocation;
}

function credentialOf({ id, actor, tenant }: Principal, issuedAtS: number): Credential {
  return { tenant, principals: actor ? [id, actor.id] : [id], issuedAtS };
}

type Found = Pick<Authorization, 'pipeline' | 'run' | 'delivery' | 'approval' | 'schedule' | 'scheduled'>;

/** Of another tenant’s run the caller learns nothing, not even that it exists. */
async function findResource(
  ports: ApiPorts,
  route: Route,
  request: FastifyRequest,
  principal: Principal,
): Promise<Found> {
  const { runs, definitions, deliveries, approvals, schedules } = ports;
  const { id = '' } = request.params as { id?: string };
  if (route.resource === 'pipeline') {
    const pipeline = definitions.find(id);
    if (!pipeline) throw unknownPipeline(ports, principal, id);
    return { pipeline };
  }
  if (route.resource === 'run') {
    const run = runIdPattern.test(id) ? await runs.find(principal.tenant, id) : undefined;
    if (!run) throw new WaybillError('RunNotFound');
    return { run };
  }
  if (route.resource === 'delivery') {
    const found = deliveryIdPattern.test(id) ? await deliveries.find(principal.tenant, id) : undefined;
    if (!found) throw new WaybillError('DeliveryNotFound');
    return found;
  }
  if (route.resource === 'approval') {
    const found = approvalIdPattern.test(id) ? await approvals.find(principal.tenant, id) : undefined;
    if (!found) throw new WaybillError('ApprovalNotFound');
    const { shown, digest } = found.approval;
    // Nobody is to sign a digest of something else than they see, whoever has changed the record.
    if (sha256(canonicalJson(shown)) !== digest) throw new WaybillError('ApprovalTampered', { detail: id });
    return found;
  }
  if (route.resource === 'schedule') {
    const schedule = scheduleId.safeParse(id).success
      ? await schedules.find(principal.tenant, id)
      : undefined;
    if (!schedule) throw new WaybillError('ScheduleNotFound');
    const pipeline = definitions.find(schedule.pipeline);
    return { schedule, ...(pipeline && { pipeline }) };
  }
  return {};
}

/** PostgreSQL cannot even compare a string that holds a zero byte. */
const runIdPattern = /^[A-Za-z0-9._-]{1,200}$/;
const deliveryIdPattern = /^dlv_[0-9a-f-]{36}$/;
const approvalIdPattern = /^apr_[0-9a-f-]{36}$/;

/** Who may never decide is told so, whatever the policy says. What depends on the decision itself is asked by its handler. */
async function refuseUnfit(
  ports: ApiPorts,
  request: FastifyRequest,
  principal: Principal,
  { run, approval }: Found,
): Promise<void> {
  const unfit = ineligible({ ...approval!, decisions: [] }, principal);
  if (unfit) await refuseApprover(ports, unfit, { principal, run: run!, approval: approval!, request });
}

/** Somebody who may not decide, on record. */
export async function refuseApprover(
  { auditLog, policy }: ApiPorts,
  code: ErrorCode,
  about: Pick<Required<Authorization>, 'principal' | 'run' | 'approval'> & { request: FastifyRequest },
): Promise<never> {
  const { principal, run, approval, request } = about;
  const detail = {
    action: 'approve',
    resource: 'run',
    pipeline: run.pipeline,
    approval: approval.id,
    code,
    policies: [],
    policyDigest: policy.digest,
  };
  const subject = { principal, runId: run.id, txn: request.traceId };
  await auditLog.append(auditOf(subject, 'access.denied', detail, 'denied'));
  throw new WaybillError(code);
}

/** Also for what a handler must ask beside what its row says. Throws `Forbidden`, which is audited. */
export async function decide(
  { policy, auditLog }: ApiPorts,
  question: Question,
  request: FastifyRequest,
  found: Found = {},
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
  const subject = { principal, runId: found.run?.id ?? null, txn: request.traceId };
  await auditLog.append(auditOf(subject, 'access.denied', detail, 'denied'));
  throw new WaybillError('Forbidden', { denied: deniedOf(policy, question) });
}

function deniedOf(policy: Policy, { principal, action, resource }: Question): Denied {
  const { tenant } = principal;
  const asked = { principal, action: 'administer', resource: { kind: 'tenant', tenant } } as const;
  const administrators = rolesThatMay(policy, asked).join(' or ') || 'administrator';
  return { action, resource: nameOf(resource), ask: `whoever is ${administrators} in ${tenant}` };
}

function nameOf(resource: Resource): string {
  if (resource.kind === 'instance') return 'this Waybill';
  return `${resource.kind} ${resource.kind === 'tenant' ? resource.tenant : resource.id}`;
}

function questionOf(
  { operatingTenant = '' }: ApiOptions,
  { action, resource }: Route,
  principal: Principal,
  { pipeline, run, schedule, scheduled }: Found,
): Question {
  const { tenant } = principal;
  if (!action) throw new WaybillError('Forbidden', { detail: 'the route has no action' });
  if (run) return { principal, action, resource: runResourceOf(run) };
  if (pipeline) return { principal, action, resource: pipelineResourceOf(pipeline.manifest, tenant) };
  // A pipeline that is served no more is what it was when the schedule was saved.
  if (schedule) return { principal, action, resource: pipelineResourceOf(schedule.definition, tenant) };
  // Whoever may have a schedule may have what it tells sent again.
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
