import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import { handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

/**
 * OpenID Connect Back-Channel Logout 1.0: an identity provider says that somebody has signed out. The token that it sends
 * is what proves who asks.
 */
export function backchannelLogout({ logoutTokens, logoutRecords }: ApiPorts) {
  return handler(
    {
      summary: 'Takes note that somebody has signed out (OpenID Connect Back-Channel Logout 1.0)',
      description:
        'Whatever was issued to them until then is void within 10 s: their access tokens, and the grants of their runs, ' +
        'which are suspended until they have signed in again and resume them.',
      tags: ['identity'],
      consumes: ['application/x-www-form-urlencoded'],
      body: z.object({ logout_token: z.string().min(1) }),
      response: { 200: z.object({ status: z.literal('signed-out') }) },
    },
    async ({ body: { logout_token }, request, reply }) => {
      const logout = await logoutTokens.verify(logout_token);
      if (!(await logoutRecords.record(logout, request.traceId)))
        throw new WaybillError('LogoutTokenInvalid', { detail: 'it was seen before' });
      return reply.header('cache-control', 'no-store').send({ status: 'signed-out' });
    },
  );
}
