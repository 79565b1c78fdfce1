import { z } from 'zod';
import { handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { exchange } from '../token/exchange.ts';
import { TokenForm } from '../token/tokenForm.ts';

export function token(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Exchanges the grant of a run for a token of one of its steps (RFC 8693)',
      description:
        'For workloads of this Waybill, which prove themselves by `private_key_jwt`. The token is a Transaction Token ' +
        'of at most five minutes, for one audience. Refusals are those of OAuth, with our `code` beside them.',
      tags: ['identity'],
      consumes: ['application/x-www-form-urlencoded'],
      body: TokenForm,
      response: {
        200: z.object({
          access_token: z.string(),
          issued_token_type: z.string(),
          token_type: z.literal('Bearer'),
          expires_in: z.int().describe('Seconds.'),
          scope: z.string(),
        }),
      },
    },
    async ({ body, reply }) =>
      reply.header('cache-control', 'no-store').send(await exchange(ports, options, body)),
  );
}
