import { z } from 'zod';
import { limitNames } from '../../domain/limits.ts';
import { handler, pageOf } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

export const LimitView = z.object({
  name: z.enum(limitNames),
  pipeline: z.string().nullable().describe('`null`: all pipelines of the tenant together.'),
  max: z.int(),
  use: z
    .int()
    .nullable()
    .describe('Some seconds old at most. `null` for rates, and for what each API counts for itself.'),
});

export function listLimits(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists the limits of your tenant, with their use',
      tags: ['limits'],
      response: { 200: pageOf(LimitView) },
    },
    async ({ authorization: { principal } }) => ({
      items: await ports.limits.read(principal.tenant),
      nextCursor: null,
    }),
  );
}
