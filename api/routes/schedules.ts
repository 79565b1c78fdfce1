import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { auditOf } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { parseDuration } from '../../domain/duration.ts';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import { pipelineResourceOf } from '../../domain/policy.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { GivenDelegation, ScheduleDraft } from '../../domain/ports/schedules.ts';
import { requesterOf } from '../../domain/principal.ts';
import {
  type Schedule,
  ScheduleTerms,
  ScheduleTiming,
  scheduleId,
  scheduleStates,
} from '../../domain/schedule.ts';
import type { Admission } from '../gate.ts';
import { handler, Page } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { readablePage } from '../readablePage.ts';
import { giveConsent, mayConsent, standingConsent } from '../schedules/consent.ts';
import { envelopeOf } from '../schedules/envelope.ts';
import { ScheduleView, scheduleViewOf } from '../scheduleView.ts';
import { checkEnvelope } from '../trigger/envelope.ts';
import { mayRun } from '../trigger/mayRun.ts';

const byId = z.object({ id: z.string() });
const dayMs = 86_400_000;

const lifetime = z
  .string()
  .refine((text) => {
    const ms = parseDuration(text);
    return ms !== undefined && ms <= 90 * dayMs;
  }, 'A duration such as 30d, of at most 90d.')
  .optional()
  .describe('How long the consent lasts; 90d at most, and by default.');
const note = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.')
  .nullable();

export function listSchedules({ schedules, policy, definitions }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists the schedules of your tenant, by their ids',
      description: 'Only those of pipelines that you may read.',
      tags: ['schedules'],
      querystring: z.strictObject({
        ...Page.shape,
        pipeline: z
          .string()
          .regex(/^[^\0]{1,200}$/)
          .optional(),
        state: z.enum(scheduleStates).optional(),
      }),
      response: { 200: z.object({ items: z.array(ScheduleView), nextCursor: z.string().nullable() }) },
    },
    async ({ query: { pipeline, state, limit, cursor }, admission: { principal } }) => {
      const wanted = { ...(pipeline !== undefined && { pipeline }), ...(state !== undefined && { state }) };
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => schedules.list(principal.tenant, { ...wanted, ...page }),
        ({ pipeline, definition }) => {
          const facts = definitions.find(pipeline)?.manifest ?? definition;
          const resource = pipelineResourceOf(facts, principal.tenant);
          return policy.decide({ principal, action: 'read', resource }).allowed;
        },
      );
      return { items: items.map((one) => scheduleViewOf(one, options)), nextCursor };
    },
  );
}

export function getSchedule(options: ApiOptions) {
  return handler(
    { summary: 'Shows a schedule', tags: ['schedules'], params: byId, response: { 200: ScheduleView } },
    async ({ admission }) => scheduleViewOf(admission.schedule!, options),
  );
}

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
      const pipeline = ports.definitions.find(body.pipeline);
      if (!pipeline) throw new WaybillError('PipelineUnknown');
      const allowed = await maySchedule(ports, admission, pipeline, request);
      await checkTerms(ports, pipeline, body.terms);
      const draft: ScheduleDraft = {
        tenant: principal.tenant,
        id: body.id ?? `${body.pipeline}-${randomBytes(4).toString('hex')}`,
        pipeline: body.pipeline,
        definition: factsOf(pipeline),
        terms: body.terms,
        note: body.note ?? null,
        declared: body.declared,
        owner: requesterOf({ ...principal, actor: undefined }),
        ...(body.paused ? paused : active),
        fresh: true,
      };
      const consented = mayConsent(principal, principal)
        ? await giveConsent(ports, options, { ...admission, pipeline, draft }, lifetimeOf(body))
        : null;
      const saved = consented ? draft : { ...draft, ...blockedBy('ConsentNeeded') };
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
        return scheduleViewOf(await ports.schedules.change(draft, schedule.revision, null, audit), options);
      }
      const pipeline = loaded(admission);
      const allowed = await maySchedule(ports, admission, pipeline, request);
      await checkTerms(ports, pipeline, terms);
      const consented = mayConsent(principal, draft.owner)
        ? await giveConsent(ports, options, { ...admission, pipeline, draft }, lifetimeOf(body))
        : null;
      const saved: ScheduleDraft = {
        ...draft,
        definition: factsOf(pipeline),
        ...(!consented ? blockedBy('ConsentNeeded') : schedule.state === 'paused' ? {} : active),
        fresh: true,
      };
      const audit = changed('schedule.changed', admission, request.traceId, saved, consented, allowed);
      return scheduleViewOf(
        await ports.schedules.change(saved, schedule.revision, consented, audit),
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
      const schedule = admission.schedule!;
      if (schedule.state === 'paused') return scheduleViewOf(schedule, options);
      const draft = { ...draftOf(schedule), ...paused, note: body?.note ?? schedule.note };
      const audit = changed('schedule.paused', admission, request.traceId, draft, null, admission);
      return scheduleViewOf(await schedules.change(draft, schedule.revision, null, audit), options);
    },
  );
}

export function resumeSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Has a schedule that is paused or blocked go on',
      description:
        'Where what it runs under still does not hold, the answer says why, and it stays as it is.',
      tags: ['schedules'],
      params: byId,
      response: { 200: ScheduleView },
    },
    async ({ admission, request }) => {
      const schedule = admission.schedule!;
      if (schedule.state === 'active') return scheduleViewOf(schedule, options);
      const consent = await standingConsent(ports, schedule);
      if ('code' in consent) throw new WaybillError(consent.code);
      const draft = { ...draftOf(schedule), ...active, fresh: true };
      const audit = changed('schedule.resumed', admission, request.traceId, draft, null, admission);
      return scheduleViewOf(await ports.schedules.change(draft, schedule.revision, null, audit), options);
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
      }),
      response: { 200: ScheduleView },
    },
    async ({ body, admission, request }) => {
      const schedule = admission.schedule!;
      if (!mayConsent(admission.principal, schedule.owner))
        await refuseOther(ports, admission, request.traceId);
      // Nobody agrees to what somebody else made of it since they looked.
      if (body.revision !== schedule.revision) throw new WaybillError('ScheduleChanged');
      const pipeline = loaded(admission);
      const allowed = await maySchedule(ports, admission, pipeline, request);
      await checkTerms(ports, pipeline, schedule.terms);
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

async function refuseOther({ auditLog }: ApiPorts, admission: Admission, txn: string): Promise<never> {
  const { principal, schedule } = admission;
  const detail = { action: 'schedule', resource: 'schedule', schedule: schedule!.id, code: 'OwnerOnly' };
  await auditLog.append(auditOf({ principal, runId: null, txn }, 'access.denied', detail, 'denied'));
  throw new WaybillError('OwnerOnly');
}

/** Looked at one after the other until there are enough times, since Temporal lists a thousand at most. */
const previewDays = [1, 31, 366 * 4];

export function previewSchedule({ timetable }: ApiPorts) {
  return handler(
    {
      summary: 'Says when a schedule would be due, before there is one',
      description: 'By Temporal, which knows zones and when clocks change. Without jitter.',
      tags: ['schedules'],
      body: z.strictObject({ timing: ScheduleTiming, count: z.int().min(1).max(100).default(10) }),
      response: { 200: z.object({ times: z.array(z.iso.datetime()) }) },
    },
    async ({ body: { timing, count } }) => {
      const fromMs = Date.now();
      let timesMs: number[] = [];
      for (const days of previewDays) {
        ({ timesMs } = await timetable.times(timing, { fromMs, toMs: fromMs + days * dayMs }));
        if (timesMs.length >= count) break;
      }
      return { times: timesMs.slice(0, count).map((ms) => new Date(ms).toISOString()) };
    },
  );
}

const active = { state: 'active', reason: null } as const;
const paused = { state: 'paused', reason: null } as const;

function blockedBy(code: ErrorCode) {
  return { state: 'blocked', reason: { code, message: errors[code].message } } as const;
}

function draftOf(schedule: Schedule): ScheduleDraft {
  const { tenant, id, pipeline, definition, terms, note, declared, owner, state, reason } = schedule;
  return { tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, fresh: false };
}

function factsOf({ manifest: { id, labels, source, sink } }: LoadedPipeline): ScheduleDraft['definition'] {
  return { id, labels, source: { kind: source.kind }, sink: { kind: sink.kind } };
}

function lifetimeOf({ lifetime }: { lifetime?: string | undefined }): { lifetimeS?: number } {
  return lifetime === undefined ? {} : { lifetimeS: Math.floor(parseDuration(lifetime)! / 1000) };
}

function loaded({ pipeline }: Admission): LoadedPipeline {
  if (pipeline) return pipeline;
  throw new WaybillError('PipelineUnknown');
}

/** Whoever schedules what they may not run would only learn of it at the first firing. */
async function maySchedule(
  ports: ApiPorts,
  { principal }: Admission,
  pipeline: LoadedPipeline,
  request: Parameters<typeof mayRun>[2],
): Promise<Pick<Admission, 'policies' | 'policyDigest'>> {
  const decisions = await mayRun(ports, { principal, pipeline }, request, ['schedule']);
  return {
    policies: [...new Set(decisions.flatMap(({ policies }) => policies))],
    policyDigest: decisions[0]!.digest,
  };
}

/**
 * What a firing would be refused for is refused now. Without Temporal the times are not known, and the schedule is saved all the
 * same; once Temporal is back it says what is wrong with them.
 */
async function checkTerms(ports: ApiPorts, pipeline: LoadedPipeline, terms: ScheduleTerms): Promise<void> {
  const nowMs = Date.now();
  await checkEnvelope(ports, pipeline, envelopeOf({ terms }, new Date(nowMs).toISOString()));
  await ports.timetable.times(terms, { fromMs: nowMs, toMs: nowMs }).catch((error) => {
    if (!(error instanceof WaybillError) || error.code !== 'TemporalUnavailable') throw error;
  });
}

function changed(
  action: string,
  { principal }: Admission,
  txn: string,
  { id, pipeline, owner, state }: ScheduleDraft,
  consented: GivenDelegation | null,
  { policies, policyDigest }: Pick<Admission, 'policies' | 'policyDigest'>,
) {
  const subject = { principal, runId: null, txn };
  const delegation = consented && { delegation: consented.id, expiresAtS: consented.expiresAtS };
  return auditOf(subject, action, {
    schedule: id,
    pipeline,
    owner: owner.id,
    state,
    ...delegation,
    policies,
    policyDigest,
  });
}
