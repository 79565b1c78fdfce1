import { z } from 'zod';
import { byId, handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

/** A route of its own, because counting may take long, and clients that follow a run ask for the run often. */
export function countRejections({ deadLetters }: ApiPorts) {
  return handler(
    {
      summary: 'Says why records of a run were refused',
      description: 'By code, of the first 10,000 dead letters. What waits to be published has none yet.',
      tags: ['runs'],
      params: byId,
      response: { 200: z.object({ rejectedByCode: z.record(z.string(), z.int().min(0)) }) },
    },
    async ({ authorization }) => {
      const { tenant, id, counts } = authorization.run!;
      return { rejectedByCode: counts.rejected > 0 ? await deadLetters.countByCode(tenant, id) : {} };
    },
  );
}
