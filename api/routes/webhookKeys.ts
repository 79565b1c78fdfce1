import { z } from 'zod';
import { rotateWebhookKeys } from '../../application/identity/rotateKeys.ts';
import { overlapS } from '../../domain/webhooks/webhookKey.ts';
import { handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

const WebhookKeyView = z.object({
  id: z.string(),
  createdAt: z.iso.datetime(),
  aloneFrom: z.iso.datetime().describe('Until then the key before signs too, and either is enough.'),
});

export function webhookKeys({ webhookKeys }: ApiPorts) {
  return handler(
    {
      summary: 'Public keys by which the receivers of a tenant verify events (RFC 7517)',
      description:
        '`whpk` is the same key as Standard Webhooks writes it. A signature by any of them is enough; a new key signs beside the one before for a week.',
      tags: ['keys'],
      params: z.object({ tenant: z.string().max(200) }),
      response: { 200: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }) },
    },
    async ({ params: { tenant }, reply }) =>
      reply.header('cache-control', 'public, max-age=300').send(await webhookKeys.publicKeys(tenant)),
  );
}

export function rotateEventKeys(ports: ApiPorts) {
  return handler(
    {
      summary: 'Adds a key that signs events, beside the one before for a week',
      description: 'Within that week the newest is the answer, and none is added.',
      tags: ['keys'],
      response: { 201: WebhookKeyView },
    },
    async ({ authorization, reply }) => {
      const { id, createdAtS } = await rotateWebhookKeys(ports, authorization);
      const view = { id, createdAt: timeOf(createdAtS), aloneFrom: timeOf(createdAtS + overlapS) };
      return reply.code(201).send(view);
    },
  );
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
