import { compactVerify, errors } from 'jose';
import type { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { VerifiedGrant } from '../../domain/grants/grant.ts';
import { GrantClaims } from '../../domain/grants/grant.ts';
import type { GrantVerifier } from '../../domain/ports/grants.ts';
import { type GrantForm, readGrantForm } from './grantForm.ts';
import type { KeyRoots } from './keyRoots.ts';
import { createPublishedKeys, type KeySource, type PublishedKey } from './publishedKeys.ts';

export interface GrantVerifierOptions<Claims> {
  /** Where the public keys are: the URL of a key set, or a source of keys. */
  keys: URL | KeySource;
  /** Roots that must have endorsed each key at the URL; default: each published key counts. */
  roots?: KeyRoots | undefined;
  /** `iss` of the grants: `urn:waybill:<instance>`. */
  issuer: string;
  /** Which claims a grant has; default: those of a run. */
  schema?: z.ZodType<Claims>;
  /** `typ` of the protected header; default: a grant’s. */
  type?: string;
  /** Milliseconds; default: the clock of this process. */
  now?: () => number;
}

/** The attempts of one run come one after the other, each with the same text. */
const verifiedMaxMs = 60_000;
const verifiedGrantsMax = 1_000;

interface Verified<Claims> {
  form: GrantForm;
  claims: Claims;
  atMs: number;
}

/**
 * Verifies by public keys alone: form, algorithm, type, key, signature, issuer, claims, in this order, each with a code of
 * its own. Expiry is not judged here but by the checks of a step, which know what follows from it.
 *
 * The signature of a text that verified is good for a minute: its key is looked up each time, and a key is named by its digest.
 */
export function createGrantVerifier<Claims = GrantClaims>(
  options: GrantVerifierOptions<Claims>,
): GrantVerifier<Claims> {
  const now = options.now ?? (() => performance.now());
  const keys =
    options.keys instanceof URL ? createPublishedKeys(options.keys, { roots: options.roots }) : options.keys;
  const schema = options.schema ?? (GrantClaims as unknown as z.ZodType<Claims>);

  const verified = new Map<string, Verified<Claims>>();

  return {
    async verify(grant): Promise<VerifiedGrant<Claims>> {
      const known = verified.get(grant);
      if (known && now() - known.atMs < verifiedMaxMs) {
        await findKey(keys, known.form);
        return { claims: known.claims, key: known.form.kid };
      }
      const form = readGrantForm(grant, options.type);
      const key = await findKey(keys, form);
      await verifySignature(grant, key);
      checkIssuer(form, options.issuer);
      const claims = schema.safeParse(form.payload);
      if (claims.success) {
        verified.delete(grant);
        if (verified.size >= verifiedGrantsMax) verified.delete(verified.keys().next().value!);
        verified.set(grant, { form, claims: claims.data, atMs: now() });
        return { claims: claims.data, key: key.kid };
      }
      const detail = claims.error.issues
        .map(({ path, message }) => `${path.join('.')}: ${message}`)
        .join('; ');
      throw new WaybillError('GrantMalformed', { detail });
    },
  };
}

/** A key that has retired still verifies what it signed before, so that no run ends because keys rotate. */
async function findKey(keys: KeySource, { kid, payload }: GrantForm): Promise<PublishedKey> {
  const key = await keys.find(kid);
  if (!key) throw new WaybillError('GrantKeyNotFound', { detail: kid.slice(0, 100) });
  const { iat } = payload;
  if (key.retiredAtS !== undefined && !(typeof iat === 'number' && iat < key.retiredAtS))
    throw new WaybillError('GrantKeyRetired', { detail: `${kid} retired at ${key.retiredAtS}` });
  return key;
}

async function verifySignature(grant: string, { key }: PublishedKey): Promise<void> {
  try {
    await compactVerify(grant, key, { algorithms: ['EdDSA'] });
  } catch (error) {
    if (error instanceof errors.JOSEError)
      throw new WaybillError('GrantInvalid', { detail: error.code, cause: error });
    throw error;
  }
}

function checkIssuer({ payload: { iss, aud } }: GrantForm, issuer: string): void {
  if (iss === issuer && aud === 'waybill') return;
  throw new WaybillError('GrantIssuerMismatch', { detail: `iss ${String(iss)}, aud ${String(aud)}` });
}
