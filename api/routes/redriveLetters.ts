import { z } from 'zod';
import type { Choice } from '../../application/deadLetters/chooseLetters.ts';
import { discardLetters as discard } from '../../application/deadLetters/discardLetters.ts';
import { previewRedrive, redriveLetters as redrive } from '../../application/deadLetters/redriveLetters.ts';
import { letterIdPattern } from '../../application/findResource.ts';
import { sha256 } from '../../application/sha256.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { ratePattern } from '../../domain/duration.ts';
import { handler } from '../handler.ts';
import { parseIdempotencyKey } from '../idempotencyKey.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { LetterFilter } from './deadLetters.ts';

const Reason = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.');

/** Letters of one pipeline: by their ids, or all open ones that a filter holds. */
export const chosen = {
  ids: z
    .array(z.string().regex(letterIdPattern, 'Name the id of a dead letter.'))
    .min(1)
    .max(1_000)
    .optional(),
  filter: LetterFilter.omit({ state: true }).optional().describe('Names a pipeline or a run at least.'),
  dryRun: z.boolean().optional().describe('Answers how many letters it would be, and changes nothing.'),
};

export function isOneChoice({ ids, filter }: { ids?: unknown; filter?: unknown }): boolean {
  return (ids === undefined) !== (filter === undefined);
}
export const oneChoice = { path: ['ids'], error: 'Send either ids or filter.' };

const RedriveRequest = z
  .strictObject({
    ...chosen,
    parameters: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('Of the run. Default: those of the runs that rejected the records.'),
    throttle: z
      .string()
      .regex(ratePattern, 'Write it as records in a time, such as 50/s, 600/m or 100/h.')
      .optional()
      .describe(
        'How many records are begun in a second, minute or hour at most, such as `50/s`. Default: as many as fit.',
      ),
    reason: Reason.optional().describe('For the audit.'),
  })
  .refine(isOneChoice, oneChoice);

const PreviewView = z.object({
  dryRun: z.literal(true),
  pipeline: z.string(),
  letters: z.int().min(1),
  repaired: z.int().min(0).describe('How many of them were edited.'),
  more: z.boolean().describe('Whether more fit than the 100,000 that one redrive takes.'),
  leastMs: z.int().min(0).optional().describe('How long it takes at least, where it is throttled.'),
});

export function redriveDeadLetters(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Sends rejected records through their pipeline again',
      description:
        'As a run of its own under your grant, which passes the gate of the pipeline. Each letter is in one redrive at a time, and its ' +
        'record is stored at most once. With `dryRun` it answers 200 and counts.',
      tags: ['dead letters'],
      headers: z.looseObject({
        'idempotency-key': z.string().optional().describe('Makes repeating the request safe.'),
      }),
      body: RedriveRequest,
      response: { 200: PreviewView, 202: RunView.describe('Accepted; `Location` is where the run is.') },
    },
    async ({ body, authorization, request, reply }) => {
      const { throttle } = body;
      const choice = choiceOf(body);
      if (body.dryRun)
        return { dryRun: true, ...(await previewRedrive(ports, authorization, { choice, throttle })) };
      const run = await redrive(ports, options, authorization, {
        choice,
        throttle,
        parameters: body.parameters,
        reason: body.reason,
        bodyDigest: sha256(canonicalJson(body)),
        idempotencyKey: parseIdempotencyKey(request.headers['idempotency-key']),
      });
      const view = runViewOf(run, options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}

export function discardDeadLetters(ports: ApiPorts) {
  return handler(
    {
      summary: 'Gives rejected records up for good',
      tags: ['dead letters'],
      body: z.strictObject({ ...chosen, reason: Reason }).refine(isOneChoice, oneChoice),
      response: { 200: z.object({ dryRun: z.boolean(), letters: z.int().min(0) }) },
    },
    async ({ body, authorization }) => {
      const { reason, dryRun = false } = body;
      return { dryRun, ...(await discard(ports, authorization, { choice: choiceOf(body), reason, dryRun })) };
    },
  );
}

export function choiceOf({
  ids,
  filter,
}: {
  ids?: string[] | undefined;
  filter?: LetterChoice | undefined;
}): Choice {
  return ids ? { ids: [...new Set(ids)] } : { filter: filter! };
}

type LetterChoice = Omit<z.infer<typeof LetterFilter>, 'state'>;
