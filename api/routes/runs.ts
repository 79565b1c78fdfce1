import { z } from 'zod';
import { requesterOf } from '../../domain/principal.ts';
import { runStates } from '../../domain/run.ts';
import { handler, Page } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { auditOf } from '../trigger/draft.ts';

const byId = z.object({ id: z.string() });

export function listRuns({ intake }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists the runs of your tenant, newest first',
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
    async ({ query: { pipeline, state, limit, cursor }, admission }) => {
      const page = await intake.listRuns(admission.principal.tenant, {
        limit,
        ...(pipeline !== undefined && { pipeline }),
        ...(state !== undefined && { state }),
        ...(cursor !== undefined && { cursor }),
      });
      return { items: page.items.map((run) => runViewOf(run, options)), nextCursor: page.nextCursor };
    },
  );
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
    async ({ admission: { run, principal, policies }, request, reply }) => {
      const subject = { principal, runId: run!.id, txn: request.traceId };
      const audit = auditOf(subject, 'run.cancel-requested', { by: requesterOf(principal).id, policies });
      const now = await intake.requestCancel(principal.tenant, run!.id, audit);
      return reply.code(202).send(runViewOf(now ?? run!, options));
    },
  );
}
