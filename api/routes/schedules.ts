import { z } from 'zod';
import { mayReadPipeline, mayReadRun, readablePage } from '../../application/readable.ts';
import { changesSinceConsent } from '../../application/schedules/consent.ts';
import { previewSchedule as preview, warningsOf } from '../../application/schedules/previewSchedule.ts';
import { skippedBy } from '../../application/schedules/skippedTimes.ts';
import { runLinksOf } from '../../domain/links.ts';
import type { Principal } from '../../domain/principal.ts';
import {
  type Schedule,
  ScheduleTerms,
  ScheduleTiming,
  scheduleStates,
} from '../../domain/schedules/schedule.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { lifetime, lifetimeOf } from '../scheduleBodies.ts';
import {
  ScheduleDetail,
  ScheduleView,
  ScheduleWarningView,
  scheduleViewOf,
  type WaitsFor,
} from '../scheduleView.ts';

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
      response: { 200: pageOf(ScheduleView) },
    },
    async ({ query: { pipeline, state, limit, cursor }, authorization: { principal } }) => {
      const wanted = { ...(pipeline !== undefined && { pipeline }), ...(state !== undefined && { state }) };
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => schedules.list(principal.tenant, { ...wanted, ...page }),
        ({ pipeline, definition }) =>
          mayReadPipeline(policy, principal, definitions.find(pipeline)?.manifest ?? definition),
      );
      return { items: items.map((one) => scheduleViewOf(one, options)), nextCursor };
    },
  );
}

export function getSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Shows a schedule, and the run that it waits for',
      tags: ['schedules'],
      params: byId,
      response: { 200: ScheduleDetail },
    },
    async ({ authorization }) => {
      const { schedule, principal, signal } = authorization;
      return {
        ...scheduleViewOf(schedule!, options),
        warnings: await warningsOf(ports, authorization, schedule!),
        changesSinceConsent: await changesSinceConsent(ports, schedule!),
        waitsFor: await waitsFor(ports, options, schedule!, principal, signal),
      };
    },
  );
}

async function waitsFor(
  ports: ApiPorts,
  options: ApiOptions,
  schedule: Schedule,
  principal: Principal,
  signal: AbortSignal,
): Promise<WaitsFor | null> {
  const { tenant, id, terms } = schedule;
  if (terms.overlap === 'allow-all' || terms.overlap === 'cancel-other') return null;
  const last = await ports.firings.last(tenant, id);
  if (!last || last.endedAt !== null) return null;
  const [run, skipped] = await Promise.all([
    ports.runs.find(tenant, last.runId),
    skippedBy(ports, schedule, [last], signal),
  ]);
  const readable = run && mayReadRun(ports.policy, principal, run) ? run : undefined;
  return {
    run: last.runId,
    at: last.nominalAt,
    state: readable?.state ?? null,
    ...(readable?.reason && { reason: readable.reason }),
    skipped: skipped.get(last.nominalAt) ?? null,
    links: { run: runLinksOf(last.runId, options.publicUrl).self },
  };
}

export function previewSchedule(ports: ApiPorts) {
  return handler(
    {
      summary: 'Says when a schedule would be due, before there is one',
      description:
        'From `startAt` on, by Temporal, which knows time zones. Without jitter. `warnings` says what may surprise.',
      tags: ['schedules'],
      body: z.strictObject({
        timing: ScheduleTiming,
        count: z.int().min(1).max(100).default(10),
        draft: z
          .strictObject({ pipeline: z.string(), terms: ScheduleTerms, lifetime })
          .optional()
          .describe('What is to be saved: rejected as saving it would be.'),
      }),
      response: {
        200: z.object({
          times: z.array(z.iso.datetime()),
          warnings: z.array(ScheduleWarningView),
          disputed: z
            .array(z.iso.datetime())
            .describe(
              'Times on which the time zone data of Temporal and of Waybill differ. Nothing is fired then.',
            ),
        }),
      },
    },
    async ({ body: { draft, ...body }, authorization }) =>
      preview(ports, authorization, { ...body, draft: draft && { ...draft, ...lifetimeOf(draft.lifetime) } }),
  );
}
