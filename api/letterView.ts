import { z } from 'zod';
import type { RevealedValue } from '../application/deadLetters/revealLetter.ts';
import type { LetterOutcome } from '../application/deadLetters/tryLetters.ts';
import type { DeadLetter } from '../domain/deadLetters/deadLetter.ts';
import { letterStates } from '../domain/deadLetters/letterStates.ts';
import { letterLinksOf, runLinksOf } from '../domain/links.ts';
import type { Principal, Requester } from '../domain/principal.ts';
import type { ApiOptions, ApiPorts } from './ports.ts';
import { resolvePrincipals, WhoView } from './whoView.ts';

/** A rejected record as lists show it: without its value. */
export const DeadLetterView = z.object({
  id: z.string().describe('Stable through all attempts.'),
  run: z.string().describe('The run that rejected it first.'),
  pipeline: z.string(),
  version: z.int().describe('Of the definition that rejected it first.'),
  state: z.enum(letterStates),
  attempt: z.int().min(1).describe('How often its record was tried.'),
  revision: z
    .int()
    .min(1)
    .describe('Counts the changes. Send it with an edit, so that you overwrite no other.'),
  stage: z.enum(['validate', 'transform', 'store']),
  code: z.string(),
  path: z.string().describe('Dotted path of the field; empty: the whole record.'),
  message: z.string(),
  position: z.int().min(0).describe('Ordinal of the record in its run, from 0.'),
  line: z
    .int()
    .min(0)
    .describe('Where the record is: its line, its item of an array, or its row of a row group.'),
  rowGroup: z.int().min(0).optional().describe('Of Parquet.'),
  byteOffset: z.int().min(0),
  byteLength: z.int().min(0),
  source: z.string().optional().describe('The object that it was read of, where the source holds many.'),
  createdAt: z.iso.datetime(),
  changedAt: z.iso.datetime().nullable(),
  edited: z.object({ by: WhoView, at: z.iso.datetime(), form: z.enum(['record', 'raw']) }).nullable(),
  discarded: z.object({ by: WhoView, reason: z.string() }).nullable(),
  redrive: z.string().nullable().describe('The run that has it while it is `redriving`, or had it last.'),
  links: z.object({ self: z.string(), run: z.string(), redrive: z.string().nullable(), audit: z.string() }),
});

export const DeadLetterDetail = DeadLetterView.extend({
  value: z
    .object({
      raw: z.union([
        z.object({ text: z.string() }),
        z.object({ base64: z.string() }),
        z.object({ tooLarge: z.literal(true) }),
      ]),
      edit: z.object({ form: z.enum(['record', 'raw']), text: z.string() }).nullable(),
      header: z.array(z.string()).nullable().describe('Names of the columns, of CSV only.'),
    })
    .nullable()
    .describe('What was rejected, and what it was edited to; `null` for callers who may not reveal values.'),
});

export const RepairView = z.object({
  kept: z.boolean().describe('`false` for a dry run.'),
  letter: DeadLetterView,
  outcome: z
    .object({
      kind: z.enum(['stored', 'filtered']),
      rows: z
        .array(z.record(z.string(), z.string().nullable()))
        .describe('What a redrive would store: each row by its columns, as texts that PostgreSQL reads.'),
    })
    .describe('What the current definition makes of the edited record.'),
});

export async function letterViewsOf(
  ports: ApiPorts,
  options: ApiOptions,
  { tenant }: Principal,
  letters: readonly DeadLetter[],
): Promise<z.infer<typeof DeadLetterView>[]> {
  const named = letters.flatMap(({ edited, discarded }) => [edited?.by ?? null, discarded?.by ?? null]);
  const who = named.some((one) => one) ? await resolvePrincipals(ports, tenant, named) : () => null;
  return letters.map((letter) => viewOf(letter, options, who));
}

function viewOf(
  { tenant: _, redriveRuns: __, runId, redriveRun, edited, discarded, ...letter }: DeadLetter,
  { publicUrl }: ApiOptions,
  who: (one: NonNullable<DeadLetter['edited']>['by']) => Requester | null,
): z.infer<typeof DeadLetterView> {
  return {
    ...letter,
    run: runId,
    edited: edited && { ...edited, by: who(edited.by) },
    discarded: discarded && { ...discarded, by: who(discarded.by) },
    redrive: redriveRun,
    links: {
      ...letterLinksOf(letter.id, publicUrl),
      run: runLinksOf(runId, publicUrl).self,
      redrive: redriveRun && runLinksOf(redriveRun, publicUrl).self,
    },
  };
}

export function valueViewOf(value: RevealedValue | null) {
  return value && { ...value, header: value.header && [...value.header] };
}

export function outcomeViewOf(outcome: LetterOutcome): z.infer<typeof RepairView>['outcome'] {
  if (outcome.kind === 'stored') return { kind: 'stored', rows: outcome.rows };
  return { kind: 'filtered', rows: [] };
}
