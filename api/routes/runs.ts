import { z } from 'zod';
import { mayReadRun, readablePage } from '../../application/readable.ts';
import { cancelRun as cancel } from '../../application/runs/cancelRun.ts';
import { resumeRun as resume } from '../../application/runs/resumeRun.ts';
import { retryRun as retry } from '../../application/runs/retryRun.ts';
import { runStates, runTriggers } from '../../domain/runs/run.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';

const text = z.string().regex(/^[^\0]{1,200}$/);

export function listRuns({ runs, policy, definitions }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists the runs of your tenant, newest first',
      description:
        'Only those that you may read. A page may hold fewer than asked for and still have a next one.',
      tags: ['runs'],
      querystring: z.strictObject({
        ...Page.shape,
        pipeline: text.optional(),
        state: z.enum(runStates).optional(),
        version: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
        from: z.iso.datetime({ offset: true }).optional().describe('Only runs accepted then or later.'),
        to: z.iso.datetime({ offset: true }).optional().describe('Only runs accepted before.'),
        requester: text.optional().describe('The id (`prn_…`) or the subject of the principal that asked.'),
        schedule: text.optional().describe('Only runs of this schedule, its backfills included.'),
        trigger: z.enum(runTriggers).optional().describe('What began the run.'),
        parameter: z
          .string()
          .regex(/^[^\0=]{1,200}=[^\0]{0,1000}$/, 'Write name=value.')
          .optional()
          .describe('Only runs with this parameter, as `name=value`.'),
        code: text.optional().describe('Only runs that failed, or wait, with this code.'),
        unaddressed: z
          .enum(['true', 'false'])
          .optional()
          .describe('Only runs with dead letters that are neither stored nor discarded.'),
        definitionMissing: z
          .enum(['true', 'false'])
          .optional()
          .describe('Only open runs with a definition, as they were accepted with it, that is not served.'),
      }),
      response: { 200: pageOf(RunView) },
    },
    async ({ query, authorization: { principal } }) => {
      const { state, unaddressed, definitionMissing, limit, cursor, ...asked } = query;
      const wanted = {
        ...asked,
        ...(state !== undefined && { states: [state] }),
        ...(definitionMissing === 'true' && { otherThan: definitions.listDigests() }),
        unaddressed: unaddressed === 'true',
      };
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
    async ({ authorization }) => runViewOf(authorization.run!, options),
  );
}

export function cancelRun(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Asks for the end of a run',
      description: 'What is stored stays stored. Answers with the run as it is now; follow it to see it end.',
      tags: ['runs'],
      params: byId,
      response: { 202: RunView },
    },
    async ({ authorization, reply }) =>
      reply.code(202).send(runViewOf(await cancel(ports, authorization), options)),
  );
}

export function resumeRun(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a suspended run ask whether it may go on',
      description:
        'The requester gives the run a new grant with this: with their current roles, and for as long ' +
        'again. Another principal only makes it check its right again. Answers with the run as it is now; follow it to see it continue.',
      tags: ['runs'],
      params: byId,
      response: { 202: RunView },
    },
    async ({ authorization, reply }) =>
      reply.code(202).send(runViewOf(await resume(ports, authorization), options)),
  );
}

export function retryRun(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Runs a failed or cancelled run again',
      description:
        'As a new run under your grant and by the current definition, with what the first one has not stored of its pinned input. You ' +
        'need the right to trigger the pipeline. Open dead letters of what is read again are discarded, since it is rejected again or stored.',
      tags: ['runs'],
      params: byId,
      response: { 202: RunView.describe('Accepted; `Location` is where the run is.') },
    },
    async ({ authorization, reply }) => {
      const view = runViewOf(await retry(ports, options, authorization), options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}
