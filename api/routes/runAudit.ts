import { z } from 'zod';
import { listHistory } from '../../application/deadLetters/revealLetter.ts';
import type { AuditRecord } from '../../domain/ports/audit.ts';
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

const Cursor = z
  .string()
  .regex(/^\d{1,18}$/)
  .optional();

export function listRunAudit(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists what happened to a run and who answers for it, oldest first',
      tags: ['runs'],
      params: byId,
      querystring: z.strictObject({
        ...Page.shape,
        cursor: Cursor,
      }),
      response: { 200: pageOf(AuditView) },
    },
    async ({ query: { limit, cursor }, authorization: { principal, run } }) => {
      const page = await ports.auditTrail.listOfRun(principal.tenant, run!.id, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      const events = await eventViewsOf(ports, principal.tenant, page.items);
      return { items: events.map(({ run: _, ...event }) => event), nextCursor: page.nextCursor };
    },
  );
}

export function listLetterAudit(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists what happened to a rejected record and who answers for it, oldest first',
      description:
        'Its rejection, its edits, and of each redrive that you may read acceptance, approval, the step that stored its record, and end.',
      tags: ['dead letters'],
      params: byId,
      querystring: z.strictObject({ ...Page.shape, cursor: Cursor }),
      response: { 200: pageOf(AuditView.extend({ run: z.string() })) },
    },
    async ({ query: { limit, cursor }, authorization }) => {
      const page = await listHistory(ports, authorization, {
        limit,
        ...(cursor !== undefined && { cursor }),
      });
      const { tenant } = authorization.principal;
      return { items: await eventViewsOf(ports, tenant, page.items), nextCursor: page.nextCursor };
    },
  );
}

async function eventViewsOf(ports: ApiPorts, tenant: string, events: readonly AuditRecord[]) {
  const who = await resolvePrincipals(
    ports,
    tenant,
    events.map(({ actor }) => actor),
  );
  return events.map(({ id, at, action, outcome, actor, txn, detail, runId }) => ({
    ...{ id, at, action, outcome, actor },
    ...{ who: who(actor), txn, detail, run: runId! },
  }));
}
