import { z } from 'zod';
import { holdRun as hold, releaseRun as release } from '../../application/runs/holdRun.ts';
import type { LegalHold } from '../../domain/ports/legalHolds.ts';
import type { Principal } from '../../domain/principal.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';
import { resolvePrincipals, WhoView } from '../whoView.ts';

export const LegalHoldView = z.object({
  run: z.string(),
  reason: z.string(),
  placedBy: WhoView.describe(
    '`null`: the owner of the tables, or a principal that the tenant does not know.',
  ),
  placedAt: z.iso.datetime(),
  inputRemovedAt: z.iso
    .datetime()
    .nullable()
    .describe('When the bytes of the source were removed, before the hold; `null`: they are held too.'),
});

export function holdRun(ports: ApiPorts) {
  return handler(
    {
      summary: 'Places a legal hold on a run',
      description:
        'Nothing of the run is removed until the hold is lifted, whatever its retention says. What was removed before stays removed. ' +
        'A run that is held already keeps its hold.',
      tags: ['runs'],
      params: byId,
      body: z.strictObject({
        reason: z
          .string()
          .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.'),
      }),
      response: { 200: LegalHoldView },
    },
    async ({ params: { id }, body: { reason }, authorization }) => {
      const held = await hold(ports, authorization, { runId: id, reason });
      const [view] = await viewsOf(ports, authorization.principal, [held]);
      return view!;
    },
  );
}

export function releaseRun(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lifts the legal hold of a run',
      description: 'From then on its retention decides again.',
      tags: ['runs'],
      params: byId,
      response: { 204: z.null() },
    },
    async ({ params: { id }, authorization, reply }) => {
      await release(ports, authorization, id);
      return reply.code(204).send(null);
    },
  );
}

export function listHolds(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists the legal holds of your tenant, by their runs',
      tags: ['runs'],
      querystring: Page,
      response: { 200: pageOf(LegalHoldView) },
    },
    async ({ query: { limit, cursor }, authorization: { principal } }) => {
      const page = await ports.legalHolds.list(principal.tenant, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      return { ...page, items: await viewsOf(ports, principal, page.items) };
    },
  );
}

async function viewsOf(
  ports: ApiPorts,
  { tenant }: Principal,
  holds: readonly LegalHold[],
): Promise<z.infer<typeof LegalHoldView>[]> {
  const who = await resolvePrincipals(
    ports,
    tenant,
    holds.map(({ placedBy }) => placedBy),
  );
  return holds.map(({ runId, placedBy, ...hold }) => ({ run: runId, ...hold, placedBy: who(placedBy) }));
}
