import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { ScheduleDraft } from '../../domain/ports/schedules.ts';
import { requesterOf } from '../../domain/principal.ts';
import { ScheduleTerms, scheduleId } from '../../domain/schedules/schedule.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { giveConsent, mayConsent } from '../schedules/consent.ts';
import {
  active,
  blockedBy,
  changed,
  checkDraft,
  checkTerms,
  draftOf,
  factsOf,
  lifetime,
  lifetimeOf,
  loaded,
  note,
  pausedBy,
} from '../schedules/draft.ts';
import { ScheduleView, scheduleViewOf } from '../scheduleView.ts';

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
      response: { 201: ScheduleView },
    },
    async ({ body, admission, request, reply }) => {
      const { principal } = admission;
      const { pipeline, allowed } = await checkDraft(ports, admission, body, request);
      const draft: ScheduleDraft = {
        tenant: principal.tenant,
        id: body.id ?? `${body.pipeline}-${randomBytes(4).toString('hex')}`,
        pipeline: body.pipeline,
        definition: factsOf(pipeline),
        terms: body.terms,
        note: body.note ?? null,
        declared: body.declared,
        owner: requesterOf({ ...principal, actor: undefined }),
        ...(body.paused ? pausedBy(principal) : active),
        fresh: true,
      };
      const consented = mayConsent(principal, principal)
        ? await giveConsent(ports, options, { ...admission, pipeline, draft }, lifetimeOf(body))
        : null;
      const saved = consented || body.paused ? draft : { ...draft, ...blockedBy('ConsentRequired') };
      const audit = changed('schedule.created', admission, request.traceId, saved, consented, allowed);
      const schedule = await ports.schedules.create(saved, consented, audit);
      const view = scheduleViewOf(schedule, options);
      return reply.code(201).header('location', view.links.self).send(view);
    },
  );
}

export function updateSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Changes what a schedule does',
      description:
        'Its owner consents with that to the new terms. What somebody else changes waits until the owner has consented ' +
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
      response: { 200: ScheduleView },
    },
    async ({ body, admission, request }) => {
      const { principal } = admission;
      const schedule = admission.schedule!;
      if (body.revision !== undefined && body.revision !== schedule.revision)
        throw new WaybillError('ScheduleChanged');
      const terms = body.terms ?? schedule.terms;
      const termsChange = canonicalJson(terms) !== canonicalJson(schedule.terms);
      const takesOver = body.owner === 'me' && principal.id !== schedule.owner.id;
      if (takesOver && body.revision === undefined)
        throw new WaybillError('InvalidRequest', { issues: [{ path: '/revision', message: unseen }] });
      const draft: ScheduleDraft = {
        ...draftOf(schedule),
        terms,
        note: body.note === undefined ? schedule.note : body.note,
        declared: body.declared ?? schedule.declared,
        ...(takesOver && { owner: requesterOf({ ...principal, actor: undefined }) }),
      };
      if (!termsChange && !takesOver) {
        if (canonicalJson(draft) === canonicalJson(draftOf(schedule)))
          return scheduleViewOf(schedule, options);
        const audit = changed('schedule.changed', admission, request.traceId, draft, null, admission);
        return scheduleViewOf(
          await ports.schedules.change(draft, schedule.revision, 'stands', audit),
          options,
        );
      }
      const pipeline = loaded(admission);
      const allowed = await checkTerms(ports, admission, pipeline, terms, request);
      const consented = mayConsent(principal, draft.owner)
        ? await giveConsent(ports, options, { ...admission, pipeline, draft }, lifetimeOf(body))
        : null;
      const saved: ScheduleDraft = {
        ...draft,
        definition: factsOf(pipeline),
        ...(schedule.state === 'paused' ? {} : consented ? active : blockedBy('ConsentRequired')),
        fresh: true,
      };
      const audit = changed('schedule.changed', admission, request.traceId, saved, consented, allowed);
      return scheduleViewOf(
        await ports.schedules.change(saved, schedule.revision, consented ?? 'ends', audit),
        options,
      );
    },
  );
}

const unseen = 'Say which revision you were shown: you consent to all of it.';

export function deleteSchedule({ schedules }: ApiPorts) {
  return handler(
    {
      summary: 'Ends a schedule',
      description: 'Runs that it has begun go on. Its id may be used again.',
      tags: ['schedules'],
      params: byId,
      response: { 204: z.null() },
    },
    async ({ admission, request, reply }) => {
      const draft = draftOf(admission.schedule!);
      const audit = changed('schedule.deleted', admission, request.traceId, draft, null, admission);
      await schedules.remove(admission.schedule!, audit);
      return reply.code(204).send(null);
    },
  );
}
