import { z } from 'zod';
import { type Approval, type RecordedDecision, refusalOf } from '../../domain/approvals/approval.ts';
import { auditOf } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import { requesterOf } from '../../domain/principal.ts';
import { decisionViewOf, SignedDecisionView } from '../approvalView.ts';
import { checkForm } from '../decide/form.ts';
import { type Decided, mintDecision } from '../decide/mint.ts';
import { type Authorization, refuseApprover } from '../gate.ts';
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

/** Signs what a person has decided and has it carried to the run: check, repeat, mint, submit, answer. */
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
    async ({ body, admission, request, reply }) => {
      const approval = admission.approval!;
      const { principal, policies, policyDigest } = admission;
      const decided: Decided = {
        vote: body.decision,
        digest: body.digest,
        comment: body.comment ?? null,
        form: body.form ?? null,
      };
      const same = repeated(approval, admission, decided);
      if (same) return reply.code(202).send(await signed(ports, approval, same));
      const { digest, ...rest } = decided;
      const refused = refusalOf(approval, { principal, allowed: true, digest });
      if (refused) await refuse(ports, refused, { ...admission, request });
      checkForm(approval.form, decided);
      const { id, jws } = await mintDecision(ports, options, approval, decided, admission, request.traceId);
      const decision = { id, by: requesterOf(principal), ...rest };
      const { tenant, runId } = approval;
      const detail = { approval: approval.id, decision: id, vote: rest.vote, digest, policies, policyDigest };
      const audit = auditOf({ principal, runId, txn: request.traceId }, 'decision.submitted', detail);
      const recorded = await ports.approvals
        .submit({ tenant, approval: approval.id, runId, digest, decision, jws }, audit)
        .catch((error) => again(ports, error, decided, { ...admission, request }));
      return reply.code(202).send(await signed(ports, approval, recorded));
    },
  );
}

async function signed({ approvals }: ApiPorts, { tenant }: Approval, decision: RecordedDecision) {
  return { ...decisionViewOf(decision), token: await approvals.findSigned(tenant, decision.id) };
}

type Asking = Authorization & { request: Parameters<typeof refuseApprover>[2]['request'] };

/** The very decision that this person has made already, whatever became of it but a refusal. */
function repeated(
  approval: Approval,
  { principal }: Authorization,
  { vote, digest, comment, form }: Decided,
): RecordedDecision | undefined {
  const before = approval.decisions.find(
    ({ by, counted }) => by.id === principal.id && typeof counted !== 'string',
  );
  const wanted = canonicalJson([vote, digest, comment, form]);
  return before && canonicalJson([before.vote, approval.digest, before.comment, before.form]) === wanted
    ? before
    : undefined;
}

/** Another request of the same person came first: with the same decision, or with another one. */
async function again(
  ports: ApiPorts,
  error: unknown,
  decided: Decided,
  asking: Asking,
): Promise<RecordedDecision> {
  if (!(error instanceof WaybillError) || error.code !== 'ApproverHasDecided') throw error;
  const found = await ports.approvals.find(asking.principal.tenant, asking.approval!.id);
  return repeated(found!.approval, asking, decided) ?? refuse(ports, error.code, asking);
}

/** Who may not decide is on record; what came too late only says so. */
async function refuse(
  ports: ApiPorts,
  code: NonNullable<ReturnType<typeof refusalOf>>,
  { principal, run, approval, request }: Asking,
): Promise<never> {
  if (code === 'ApprovalEnded' || code === 'ApprovalChanged') throw new WaybillError(code);
  return refuseApprover(ports, code, { principal, run: run!, approval: approval!, request });
}
