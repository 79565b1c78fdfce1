import { z } from 'zod';
import { repairLetter } from '../../application/deadLetters/repairLetter.ts';
import { byId, handler } from '../handler.ts';
import { letterViewsOf, outcomeViewOf, RepairView } from '../letterView.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const Corrected = z
  .strictObject({
    record: z.record(z.string(), z.unknown()).optional().describe('The corrected record, as JSON.'),
    raw: z
      .string()
      .max(1_048_576)
      .refine((text) => text.isWellFormed(), 'Half of a surrogate pair is not a character.')
      .optional()
      .describe(
        'The corrected record in the format of its source, such as a line of CSV. It keeps each digit of a number.',
      ),
    revision: z.int().min(1).optional().describe('Of the letter as you read it.'),
    dryRun: z.boolean().optional().describe('Tries the record without keeping it.'),
  })
  .refine(({ record, raw }) => (record === undefined) !== (raw === undefined), {
    path: ['record'],
    error: 'Send either record or raw.',
  });

export function repairDeadLetter(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Edits a rejected record',
      description:
        'The current definition validates and transforms it at once. Where it fits, the edit is kept beside the original bytes, and ' +
        'the answer says what a redrive would store; else `RepairRejected` says what is still wrong.',
      tags: ['dead letters'],
      params: byId,
      body: Corrected,
      response: { 200: RepairView },
    },
    async ({ body: { record, raw, ...asked }, authorization }) => {
      const edit =
        raw === undefined
          ? { form: 'record' as const, text: JSON.stringify(record) }
          : { form: 'raw' as const, text: raw };
      const { letter, outcome } = await repairLetter(ports, authorization, { ...edit, ...asked });
      const [view] = await letterViewsOf(ports, options, authorization.principal, [letter]);
      return { kept: asked.dryRun !== true, letter: view!, outcome: outcomeViewOf(outcome) };
    },
  );
}
