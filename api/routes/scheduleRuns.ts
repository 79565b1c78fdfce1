import { z } from 'zod';
import {
  backfillSchedule as backfill,
  backfillMax,
  runSchedule as run,
} from '../../application/schedules/runSchedule.ts';
import { runStates } from '../../domain/runs/run.ts';
import { byId, handler } from '../handler.ts';
import { parseIdempotencyKey } from '../idempotencyKey.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { shownRevision } from '../scheduleBodies.ts';

export function runSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Begins a run as the schedule would, now and in your name',
      description:
        'Not in the owner’s: it is your run, by your right. While the owner has still to consent to a change, there is none (`ConsentRequired`). The times of the schedule are left as they are.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({ revision: shownRevision }),
      headers: z.looseObject({
        'idempotency-key': z
          .string()
          .optional()
          .describe('The same request with the same key is the same run.'),
      }),
      response: { 202: RunView },
    },
    async ({ body: { revision }, authorization, request, reply }) => {
      const idempotencyKey = parseIdempotencyKey(request.headers['idempotency-key']);
      const view = runViewOf(await run(ports, options, authorization, { revision, idempotencyKey }), options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}

export function backfillSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Begins runs for times that have passed, in your name',
      description:
        `At most ${backfillMax} at once, oldest first. \`missing\`: times without a run; \`failed\`: times with a ` +
        'last run that failed or was cancelled; `all`. A repeated request returns the same runs.',
      tags: ['schedules'],
      params: byId,
      body: z
        .strictObject({
          revision: shownRevision,
          from: z.iso.datetime({ offset: true }),
          to: z.iso.datetime({ offset: true }),
          mode: z.enum(['missing', 'failed', 'all']).default('missing'),
          dryRun: z.boolean().default(false).describe('Only says which times.'),
        })
        .refine(({ from, to }) => Date.parse(from) <= Date.parse(to), {
          path: ['to'],
          error: 'It ends before it begins.',
        }),
      response: {
        200: z.object({
          items: z.array(z.object({ at: z.iso.datetime(), run: z.string().nullable() })),
          more: z.boolean().describe('There are more times in the range. Ask again from after the last.'),
          leftOut: z
            .partialRecord(z.enum(runStates), z.int().min(1))
            .describe('How many times the mode leaves out, by the state of their last run.'),
          disputed: z
            .int()
            .min(0)
            .describe(
              'Times on which Temporal and Waybill disagree, as their zone data differ; no run begins.',
            ),
        }),
      },
    },
    async ({ body, authorization }) => backfill(ports, options, authorization, body),
  );
}
