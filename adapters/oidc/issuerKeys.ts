import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { WaybillError } from '../../domain/errors.ts';
import { keepSet } from '../keys/cachedKeySet.ts';

export type IssuerKeys = JWTVerifyGetKey;

const timeoutMs = 5_000;
/** Keys this old are asked for again; where that fails, they serve on. */
const freshForMs = 600_000;
/** An unknown `kid` causes at most one fetch in this time, however many tokens carry one. */
const cooldownMs = 30_000;
/** Without any key there is nothing to serve, so the next attempt comes sooner. */
const retryMs = 1_000;

/**
 * The public keys of one OIDC issuer, found by discovery. Nothing is fetched before the first token; then the
 * keys are fetched at most once at a time, kept, and refreshed when they are old or a key is unknown.
 * Throws `IdentityProviderUnavailable` as long as none were ever read.
 */
export function createIssuerKeys(issuer: string, now: () => number = () => performance.now()): IssuerKeys {
  const kept = keepSet({
    fetch: async () => createLocalJWKSet(await fetchKeys(issuer)),
    pauseMs: ({ empty }) => (empty ? retryMs : cooldownMs),
    now,
  });

  return async (header, token) => {
    if (kept.ageMs() > freshForMs) await kept.refresh();
    const find = kept.current();
    if (!find) {
      const failure = kept.failure();
      throw new WaybillError('IdentityProviderUnavailable', { detail: String(failure), cause: failure });
    }
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await kept.refresh();
      return kept.current()!(header, token);
    }
  };
}

/** OpenID Connect Discovery 1.0, section 4; the document must name exactly the issuer that was asked. */
async function fetchKeys(issuer: string): Promise<JSONWebKeySet> {
  const document = await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  if (document.issuer !== issuer) throw new Error(`discovery names issuer ${String(document.issuer)}`);
  return (await fetchJson(String(document.jwks_uri))) as unknown as JSONWebKeySet;
}

async function fetchJson(url: string): Promise<Record<string, unknown>> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error',
    headers: { accept: 'application/json' },
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return (await response.json()) as Record<string, unknown>;
}
