import { z } from 'zod';
import { handler, Page } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

const AuditView = z.object({
  id: z.string(),
  at: z.iso.datetime(),
  action: z.string(),
  outcome: z.enum(['success', 'denied', 'failure']),
  actor: z.looseObject({ id: z.string(), kind: z.string() }).nullable(),
  txn: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()),
});

export function listRunAudit({ intake }: ApiPorts) {
  return handler(
    {
      summary: 'Lists what happened to a run and who answers for it, oldest first',
      tags: ['runs'],
      params: z.object({ id: z.string() }),
      querystring: z.strictObject({
        ...Page.shape,
        cursor: z
          .string()
          .regex(/^\d{1,18}$/)
          .optional(),
      }),
      response: { 200: z.object({ items: z.array(AuditView), nextCursor: z.string().nullable() }) },
    },
    async ({ query: { limit, cursor }, admission: { principal, run } }) => {
      const page = await intake.listAudit(principal.tenant, run!.id, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      const items = page.items.map(({ id, at, action, outcome, actor, txn, detail }) => ({
        id,
        at,
        action,
        outcome,
        actor,
        txn,
        detail,
      }));
      return { items, nextCursor: page.nextCursor };
    },
  );
}
