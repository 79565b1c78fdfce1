import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { principalKinds } from '../../domain/principal.ts';
import { SettingsError } from '../../domain/settings.ts';

/*
 * The trusted issuers of tokens, and what each may claim. The file of WAYBILL_ISSUERS has this shape; what it
 * leaves out is denied. docs/identity-providers.md has an entry for each common provider.
 */

/** A claim by its name or, where it is nested, by the path of names to it. */
const ClaimPath = z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(8)]);

/** A tenant becomes part of keys and names everywhere, so it is kept to characters that mean nothing anywhere. */
export const Tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
/**
 * Any list of names: a directory lists all groups of a user, and policies ignore those that they do not declare. Only its total
 * length is limited, far above what fits into the headers of a request.
 */
export const Roles = z
  .array(z.string())
  .min(1)
  .refine((names) => names.reduce((sum, name) => sum + name.length, 0) <= roleCharactersMax);
const roleCharactersMax = 65_536;
export const Kind = z.enum(principalKinds);
/** OpenID Connect Core 1.0, section 2: at most 255 ASCII characters. So no two subjects can look alike. */
export const Subject = z.string().regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/);

function from<T extends z.ZodType>(value: T) {
  return z.union([
    z.strictObject({
      claim: ClaimPath,
      /** From a value of the claim to a value here. Other values are ignored. */
      map: z.record(z.string(), z.string()).optional(),
    }),
    z.strictObject({ value }),
  ]);
}

/** Which subjects of an issuer are accepted, and their tenant, roles and kind. */
const Caller = z
  .strictObject({
    /** All must hold, by `===`. */
    match: z
      .array(
        z.strictObject({ claim: ClaimPath, equals: z.union([z.string().min(1), z.number(), z.boolean()]) }),
      )
      .max(16)
      .default([]),
    tenant: from(Tenant).default({ claim: 'tenant' }),
    roles: from(Roles).default({ claim: 'roles' }),
    kind: from(Kind).default({ claim: 'kind' }),
    /** The claim that identifies the human behind the account. When set, a token without it is rejected. */
    person: z.strictObject({ claim: ClaimPath }).optional(),
    /** The actor for the subject (RFC 8693, section 4.1). Where this finds none, the claim `act` counts. */
    act: z
      .union([
        z.strictObject({ claim: ClaimPath }),
        z.strictObject({ value: z.strictObject({ sub: Subject, kind: Kind }) }),
      ])
      .default({ claim: 'act' }),
  })
  .refine(({ roles, match }) => 'claim' in roles || match.length > 0, {
    error: 'Fixed roles need a match. Without one, each user of this issuer would have them.',
  });

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

const TrustedIssuer = z
  .strictObject({
    /** Compared with `===` to the claim `iss` and to what discovery says. */
    issuer: z.url({ protocol: /^https?$/ }),
    /** What `aud` must name. */
    audience: z.string().min(1).default('waybill'),
    /** The header `typ`: `at+jwt` (RFC 9068), `JWT`, or none at all. Only workload issuers need the weaker ones. */
    tokenTypes: z
      .array(z.enum(['at+jwt', 'JWT', 'absent']))
      .min(1)
      .default(['at+jwt']),
    algorithms: z.array(z.enum(algorithms)).min(1).default(['RS256', 'ES256', 'PS256', 'EdDSA']),
    /** For which tenants it may speak. `any` only where no other issuer is trusted. */
    tenants: z.union([z.literal('any'), z.array(Tenant).min(1)]),
    /** The first that matches counts. */
    callers: z
      .array(Caller)
      .min(1)
      .default([Caller.parse({})]),
    /** Other issuers that subjects in `act` may belong to. */
    actorIssuers: z.array(z.string().min(1)).default([]),
    /** Client ids by which people sign in to Waybill there: the audience of its logout tokens. */
    clients: z.array(z.string().min(1)).default([]),
  })
  .refine(({ callers }) => callers.slice(0, -1).every(({ match }) => match.length > 0), {
    error: 'A caller without a match accepts every token. Make it the last.',
    path: ['callers'],
  })
  .refine(({ audience, clients, tokenTypes }) => tokenTypes.every(isAt) || !clients.includes(audience), {
    error:
      'With token types other than at+jwt, the audience must not be a client: its id tokens would pass as access tokens.',
    path: ['audience'],
  });

function isAt(type: string): boolean {
  return type === 'at+jwt';
}

export type TrustedIssuer = z.output<typeof TrustedIssuer>;
export type Caller = z.output<typeof Caller>;
export type ClaimPath = z.output<typeof ClaimPath>;

const IssuersFile = z
  .strictObject({ issuers: z.array(TrustedIssuer).min(1).max(100) })
  .refine(({ issuers }) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, {
    error: 'Each issuer appears once. Use its callers to tell subjects apart.',
    path: ['issuers'],
  })
  .refine(({ issuers }) => issuers.length === 1 || issuers.every(({ tenants }) => tenants !== 'any'), {
    error: 'With several issuers, list for which tenants each may speak.',
    path: ['issuers'],
  });

/** As an entry of the file has it, before what it leaves out is filled in. */
export type TrustedIssuerOptions = z.input<typeof TrustedIssuer>;

/** Throws `ZodError`, which says where they are wrong. */
export function parseIssuers(issuers: readonly TrustedIssuerOptions[]): TrustedIssuer[] {
  return IssuersFile.parse({ issuers }).issuers;
}

/** One issuer with claims of the standard names, which may speak for any tenant. */
export function onlyIssuer(issuer: string, audience: string): TrustedIssuer[] {
  return parseIssuers([{ issuer, audience, tenants: 'any', clients: ['waybill-cli'] }]);
}

/** Throws `SettingsError`, which says where the file is wrong. */
export async function readIssuers(file: string): Promise<TrustedIssuer[]> {
  const parsed = IssuersFile.safeParse(await readJson(file));
  if (parsed.success) return parsed.data.issuers;
  const { path, message } = parsed.error.issues[0]!;
  throw new SettingsError(`WAYBILL_ISSUERS, ${path.join('.') || file}: ${message}`);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new SettingsError(`WAYBILL_ISSUERS: ${error instanceof Error ? error.message : file}`);
  }
}
