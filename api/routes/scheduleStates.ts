import { z } from 'zod';
import {
  pauseSchedule as pause,
  resumeSchedule as resume,
} from '../../application/schedules/pauseSchedule.ts';
import { renewConsent } from '../../application/schedules/renewConsent.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { lifetime, lifetimeOf, note, shownRevision } from '../scheduleBodies.ts';
import { SavedScheduleView, ScheduleView, savedViewOf, scheduleViewOf } from '../scheduleView.ts';

export function pauseSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a schedule begin nothing until it is resumed',
      description:
        'Times that pass during the pause are not made up for; see `backfill`. Runs that have started go on.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({ note: note.optional() }).nullish(),
      response: { 200: ScheduleView },
    },
    async ({ body, authorization }) => scheduleViewOf(await pause(ports, authorization, body?.note), options),
  );
}

export function resumeSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a schedule that is paused or blocked go on',
      description:
        'What its owner has paused is for them to resume. Where what it runs under still does not hold, the answer says ' +
        'why, and it stays as it is.',
      tags: ['schedules'],
      params: byId,
      response: { 200: ScheduleView },
    },
    async ({ authorization }) => scheduleViewOf(await resume(ports, authorization), options),
  );
}

export function renewSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Renews your consent to the current terms of a schedule of yours',
      description: 'Only the owner can, directly. A blocked schedule continues; a paused one stays paused.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({
        revision: shownRevision,
        lifetime,
        dryRun: z.boolean().default(false).describe('Only says whether you may; changes nothing.'),
      }),
      response: { 200: SavedScheduleView },
    },
    async ({ body: { lifetime, ...shown }, authorization }) => {
      const wanted = { ...shown, ...lifetimeOf(lifetime) };
      return savedViewOf(await renewConsent(ports, options, authorization, wanted), options);
    },
  );
}
