import { z } from 'zod';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { ScheduleDraft } from '../../domain/ports/schedules.ts';
import type { Authorization } from '../gate.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { giveConsent, mayConsent, mayResume, standingConsent } from '../schedules/consent.ts';
import {
  active,
  changed,
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

export function pauseSchedule({ schedules }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a schedule begin nothing until it is resumed',
      description:
        'Times that pass meanwhile are not made up for; see `backfill`. What is under way goes on.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({ note: note.optional() }).nullish(),
      response: { 200: ScheduleView },
    },
    async ({ body, admission, request }) => {
      const { principal, schedule: found } = admission;
      const schedule = found!;
      // What somebody else has paused is not yet what its owner wants.
      const isOwners = principal.id === schedule.owner.id && schedule.pausedBy?.id !== principal.id;
      if (schedule.state === 'paused' && !isOwners) return scheduleViewOf(schedule, options);
      const draft = { ...draftOf(schedule), ...pausedBy(principal), note: body?.note ?? schedule.note };
      const audit = changed('schedule.paused', admission, request.traceId, draft, null, admission);
      return scheduleViewOf(await schedules.change(draft, schedule.revision, 'stands', audit), options);
    },
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
    async ({ admission, request }) => {
      const schedule = admission.schedule!;
      if (schedule.state === 'active') return scheduleViewOf(schedule, options);
      if (!mayResume(admission.principal, schedule))
        await refuseOther(ports, admission, request.traceId, 'PausedByOwner');
      const consent = await standingConsent(ports, schedule);
      if ('code' in consent) throw new WaybillError(consent.code);
      const draft = { ...draftOf(schedule), ...active, fresh: true };
      const audit = changed('schedule.resumed', admission, request.traceId, draft, null, admission);
      return scheduleViewOf(await ports.schedules.change(draft, schedule.revision, 'stands', audit), options);
    },
  );
}

export function renewSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Consents anew to what a schedule of yours does, as it is now',
      description:
        'Only its owner can, and nobody for them. A schedule that was blocked goes on; one that is paused stays so.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({
        revision: z
          .int()
          .min(1)
          .describe('Of the schedule as you were shown it; refused (`ScheduleChanged`) where it is another.'),
        lifetime,
        dryRun: z.boolean().default(false).describe('Only says whether you may; changes nothing.'),
      }),
      response: { 200: ScheduleView },
    },
    async ({ body, admission, request }) => {
      const schedule = admission.schedule!;
      if (!mayConsent(admission.principal, schedule.owner))
        await refuseOther(ports, admission, request.traceId, 'OwnerOnly');
      // Nobody agrees to what somebody else made of it since they looked.
      if (body.revision !== schedule.revision) throw new WaybillError('ScheduleChanged');
      const pipeline = loaded(admission);
      const allowed = await checkTerms(ports, admission, pipeline, schedule.terms, request);
      if (body.dryRun) return scheduleViewOf(schedule, options);
      const wasBlocked = schedule.state === 'blocked';
      const draft: ScheduleDraft = {
        ...draftOf(schedule),
        definition: factsOf(pipeline),
        ...(wasBlocked && active),
        fresh: wasBlocked,
      };
      const since = wasBlocked ? {} : { sinceS: Math.floor(Date.parse(schedule.activeSince) / 1000) };
      const consented = await giveConsent(
        ports,
        options,
        { ...admission, pipeline, draft },
        { ...since, ...lifetimeOf(body) },
      );
      const audit = changed('schedule.renewed', admission, request.traceId, draft, consented, allowed);
      return scheduleViewOf(
        await ports.schedules.change(draft, schedule.revision, consented, audit),
        options,
      );
    },
  );
}

async function refuseOther(
  { auditLog }: ApiPorts,
  { principal, schedule }: Authorization,
  txn: string,
  code: 'OwnerOnly' | 'PausedByOwner',
): Promise<never> {
  const detail = { action: 'schedule', resource: 'schedule', schedule: schedule!.id, code };
  await auditLog.append(auditOf({ principal, runId: null, txn }, 'access.denied', detail, 'denied'));
  throw new WaybillError(code);
}
