import { z } from 'zod';
import { exchangeToken, tokenExchange } from '../../application/identity/exchangeToken.ts';
import { tokenKinds } from '../../domain/grants/stepToken.ts';
import { handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

/** The fields of a token exchange (RFC 8693, section 2.1) of a client that proves itself by a JWT (RFC 7523, section 2.2). */
const TokenForm = z.object({
  grant_type: z.string().min(1).describe(`\`${tokenExchange}\``),
  subject_token: z.string().min(1).describe('The grant of a run that is open.'),
  subject_token_type: z.literal(tokenKinds.grant),
  requested_token_type: z.literal(tokenKinds.stepToken).optional(),
  audience: z.string().min(1).max(2_048).describe('The origin that is called.'),
  scope: z.string().min(1).max(100).describe('The step.'),
  client_assertion_type: z.literal('urn:ietf:params:oauth:client-assertion-type:jwt-bearer'),
  client_assertion: z.string().min(1).describe('Of a workload: good for 60 s at most, and for one request.'),
  client_id: z.string().optional().describe('Where given, the workload of the assertion.'),
});
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
    async ({ body, reply }) => reply.send(await exchangeToken(ports, options, body)),
  );
}
