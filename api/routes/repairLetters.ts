import { z } from 'zod';
import { repairByRule } from '../../application/deadLetters/repairByRule.ts';
import { repairLetter } from '../../application/deadLetters/repairLetter.ts';
import { EditRule } from '../../domain/deadLetters/editRule.ts';
import { byId, handler, Page } from '../handler.ts';
import { letterViewsOf, outcomeViewOf, RepairView } from '../letterView.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { choiceOf, chosen, isOneChoice, oneChoice } from './redriveLetters.ts';

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

const total = z.int().min(0);

const RuleView = z.object({
  dryRun: z.boolean(),
  letters: total.describe('How many letters this step looked at; at most 500.'),
  repaired: total.describe('How many fit now. They are kept unless it is a dry run.'),
  untouched: total.describe(
    'To how many the rule does not apply, for a field is not there or the record cannot be read.',
  ),
  failing: z
    .array(z.object({ code: z.string(), path: z.string(), letters: total, example: z.string() }))
    .describe('Why the others still do not fit, the most frequent first.'),
  nextCursor: z.string().nullable().describe('Send it as `cursor` for the next step.'),
});

export function repairDeadLetters(ports: ApiPorts) {
  return handler(
    {
      summary: 'Edits rejected records by a rule',
      description:
        'Sets fields, or applies a JSON Patch, to open letters of one pipeline: up to 500 in a request, the oldest first. Each edited record is ' +
        'tried by the current definition and kept only where it fits. Begin with `dryRun`.',
      tags: ['dead letters'],
      body: z
        .strictObject({ ...chosen, rule: EditRule, cursor: Page.shape.cursor })
        .refine(isOneChoice, oneChoice),
      response: { 200: RuleView },
    },
    async ({ body, authorization }) => {
      const { rule, cursor, dryRun = false } = body;
      const asked = { choice: choiceOf(body), rule, dryRun, cursor };
      return { dryRun, ...(await repairByRule(ports, authorization, asked)) };
    },
  );
}
