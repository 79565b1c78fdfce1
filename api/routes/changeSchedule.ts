import { z } from 'zod';
import { createSchedule as create } from '../../application/schedules/createSchedule.ts';
import { deleteSchedule as end } from '../../application/schedules/pauseSchedule.ts';
import { updateSchedule as update } from '../../application/schedules/updateSchedule.ts';
import { ScheduleTerms, scheduleId } from '../../domain/schedules/schedule.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { lifetime, lifetimeOf, note } from '../scheduleBodies.ts';
import { SavedScheduleView, savedViewOf } from '../scheduleView.ts';

export function createSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a pipeline run again and again in your name',
      description:
        'With this you consent that it does, for at most 90 days, to exactly these terms and the pipeline as it is now; ' +
        'each firing asks whether you still may. Through an agent it is made, and waits for you to consent (`renew`).',
      tags: ['schedules'],
      body: z.strictObject({
        id: scheduleId.optional().describe('Default: the pipeline and a few letters.'),
        pipeline: z.string().max(200),
        terms: ScheduleTerms,
        note: note.optional(),
        declared: z.boolean().default(false),
        paused: z.boolean().default(false),
        lifetime,
      }),
      response: { 201: SavedScheduleView },
    },
    async ({ body, authorization, reply }) => {
      const { note = null, lifetime, ...rest } = body;
      const wanted = { ...rest, note, ...lifetimeOf(lifetime) };
      const view = savedViewOf(await create(ports, options, authorization, wanted), options);
      return reply.code(201).header('location', view.links.self).send(view);
    },
  );
}

export function updateSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Changes what a schedule does',
      description:
        'The owner consents to the new terms with the request. A change by another principal waits until the owner has consented ' +
        '(`renew`), or is theirs from then on: `owner: "me"`.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({
        revision: z
          .int()
          .min(1)
          .optional()
          .describe('Refused (`ScheduleChanged`) where it is not that any more. Needed with `owner`.'),
        terms: ScheduleTerms.optional().describe('All of them, not only what changes.'),
        note: note.optional(),
        declared: z.boolean().optional(),
        owner: z.literal('me').optional(),
        lifetime,
      }),
      response: { 200: SavedScheduleView },
    },
    async ({ body: { owner, lifetime, ...change }, authorization }) => {
      const wanted = { ...change, takeOwnership: owner === 'me', ...lifetimeOf(lifetime) };
      return savedViewOf(await update(ports, options, authorization, wanted), options);
    },
  );
}

export function deleteSchedule(ports: ApiPorts) {
  return handler(
    {
      summary: 'Ends a schedule',
      description: 'Runs that it has begun go on. Its id may be used again.',
      tags: ['schedules'],
      params: byId,
      response: { 204: z.null() },
    },
    async ({ authorization, reply }) => {
      await end(ports, authorization);
      return reply.code(204).send(null);
    },
  );
}
