import { z } from 'zod';
import { tokenKinds } from '../../domain/grants/stepToken.ts';

/** The one grant type of OAuth that is served here; by any other the request is `TokenKindUnsupported`. */
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** The fields of a token exchange (RFC 8693, section 2.1) of a client that proves itself by a JWT (RFC 7523, section 2.2). */
export const TokenForm = z.object({
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
export type TokenForm = z.infer<typeof TokenForm>;
