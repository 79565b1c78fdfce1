import { z } from 'zod';
import { mayReadPipeline, mayReadRun, readablePage } from '../../application/readable.ts';
import { redeliver } from '../../application/redeliver.ts';
import { deliveryLinksOf, runLinksOf, scheduleLinksOf } from '../../domain/links.ts';
import type { Policy } from '../../domain/policies/policy.ts';
import type { ShownDelivery } from '../../domain/ports/deliveries.ts';
import type { Principal } from '../../domain/principal.ts';
import { type Delivery, deliveryStates } from '../../domain/webhooks/webhookDelivery.ts';
import { webhookTypes } from '../../domain/webhooks/webhookEvent.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

export const DeliveryView = z.object({
  id: z.string().describe('Also the `webhook-id` under which the receiver gets it, however often.'),
  type: z.enum(webhookTypes),
  run: z.string().nullable().describe('What it tells of, unless that is a schedule.'),
  schedule: z.string().nullable(),
  state: z.enum(deliveryStates),
  to: z.string().describe('Scheme, host and port of the receiver; the rest of the URL is not shown.'),
  attempts: z.int().describe('Since it was last asked for.'),
  lastAttempt: z
    .object({ at: z.iso.datetime(), status: z.int().nullable(), code: z.string().nullable() })
    .nullable()
    .describe('`status`: what the receiver answered. Without status and code it is under way.'),
  nextAttemptAt: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  links: z.object({ self: z.string(), run: z.string().nullable(), schedule: z.string().nullable() }),
});

export function listDeliveries({ deliveries, policy }: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists the events that were sent, or are to be, newest first',
      description:
        'Only those of runs that you may read. A page may hold fewer than asked for and still have a next one.',
      tags: ['deliveries'],
      querystring: z.strictObject({
        ...Page.shape,
        run: z
          .string()
          .regex(/^[A-Za-z0-9._-]{1,200}$/)
          .optional(),
        state: z.enum(deliveryStates).optional(),
      }),
      response: { 200: pageOf(DeliveryView) },
    },
    async ({ query: { run, state, limit, cursor }, authorization: { principal } }) => {
      const wanted = { ...(run !== undefined && { runId: run }), ...(state !== undefined && { state }) };
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => deliveries.list(principal.tenant, { ...wanted, ...page }),
        (one) => mayReadAbout(policy, principal, one),
      );
      return { items: items.map(({ delivery }) => viewOf(delivery, options)), nextCursor };
    },
  );
}

export function getDelivery(options: ApiOptions) {
  return handler(
    {
      summary: 'Shows an event and how it went',
      tags: ['deliveries'],
      params: byId,
      response: { 200: DeliveryView },
    },
    async ({ authorization }) => viewOf(authorization.delivery!, options),
  );
}

export function redeliverEvent(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Sends an event again that was given up or delivered',
      description: 'Under the same `webhook-id`, so that a receiver which has it already can tell.',
      tags: ['deliveries'],
      params: byId,
      response: { 202: DeliveryView },
    },
    async ({ authorization, reply }) =>
      reply.code(202).send(viewOf(await redeliver(ports, authorization), options)),
  );
}

/** Of a run, or of the pipeline of a schedule. */
function mayReadAbout(policy: Policy, principal: Principal, { run, scheduled }: ShownDelivery): boolean {
  if (run) return mayReadRun(policy, principal, run);
  if (!scheduled) return false;
  return mayReadPipeline(policy, principal, scheduled);
}

function viewOf(
  { runId, scheduleId, ...delivery }: Delivery,
  { publicUrl }: ApiOptions,
): z.infer<typeof DeliveryView> {
  const run = runId && runLinksOf(runId, publicUrl).self;
  const schedule = scheduleId && scheduleLinksOf(scheduleId, publicUrl).self;
  const links = { ...deliveryLinksOf(delivery.id, publicUrl), run, schedule };
  return { ...delivery, run: runId, schedule: scheduleId, links };
}
