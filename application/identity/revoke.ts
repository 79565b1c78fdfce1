import { type AuditEvent, auditOf, whoOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Question } from '../../domain/policies/policy.ts';
import type { RevocationScope } from '../../domain/ports/revocations.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Revocation, RevocationKind } from '../../domain/revocation.ts';
import { type Authorization, authorizeAction } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';

export interface RevocationRequest {
  kind: RevocationKind;
  id: string;
  reason: string | null;
  /** Also where it is the caller’s own right. */
  force: boolean;
}

type Ports = Pick<
  ApplicationPorts,
  'policy' | 'auditLog' | 'revocationRecords' | 'runs' | 'schedules' | 'grantSigner'
>;

/**
 * Revokes a right in the caller’s tenant, or a key: check, record, notice. `notice` says why this may not be what was meant. Throws
 * `SelfRevocation`, `Forbidden`, `RunNotFound`, `InvalidRequest`.
 */
export async function revoke(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  { kind, id, reason, force }: RevocationRequest,
): Promise<{ revocation: Revocation; created: boolean; notice: string | null }> {
  const { principal, txn } = authorization;
  if (kind === 'principal' && id === principal.id && !force) throw new WaybillError('SelfRevocation');
  // A key signs grants of all tenants, so the right within one tenant is not enough.
  if (kind === 'key') await authorizeAction(ports, onInstance(options, principal), txn);
  await checkTarget(ports, principal, kind, id);
  const revoked = await ports.revocationRecords.revoke(
    principal.tenant,
    { kind, target: id, issuedUntil: null, reason, revokedBy: whoOf(principal) },
    (revocation) => changeOf('revocation.created', revocation, authorization),
  );
  return { ...revoked, notice: await noticeOf(ports, principal, kind, id) };
}

/** Restores a right. Throws `RevocationNotFound`. */
export async function restore(
  ports: Pick<Ports, 'policy' | 'revocationRecords'>,
  options: ApplicationOptions,
  authorization: Authorization,
  id: string,
): Promise<Revocation> {
  const { principal } = authorization;
  const scope = revocationScopeOf(ports, options, principal);
  const lifted = await (/^rev_[\w-]{1,100}$/.test(id)
    ? ports.revocationRecords.lift(scope, id, whoOf(principal), (revocation) =>
        changeOf('revocation.lifted', revocation, authorization),
      )
    : undefined);
  if (!lifted) throw new WaybillError('RevocationNotFound');
  return lifted;
}

/** Which revocations the caller may see and lift. */
export function revocationScopeOf(
  { policy }: Pick<Ports, 'policy'>,
  options: ApplicationOptions,
  principal: Principal,
): RevocationScope {
  return { tenant: principal.tenant, keys: policy.decide(onInstance(options, principal)).allowed };
}

function onInstance({ operatingTenant = '' }: ApplicationOptions, principal: Principal): Question {
  return { principal, action: 'revoke', resource: { kind: 'instance', tenant: operatingTenant } };
}

/** A mistyped id would revoke nothing, without a word. Principals are not known before their first request. */
async function checkTarget(
  { runs, grantSigner, schedules }: Ports,
  { tenant }: Principal,
  kind: RevocationKind,
  id: string,
): Promise<void> {
  const isJti = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
  if (kind === 'grant' && !isJti && !(await runs.find(tenant, id))) throw new WaybillError('RunNotFound');
  if (kind === 'delegation' && !(await schedules.hasDelegation(tenant, id))) {
    const message = 'There is no such consent. GET /v1/schedules/{id} names that of a schedule.';
    throw new WaybillError('InvalidRequest', { issues: [{ path: '/id', message }] });
  }
  if (kind !== 'key') return;
  const { keys } = await grantSigner.publicKeys();
  if (keys.some((key) => 'kid' in key && key.kid === id)) return;
  const message = 'This Waybill has no such key. /.well-known/jwks.json lists them.';
  throw new WaybillError('InvalidRequest', { issues: [{ path: '/id', message }] });
}

/** A principal of another tenant, or a mistyped id, is revoked to no effect; it is revoked all the same, since it may come. */
async function noticeOf(
  { revocationRecords }: Ports,
  { tenant }: Principal,
  kind: RevocationKind,
  id: string,
): Promise<string | null> {
  if (kind !== 'principal' || (await revocationRecords.hasSeen(tenant, id)) !== false) return null;
  return `No principal of this id has done anything in tenant ${tenant} lately. Check the id. In other tenants nothing is revoked.`;
}

function changeOf(
  action: string,
  { id, kind, target, reason }: Revocation,
  { principal, policies, policyDigest, txn }: Authorization,
): AuditEvent {
  const subject = { principal, runId: kind === 'grant' ? target : null, txn };
  const detail = { revocation: id, kind, target, ...(reason !== null && { reason }), policies, policyDigest };
  return auditOf(subject, action, detail);
}
