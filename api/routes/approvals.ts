import { z } from 'zod';
import { revealSample } from '../../application/approvals/revealSample.ts';
import { mayReadRun, readablePage } from '../../application/readable.ts';
import { approvalStates, refusalOf } from '../../domain/approvals/approval.ts';
import { letterStates } from '../../domain/deadLetters/letterStates.ts';
import { type Policy, runResourceOf } from '../../domain/policies/policy.ts';
import type { ShownApproval } from '../../domain/ports/approvals.ts';
import type { Principal } from '../../domain/principal.ts';
import { ApprovalDetail, ApprovalView, approvalDetailOf, approvalViewOf } from '../approvalView.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import { letterViewsOf } from '../letterView.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

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
            '`to-decide`: you may decide them now; `mine`: of runs that you requested, or an agent or a schedule for you; ' +
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
    async ({ query: { view, state, run, limit, cursor }, authorization: { principal } }) => {
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

export function getApproval(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Shows an approval and what is decided about',
      tags: ['approvals'],
      params: byId,
      response: { 200: ApprovalDetail },
    },
    async ({ authorization: { principal, approval, run } }) => {
      const letters = await ports.deadLetters.pick(
        principal.tenant,
        { filter: { run: run!.id }, states: letterStates },
        { limit: rejectionsMax },
      );
      const found = await Promise.all(letters.map(({ id }) => ports.deadLetters.find(principal.tenant, id)));
      const rejections = await letterViewsOf(
        ports,
        options,
        principal,
        found.filter((letter) => letter !== undefined),
      );
      return approvalDetailOf(approval!, rejections, options);
    },
  );
}

const rejectionsMax = 20;

export function approvalSample(ports: ApiPorts) {
  return handler(
    {
      summary: 'Shows some of the rows that would be published',
      description: 'For approvers who may see values. Each look is audited.',
      tags: ['approvals'],
      params: byId,
      response: { 200: SampleView },
    },
    async ({ authorization }) => ({ rows: await revealSample(ports, authorization) }),
  );
}

const SampleView = z.object({
  rows: z
    .array(z.record(z.string(), z.string().nullable()))
    .describe('Each by its columns, as texts that PostgreSQL reads.'),
});
