import { z } from 'zod';
import { mayReadRun } from '../../application/readable.ts';
import { fireSchedule } from '../../application/schedules/fireSchedule.ts';
import { skippedBy } from '../../application/schedules/skippedTimes.ts';
import { errors } from '../../domain/errors.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { FiringView, firingViewOf } from '../scheduleView.ts';

export function listFirings(ports: ApiPorts, options: ApiOptions) {
  const { firings, policy } = ports;
  return handler(
    {
      summary: 'Lists what became of the times of a schedule, newest first',
      tags: ['schedules'],
      params: byId,
      querystring: z.strictObject({ ...Page.shape, cursor: z.iso.datetime().optional() }),
      response: { 200: pageOf(FiringView) },
    },
    async ({ query: { limit, cursor }, authorization: { schedule, principal, signal } }) => {
      const { tenant, id } = schedule!;
      const page = await firings.list(tenant, id, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      const runs = page.items.flatMap(({ firing: { nominalAt }, run }) =>
        run ? [{ nominalAt, endedAt: run.endedAt }] : [],
      );
      const skipped = await skippedBy(ports, schedule!, runs, signal);
      const items = page.items.map(({ firing, run }) => {
        const readable = run && mayReadRun(policy, principal, run) ? run : null;
        return firingViewOf({ firing, run: readable }, skipped.get(firing.nominalAt), options);
      });
      return { ...page, items };
    },
  );
}

const Answer = z.union([
  z.object({
    outcome: z.literal('fired'),
    run: z.object({
      runId: z.string(),
      tenant: z.string(),
      principal: z.string(),
      summary: z.string(),
      grant: z.string(),
      manifest: z.looseObject({ id: z.string(), version: z.int() }),
    }),
  }),
  z.object({
    outcome: z.enum(['blocked', 'missed', 'skipped', 'refused']),
    code: z.enum(Object.keys(errors) as [keyof typeof errors]),
  }),
]);

export function answerFiring(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Asks, as a workload, whether an execution in Temporal is a firing that may begin a run',
      description:
        'For workers of this Waybill, which prove themselves by `private_key_jwt`. An execution that asks again gets ' +
        'the same answer.',
      tags: ['schedules'],
      params: byId,
      body: z.strictObject({
        workflowId: z.string().min(1).max(1_000),
        runId: z.string().regex(/^[0-9a-f-]{36}$/),
        client_assertion_type: z.literal('urn:ietf:params:oauth:client-assertion-type:jwt-bearer'),
        client_assertion: z.string().min(1),
      }),
      response: { 200: Answer },
    },
    async ({ params: { id }, body, request, reply }) => {
      const { workflowId, runId, client_assertion } = body;
      const workload = await ports.workloads.authenticate(client_assertion);
      const execution = { workflowId, runId };
      const call = { scheduleId: id, execution, workload, txn: request.traceId };
      return reply.send(await fireSchedule(ports, options, call));
    },
  );
}
