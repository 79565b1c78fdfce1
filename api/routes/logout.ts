import { z } from 'zod';
import { recordLogout } from '../../application/identity/recordLogout.ts';
import { handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

/**
 * OpenID Connect Back-Channel Logout 1.0: an identity provider reports that a person has signed out. The token that it sends
 * is what proves who asks.
 */
export function backchannelLogout(ports: ApiPorts) {
  return handler(
    {
      summary: 'Records that a person has signed out (OpenID Connect Back-Channel Logout 1.0)',
      description:
        'Whatever was issued to them until then is void within 10 s: their access tokens, and the grants of their runs, ' +
        'which are suspended until they have signed in again and resume them.',
      tags: ['identity'],
      consumes: ['application/x-www-form-urlencoded'],
      body: z.object({ logout_token: z.string().min(1) }),
      response: { 200: z.object({ status: z.literal('signed-out') }) },
    },
    async ({ body: { logout_token }, request, reply }) => {
      await recordLogout(ports, logout_token, request.traceId);
      return reply.send({ status: 'signed-out' });
    },
  );
}
