import { z } from 'zod';
import { decideApproval } from '../../application/approvals/decideApproval.ts';
import { decisionViewOf, SignedDecisionView } from '../approvalView.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const DecisionRequest = z.strictObject({
  decision: z.enum(['approve', 'reject']),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe('`digest` of the approval as you were shown it.'),
  comment: z
    .string()
    .max(2_000)
    .refine((text) => !/[\0\p{Cs}]/u.test(text), 'Text may hold neither NUL nor half of a surrogate pair.')
    .optional(),
  form: z.record(z.string(), z.unknown()).optional().describe('What the approval asks for in its `form`.'),
});

export function decide(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Decides on an approval',
      description:
        'For people alone, other than those who asked for the run, with a role that is asked for, each once. Repeating a ' +
        'decision is safe. Answers once it is recorded, signed; the run then verifies it, and `counted` says so.',
      tags: ['approvals'],
      params: byId,
      body: DecisionRequest,
      response: { 202: SignedDecisionView },
    },
    async ({ body, authorization, reply }) => {
      const { decision, token } = await decideApproval(ports, options, authorization, {
        vote: body.decision,
        digest: body.digest,
        comment: body.comment ?? null,
        form: body.form ?? null,
      });
      return reply.code(202).send({ ...decisionViewOf(decision), token });
    },
  );
}
