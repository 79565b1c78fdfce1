import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Identified } from '../../domain/ports/authenticator.ts';
import { type Principal, principalId, roleNameMax } from '../../domain/principal.ts';
import type { SchedulerActor } from '../../domain/schedules/delegation.ts';
import {
  type Caller,
  type ClaimPath,
  Kind,
  Roles,
  Subject,
  Tenant,
  type TrustedIssuer,
} from './trustedIssuers.ts';

type Claims = Readonly<Record<string, unknown>>;

/**
 * The principal of a verified token (signature, issuer, audience, type, times). Claims are compared with `===`;
 * what is absent, or not of the form that is expected, is never filled in.
 */
export function callerOf(
  trusted: TrustedIssuer,
  claims: Claims & { sub: string; iat: number; exp: number },
): Identified {
  const { issuer } = trusted;
  const id = principalId(issuer, claims.sub);
  const unplaced = (missing: Unplaced['missing'], kind: Unplaced['who']['kind'] = null): Identified => ({
    outcome: 'unplaced',
    who: { id, kind },
    missing,
  });

  const caller = trusted.callers.find(({ match }) =>
    match.every(({ claim, equals }) => claimAt(claims, claim) === equals),
  );
  if (!caller) return unplaced('match');
  const kind = Kind.safeParse(valueFrom(caller.kind, claims));
  if (!kind.success) return unplaced('kind');
  const tenant = Tenant.safeParse(valueFrom(caller.tenant, claims));
  if (!tenant.success || !maySpeakFor(trusted, tenant.data)) return unplaced('tenant', kind.data);
  const roles = Roles.safeParse(valueFrom(caller.roles, claims));
  if (!roles.success) return unplaced('roles', kind.data);
  const person = personOf(caller, claims);
  if (person === 'unfit') return unplaced('person', kind.data);
  const actor = actorOf(trusted, caller, claims);
  if (actor === 'unfit') return unplaced('act', kind.data);
  return {
    outcome: 'placed',
    issuedAtS: claims.iat,
    expiresAtS: claims.exp,
    principal: {
      id,
      issuer,
      subject: claims.sub,
      kind: kind.data,
      tenant: tenant.data,
      roles: [...new Set(roles.data)].filter(isRoleName),
      ...(person !== undefined && { person }),
      ...(actor && { actor }),
    },
  };
}

type Unplaced = Extract<Identified, { outcome: 'unplaced' }>;

/** What `policies/roles.json` can declare and PostgreSQL can store. No policy can mean another name. */
function isRoleName(name: string): boolean {
  return name.length >= 1 && name.length <= roleNameMax && name.isWellFormed() && !name.includes('\0');
}

/** The actor of a firing: this Waybill, under a name that no token can have. */
export function schedulerOf(issuer: string): SchedulerActor {
  return { id: principalId(issuer, 'scheduler'), issuer, subject: 'scheduler', kind: 'service' };
}

function maySpeakFor({ tenants }: TrustedIssuer, tenant: string): boolean {
  return tenants === 'any' || tenants.some((one) => one === tenant);
}

function valueFrom(source: Caller['tenant'] | Caller['roles'] | Caller['kind'], claims: Claims): unknown {
  if ('value' in source) return source.value;
  const said = claimAt(claims, source.claim);
  const { map } = source;
  if (!map) return said;
  const meant = (one: unknown) => (typeof one === 'string' && Object.hasOwn(map, one) ? [map[one]] : []);
  return Array.isArray(said) ? said.flatMap(meant) : meant(said)[0];
}

/** Reads own properties of plain objects only; prototypes and lists have no claims. */
function claimAt(claims: Claims, path: ClaimPath): unknown {
  let at: unknown = claims;
  for (const name of [path].flat()) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, name))
      return undefined;
    at = (at as Claims)[name];
  }
  return at;
}

/** Independent of the issuer, so that accounts of one human at several issuers have the same id. */
function personOf({ person }: Caller, claims: Claims): string | 'unfit' | undefined {
  if (!person) return undefined;
  const said = Subject.safeParse(claimAt(claims, person.claim));
  if (!said.success) return 'unfit';
  return `per_${createHash('sha256').update(`person\0${said.data}`).digest('base64url').slice(0, 22)}`;
}

const Act = z.object({ sub: Subject, iss: z.string().optional(), kind: Kind.default('agent') });

/** An actor claim that cannot be parsed rejects the token. To ignore it would hide the actor. */
function actorOf(
  { issuer: own, actorIssuers }: TrustedIssuer,
  { act }: Caller,
  claims: Claims,
): Principal['actor'] | 'unfit' {
  const said = ('value' in act ? act.value : claimAt(claims, act.claim)) ?? claims.act;
  if (said === undefined) return undefined;
  const parsed = Act.safeParse(said);
  if (!parsed.success) return 'unfit';
  const { sub: subject, iss: issuer = own, kind } = parsed.data;
  if (issuer !== own && !actorIssuers.some((one) => one === issuer)) return 'unfit';
  return { id: principalId(issuer, subject), issuer, subject, kind };
}
