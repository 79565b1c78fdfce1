import { z } from 'zod';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';
import { resolvePrincipals, WhoView } from '../whoView.ts';

const AuditView = z.object({
  id: z.string(),
  at: z.iso.datetime(),
  action: z.string(),
  outcome: z.enum(['success', 'denied', 'failure']),
  actor: z.looseObject({ id: z.string(), kind: z.string() }).nullable(),
  who: WhoView.describe(
    'Who the actor is; `null` where the actor is unknown, or the tenant does not know the principal.',
  ),
  txn: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()),
});

export function listRunAudit(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists what happened to a run and who answers for it, oldest first',
      tags: ['runs'],
      params: byId,
      querystring: z.strictObject({
        ...Page.shape,
        cursor: z
          .string()
          .regex(/^\d{1,18}$/)
          .optional(),
      }),
      response: { 200: pageOf(AuditView) },
    },
    async ({ query: { limit, cursor }, authorization: { principal, run } }) => {
      const page = await ports.auditTrail.listOfRun(principal.tenant, run!.id, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      const who = await resolvePrincipals(
        ports,
        principal.tenant,
        page.items.map(({ actor }) => actor),
      );
      const items = page.items.map(({ id, at, action, outcome, actor, txn, detail }) => ({
        id,
        at,
        action,
        outcome,
        actor,
        who: who(actor),
        txn,
        detail,
      }));
      return { items, nextCursor: page.nextCursor };
    },
  );
}
