import { type Configuration, errors, Provider } from 'oidc-provider';
import { cliClientId, devGrantType } from '../../cli/embedded/obtainToken.ts';
import { type DevPerson, findPerson, people } from '../../cli/embedded/people.ts';
import type { IdpKeys } from './idpKeys.ts';

/**
 * The identity provider of the embedded stack: a real OpenID provider with people for development. Three ways to a token:
 * authorization code with PKCE and device flow (the library's development login page: the name of a person, any
 * password), client credentials for `billing-service`, which proves itself by a key (`private_key_jwt`), and, FOR DEVELOPMENT ONLY, a grant type by which the CLI gets
 * a token for any of the people without a login (`--as NAME`).
 *
 * Access tokens are JWTs of RFC 9068 (`typ: at+jwt`, ES256) of one hour for the audience `waybill`.
 */
export function createIdp(
  issuer: string,
  audience: string,
  keys: IdpKeys,
  /** Where it reports that a user has signed out (OpenID Connect Back-Channel Logout 1.0). Default: nowhere. */
  logoutUrl?: string,
): Provider {
  const resourceServer = {
    audience,
    scope: 'waybill',
    accessTokenTTL: accessTokenTtlS,
    accessTokenFormat: 'jwt' as const,
    jwt: { sign: { alg: 'ES256' as const } },
  };
  const configuration: Configuration = {
    jwks: keys.jwks as NonNullable<Configuration['jwks']>,
    cookies: { keys: keys.cookies },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      {
        client_id: cliClientId,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', deviceGrantType, devGrantType],
        response_types: ['code'],
        // A native client may add any port (RFC 8252, 7.3).
        redirect_uris: ['http://127.0.0.1/callback'],
        ...(logoutUrl && { backchannel_logout_uri: logoutUrl }),
      },
      {
        client_id: 'billing-service',
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks: { keys: [keys.service] } as NonNullable<Configuration['jwks']>,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    // Without `offline_access`: a refresh token ends with the session of its login.
    scopes: ['openid', 'waybill'],
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    ttl: { AccessToken: accessTokenTtlS, ClientCredentials: accessTokenTtlS, IdToken: accessTokenTtlS },
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => waybillResource,
        useGrantedResource: () => true,
        getResourceServerInfo(_ctx, resource) {
          if (resource !== waybillResource) throw new errors.InvalidTarget();
          return resourceServer;
        },
      },
    },
    // By default it refuses to call this machine. Only our configuration names the addresses.
    fetch: (url, { dispatcher: _, ...options }: RequestInit & { dispatcher?: unknown } = {}) =>
      fetch(url, options),
    findAccount: (_ctx, id) => {
      const person = findPerson(id);
      return person?.kind === 'person' && !person.act
        ? { accountId: id, claims: () => ({ sub: id, ...claimsOf(person) }) }
        : undefined;
    },
    extraTokenClaims: (ctx, token) => {
      const name = ctx.oidc.params?.grant_type === devGrantType ? ctx.oidc.params.name : undefined;
      const subject = 'accountId' in token ? token.accountId : token.clientId;
      const person = findPerson(name ?? subject);
      return person && claimsOf(person);
    },
  };
  const provider = new Provider(issuer, configuration);
  registerDevGrant(provider, resourceServer);
  return provider;
}

const waybillResource = 'urn:waybill:api';
const deviceGrantType = 'urn:ietf:params:oauth:grant-type:device_code';
const accessTokenTtlS = 3600;

function claimsOf({ tenant, roles, kind, act }: DevPerson): Record<string, unknown> {
  return { tenant, roles, kind, ...(act && { act }) };
}

/** DEVELOPMENT ONLY: `name` is believed. A caller who reaches the port already owns this machine's Waybill. */
function registerDevGrant(
  provider: Provider,
  resourceServer: ConstructorParameters<Provider['ResourceServer']>[1],
): void {
  provider.registerGrantType<{ name?: string }>(
    devGrantType,
    async (ctx) => {
      // A browser says where a request comes from; a page may not fetch a token.
      if (!isLoopback(ctx.req.socket.remoteAddress) || ctx.get('origin')) {
        throw new errors.InvalidRequest('only a program on this machine may do that');
      }
      const person = findPerson(ctx.oidc.params.name);
      if (!person) throw new errors.InvalidRequest(`name must be one of: ${Object.keys(people).join(', ')}`);
      const token = new provider.AccessToken({
        client: ctx.oidc.client,
        accountId: person.subject,
        scope: 'waybill',
        gty: 'development-only',
        resourceServer: new provider.ResourceServer(waybillResource, resourceServer),
      } as ConstructorParameters<Provider['AccessToken']>[0]);
      const value = await token.save();
      ctx.body = { access_token: value, token_type: 'Bearer', expires_in: accessTokenTtlS, scope: 'waybill' };
    },
    ['name'],
  );
}

function isLoopback(address: string | undefined): boolean {
  return address === '127.0.0.1' || address === '::1' || address === '::ffff:127.0.0.1';
}
