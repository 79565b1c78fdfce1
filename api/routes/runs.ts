import { z } from 'zod';
import { auditOf } from '../../domain/audit.ts';
import { requesterOf } from '../../domain/principal.ts';
import { runStates } from '../../domain/runs/run.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import { mayReadRun } from '../mayRead.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { readablePage } from '../readablePage.ts';
import { RunView, runViewOf } from '../runView.ts';

export function listRuns({ runs, policy }: ApiPorts, options: ApiOptions) {
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
      response: { 200: pageOf(RunView) },
    },
    async ({ query: { pipeline, state, limit, cursor }, admission: { principal } }) => {
      const wanted = { ...(pipeline !== undefined && { pipeline }), ...(state !== undefined && { state }) };
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => runs.list(principal.tenant, { ...wanted, ...page }),
        (run) => mayReadRun(policy, principal, run),
      );
      return { items: items.map((run) => runViewOf(run, options)), nextCursor };
    },
  );
}

export function getRun(options: ApiOptions) {
  return handler(
    { summary: 'Shows a run', tags: ['runs'], params: byId, response: { 200: RunView } },
    async ({ admission }) => runViewOf(admission.run!, options),
  );
}

export function cancelRun({ runs }: ApiPorts, options: ApiOptions) {
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
      const now = await runs.requestCancel(principal.tenant, run!.id, audit);
      return reply.code(202).send(runViewOf(now ?? run!, options));
    },
  );
}
