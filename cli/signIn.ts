import type { Configuration } from 'openid-client';
import { z } from 'zod';
import { CliError } from './context.ts';
import type { Login } from './logins.ts';

/** What the API says of itself (RFC 9728). Throws `CliError`. */
export async function issuersOf(apiUrl: string): Promise<string[]> {
  const url = `${apiUrl.replace(/\/$/, '')}/.well-known/oauth-protected-resource`;
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' }).catch(
    () => {
      throw new CliError(`Waybill does not answer at ${apiUrl}. Is it running?`);
    },
  );
  const parsed = ProtectedResource.safeParse(await response.json().catch(() => undefined));
  if (!response.ok || !parsed.success) throw new CliError(`What answers at ${apiUrl} is no Waybill.`);
  const { resource, authorization_servers } = parsed.data;
  // RFC 9728, section 3.3: an answer about another resource is not to be used.
  if (new URL(resource).href !== new URL(apiUrl).href)
    throw new CliError(
      `The API at ${apiUrl} calls itself ${resource}: set WAYBILL_API_URL to that.`,
      'usage',
    );
  return authorization_servers;
}

const timeoutMs = 10_000;

const ProtectedResource = z.object({ resource: z.url(), authorization_servers: z.array(z.url()) });

/**
 * The device authorization grant (RFC 8628): `show` tells the person where to sign in; resolves once they have. Throws
 * `CliError`, `refused` where they declined.
 */
export async function signIn(
  { issuer, clientId, scope }: { issuer: string; clientId: string; scope: string | undefined },
  show: (page: { url: string; code: string }) => void,
  signal: AbortSignal,
): Promise<Login> {
  const oidc = await import('openid-client');
  const provider = await discover(issuer, clientId);
  const { device_authorization_endpoint, scopes_supported = [] } = provider.serverMetadata();
  if (!device_authorization_endpoint)
    throw new CliError(`${issuer} has no device flow. Get a token otherwise and set WAYBILL_TOKEN.`);
  const offline = scopes_supported.includes('offline_access') ? ' offline_access' : '';
  try {
    const device = await oidc.initiateDeviceAuthorization(provider, { scope: scope ?? `openid${offline}` });
    show({ url: device.verification_uri_complete ?? device.verification_uri, code: device.user_code });
    return loginOf(
      issuer,
      clientId,
      await oidc.pollDeviceAuthorizationGrant(provider, device, undefined, { signal }),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw failureOf(issuer, error);
  }
}

/** Throws `CliError`, `refused` where the login has ended. */
export async function renew({ issuer, clientId, refreshToken }: Login): Promise<Login> {
  if (refreshToken === undefined) throw ended();
  const oidc = await import('openid-client');
  const provider = await discover(issuer, clientId);
  try {
    const renewed = loginOf(issuer, clientId, await oidc.refreshTokenGrant(provider, refreshToken));
    return { refreshToken, ...renewed };
  } catch (error) {
    throw errorIn(error) === 'invalid_grant' ? ended() : failureOf(issuer, error);
  }
}

/** RFC 7009. `false` where the issuer offers no way. Throws `CliError`. */
export async function revokeTokens({ issuer, clientId, refreshToken, accessToken }: Login): Promise<boolean> {
  const oidc = await import('openid-client');
  const provider = await discover(issuer, clientId);
  if (!provider.serverMetadata().revocation_endpoint) return false;
  try {
    await oidc.tokenRevocation(provider, refreshToken ?? accessToken);
    return true;
  } catch (error) {
    // An access token that is a JWT often cannot be revoked by itself; it ends soon enough.
    if (errorIn(error) === 'unsupported_token_type') return false;
    throw failureOf(issuer, error);
  }
}

async function discover(issuer: string, clientId: string): Promise<Configuration> {
  const oidc = await import('openid-client');
  const url = new URL(issuer);
  try {
    return await oidc.discovery(url, clientId, undefined, oidc.None(), {
      timeout: timeoutMs / 1000,
      execute: url.protocol === 'http:' ? [oidc.allowInsecureRequests] : [],
    });
  } catch (error) {
    throw failureOf(issuer, error);
  }
}

interface Tokens {
  access_token: string;
  refresh_token?: string;
  expires_in?: number;
}

function loginOf(
  issuer: string,
  clientId: string,
  { access_token, refresh_token, expires_in }: Tokens,
): Login {
  return {
    issuer,
    clientId,
    accessToken: access_token,
    // RFC 6749, section 5.1: recommended only.
    expiresAt: new Date(Date.now() + (expires_in ?? 300) * 1000).toISOString(),
    ...(refresh_token !== undefined && { refreshToken: refresh_token }),
  };
}

function errorIn(error: unknown): string | undefined {
  return error instanceof Error && 'error' in error ? String(error.error) : undefined;
}

function ended(): CliError {
  return new CliError('Your login has ended. Sign in again: waybill login.', 'denied');
}

function failureOf(issuer: string, error: unknown): CliError {
  const code = errorIn(error);
  if (code === 'access_denied') return new CliError('The sign-in was declined.', 'denied');
  if (code === 'expired_token') return new CliError('The code was not used in time. Try again.');
  const { error_description: said } = error as { error_description?: string };
  if (code !== undefined) return new CliError(`${issuer} refuses: ${said ?? code}.`, 'denied');
  const cause = (error as Error).cause;
  const why = cause instanceof Error ? cause.message : (error as Error).message;
  return new CliError(`${issuer} does not answer as an OpenID provider: ${why}.`);
}
