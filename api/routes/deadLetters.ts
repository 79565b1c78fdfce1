import { z } from 'zod';
import { revealLetter } from '../../application/deadLetters/revealLetter.ts';
import { mayReadRun, readablePage, readablePipelines } from '../../application/readable.ts';
import { letterStates } from '../../domain/deadLetters/letterStates.ts';
import { WaybillError } from '../../domain/errors.ts';
import { type GroupField, groupFields } from '../../domain/ports/deadLetters.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import { DeadLetterDetail, DeadLetterView, letterViewsOf, valueViewOf } from '../letterView.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => value.isWellFormed() && !value.includes('\0'), 'A character of it cannot be stored.');

/** What may be asked of dead letters; all that is given must hold. */
export const LetterFilter = z.strictObject({
  run: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,200}$/)
    .optional()
    .describe('The run that rejected them first.'),
  pipeline: text(200).min(1).optional(),
  code: text(100).min(1).optional(),
  path: text(300).optional().describe('Dotted path of the field; empty: the whole record.'),
  state: z.enum(letterStates).optional(),
  from: z.iso.datetime({ offset: true }).optional().describe('Rejected first at this moment or later.'),
  to: z.iso.datetime({ offset: true }).optional().describe('Rejected first before this moment.'),
});

const GroupBy = z
  .string()
  .optional()
  .describe(`Answers counts instead of letters: one or more of ${groupFields.join(', ')}, with commas.`);

const GroupView = z.object({
  by: z.record(z.string(), z.string()),
  letters: z.int().min(1),
  example: z.string().nullable().describe('The id of one of them.'),
});

export function listDeadLetters(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists rejected records, newest first',
      description:
        'Only those of runs that you may read, without their values. A page may hold fewer than asked for and still have a next one. ' +
        'With `groupBy` it answers `groups`: how many there are of each kind, the most frequent first, at most 100.',
      tags: ['dead letters'],
      querystring: z.strictObject({ ...Page.shape, ...LetterFilter.shape, groupBy: GroupBy }),
      response: {
        200: pageOf(DeadLetterView).extend({
          groups: z.array(GroupView).optional().describe('Where `groupBy` asks for them.'),
        }),
      },
    },
    async ({ query: { limit, cursor, groupBy, ...filter }, authorization: { principal } }) => {
      if (groupBy !== undefined) {
        if (filter.from !== undefined || filter.to !== undefined)
          throw invalid('/from', 'Groups are counted over all times. Name a run instead.');
        const pipelines = readablePipelines(ports, principal).map(({ manifest }) => manifest.id);
        const groups = await ports.deadLetters.group(principal.tenant, filter, fieldsOf(groupBy), pipelines);
        return { items: [], nextCursor: null, groups };
      }
      const { items, nextCursor } = await readablePage(
        { limit, cursor },
        (page) => ports.deadLetters.list(principal.tenant, { ...filter, ...page }),
        ({ run }) => mayReadRun(ports.policy, principal, run),
      );
      const letters = items.map(({ letter }) => letter);
      return { items: await letterViewsOf(ports, options, principal, letters), nextCursor };
    },
  );
}

export function getDeadLetter(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Shows a rejected record',
      description:
        'With its value for callers who may reveal values; each such look is audited. `value=false` leaves it out.',
      tags: ['dead letters'],
      params: byId,
      querystring: z.strictObject({ value: z.enum(['true', 'false']).default('true') }),
      response: { 200: DeadLetterDetail },
    },
    async ({ query, authorization }) => {
      const [view] = await letterViewsOf(ports, options, authorization.principal, [authorization.letter!]);
      const value = query.value === 'true' ? await revealLetter(ports, authorization) : null;
      return { ...view!, value: valueViewOf(value) };
    },
  );
}

/** Throws `InvalidRequest`. */
function fieldsOf(groupBy: string): GroupField[] {
  const named = [...new Set(groupBy.split(','))];
  const known = named.filter((name): name is GroupField => groupFields.some((field) => field === name));
  if (known.length === named.length) return known;
  throw invalid('/groupBy', `Name one or more of ${groupFields.join(', ')}.`);
}

function invalid(path: string, message: string): WaybillError {
  return new WaybillError('InvalidRequest', { issues: [{ path, message }] });
}
