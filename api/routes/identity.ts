import { z } from 'zod';
import { handler } from '../handler.ts';
import type { ApiOptions } from '../ports.ts';
import { RequesterView } from '../runView.ts';

const WhoamiView = RequesterView.extend({ tenant: z.string(), roles: z.array(z.string()) });

export function whoami() {
  return handler(
    {
      summary: 'Says who you are to Waybill',
      description: 'Every caller with a valid token may ask, whatever their roles.',
      tags: ['identity'],
      response: { 200: WhoamiView },
    },
    async ({ authorization: { principal } }) => ({ ...principal, roles: [...principal.roles] }),
  );
}

/** OAuth 2.0 Protected Resource Metadata (RFC 9728): where a client gets a token for this API. */
export function protectedResource({ publicUrl, authorizationServers = [] }: ApiOptions) {
  return handler(
    {
      summary: 'Where tokens for this API come from (RFC 9728)',
      tags: ['identity'],
      response: {
        200: z.object({
          resource: z.url(),
          authorization_servers: z.array(z.url()).describe('Issuers at which people sign in.'),
          bearer_methods_supported: z.tuple([z.literal('header')]),
        }),
      },
    },
    async ({ request, reply }) =>
      reply.header('cache-control', 'no-store').send({
        // Without a configured name the answer repeats the URL of the request, with which the client compares it.
        resource: publicUrl ?? `${request.protocol}://${request.host}`,
        authorization_servers: authorizationServers,
        bearer_methods_supported: ['header'],
      }),
  );
}
