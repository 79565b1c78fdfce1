import { z } from 'zod';
import { approvalStates, refusalOf } from '../../domain/approvals/approval.ts';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { type Policy, runResourceOf } from '../../domain/policies/policy.ts';
import type { ShownApproval } from '../../domain/ports/approvals.ts';
import type { Principal } from '../../domain/principal.ts';
import { ApprovalDetail, ApprovalView, approvalDetailOf, approvalViewOf } from '../approvalView.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import { mayReadRun } from '../mayRead.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { readablePage } from '../readablePage.ts';

export function listApprovals({ approvals, policy }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists approvals, newest first',
      description:
        'Only those of runs that you may read. A page may hold fewer than asked for and still have a next one.',
      tags: ['approvals'],
      querystring: z.strictObject({
        ...Page.shape,
        view: z
          .enum(['to-decide', 'mine', 'decided'])
          .optional()
          .describe(
            '`to-decide`: you may decide them now; `mine`: of runs that you asked for, or somebody for you; ' +
              '`decided`: you have decided on them, whatever came of that.',
          ),
        state: z.enum(approvalStates).optional(),
        run: z
          .string()
          .regex(/^[A-Za-z0-9._-]{1,200}$/)
          .optional(),
      }),
      response: { 200: pageOf(ApprovalView) },
    },
    async ({ query: { view, state, run, limit, cursor }, admission: { principal } }) => {
      const toDecide = view === 'to-decide';
      if (toDecide && state !== undefined && state !== 'pending') return { items: [], nextCursor: null };
      const wanted = {
        ...(toDecide ? { open: true } : state !== undefined && { state }),
        ...(run !== undefined && { runId: run }),
        ...(view === 'mine' && { requestedBy: principal.id }),
        ...(view === 'decided' && { decidedBy: principal.id }),
      };
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => approvals.list(principal.tenant, { ...wanted, ...page }),
        (one) => mayReadRun(policy, principal, one.run) && (!toDecide || mayDecide(policy, principal, one)),
      );
      return { items: items.map(({ approval }) => approvalViewOf(approval, options)), nextCursor };
    },
  );
}

function mayDecide(policy: Policy, principal: Principal, { approval, run }: ShownApproval): boolean {
  const { allowed } = policy.decide({ principal, action: 'approve', resource: runResourceOf(run) });
  return refusalOf(approval, { principal, allowed, digest: approval.digest }) === undefined;
}

export function getApproval(options: ApiOptions) {
  return handler(
    {
      summary: 'Shows an approval and what is decided about',
      tags: ['approvals'],
      params: byId,
      response: { 200: ApprovalDetail },
    },
    async ({ admission }) => approvalDetailOf(admission.approval!, options),
  );
}

/** Values of records, so that whoever sees them is on record, before they do. */
export function approvalSample({ objects, auditLog }: ApiPorts) {
  return handler(
    {
      summary: 'Shows some of the rows that would be published',
      description: 'For whoever may see values. Each look is audited.',
      tags: ['approvals'],
      params: byId,
      response: { 200: SampleView },
    },
    async ({ admission: { principal, run, approval, policies, policyDigest }, request, reply }) => {
      const { id, sample } = approval!;
      if (!sample) throw new WaybillError('SampleNotFound');
      const bytes = await objects
        .get({ tenant: run!.tenant, runId: run!.id }, sample.digest)
        .catch((error) => {
          // What was staged goes with the end of the run.
          if (error.code === 'BatchMissing') throw new WaybillError('SampleNotFound');
          throw error;
        });
      const subject = { principal, runId: run!.id, txn: request.traceId };
      const detail = { approval: id, sample: sample.digest, rows: sample.rows, policies, policyDigest };
      await auditLog.append(auditOf(subject, 'approval.sample-revealed', detail));
      return reply
        .header('cache-control', 'no-store')
        .send({ rows: JSON.parse(Buffer.from(bytes).toString()) });
    },
  );
}

const SampleView = z.object({
  rows: z
    .array(z.record(z.string(), z.string().nullable()))
    .describe('Each by its columns, as texts that PostgreSQL reads.'),
});
