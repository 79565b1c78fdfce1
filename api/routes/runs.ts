import { z } from 'zod';
import { type Policy, runResourceOf } from '../../domain/policy.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import { type Run, runStates } from '../../domain/run.ts';
import { handler, Page } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { auditOf } from '../trigger/draft.ts';

const byId = z.object({ id: z.string() });

/** Only what the caller may read is listed. Pages that this leaves short are filled from the next, a few times over. */
export function listRuns({ intake, policy }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists the runs of your tenant, newest first',
      description:
        'Only those that you may read. A page may hold fewer than asked for and still have a next one.',
      tags: ['runs'],
      querystring: z.strictObject({
        ...Page.shape,
        pipeline: z
          .string()
          .regex(/^[^\0]{1,200}$/)
          .optional(),
        state: z.enum(runStates).optional(),
      }),
      response: { 200: z.object({ items: z.array(RunView), nextCursor: z.string().nullable() }) },
    },
    async ({ query: { pipeline, state, limit, cursor }, admission: { principal } }) => {
      const items: Run[] = [];
      let nextCursor = cursor ?? null;
      for (let pages = 0; pages < pagesMax; pages++) {
        const page = await intake.listRuns(principal.tenant, {
          limit: limit - items.length,
          ...(pipeline !== undefined && { pipeline }),
          ...(state !== undefined && { state }),
          ...(nextCursor !== null && { cursor: nextCursor }),
        });
        items.push(...page.items.filter((run) => mayRead(policy, principal, run)));
        nextCursor = page.nextCursor;
        if (nextCursor === null || items.length === limit) break;
      }
      return { items: items.map((run) => runViewOf(run, options)), nextCursor };
    },
  );
}

const pagesMax = 10;

export function mayRead(policy: Policy, principal: Principal, run: Run): boolean {
  return policy.decide({ principal, action: 'read', resource: runResourceOf(run) }).allowed;
}

export function getRun(_: ApiPorts, options: ApiOptions) {
  return handler(
    { summary: 'Shows a run', tags: ['runs'], params: byId, response: { 200: RunView } },
    async ({ admission }) => runViewOf(admission.run!, options),
  );
}

export function cancelRun({ intake }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Asks for the end of a run',
      description: 'What is stored stays stored. Answers with the run as it is now; follow it to see it end.',
      tags: ['runs'],
      params: byId,
      response: { 202: RunView },
    },
    async ({ admission: { run, principal, policies, policyDigest }, request, reply }) => {
      const subject = { principal, runId: run!.id, txn: request.traceId };
      const detail = { by: requesterOf(principal).id, policies, policyDigest };
      const audit = auditOf(subject, 'run.cancel-requested', detail);
      const now = await intake.requestCancel(principal.tenant, run!.id, audit);
      return reply.code(202).send(runViewOf(now ?? run!, options));
    },
  );
}
