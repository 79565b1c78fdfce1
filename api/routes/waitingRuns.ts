import { z } from 'zod';
import {
  cancelWaitingRuns,
  moveWaitingRuns,
  type WaitingPage,
} from '../../application/runs/runsWithoutDefinition.ts';
import { runStates } from '../../domain/runs/run.ts';
import { handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const body = z.strictObject({
  definitionMissing: z
    .literal(true)
    .describe(
      'Runs that are suspended or wait for an approval, and were accepted with a definition that is not served.',
    ),
  pipeline: z
    .string()
    .regex(/^[^\0]{1,200}$/)
    .optional(),
  cursor: z.string().optional().describe('The `nextCursor` of the answer before.'),
  dryRun: z.boolean().default(false).describe('Answers what would become of each run, and changes nothing.'),
});

const View = z.object({
  dryRun: z.boolean(),
  items: z.array(
    z.object({
      run: z.string(),
      pipeline: z.string(),
      state: z.enum(runStates).describe('Before the request, or after its cancel.'),
      code: z.string().nullable().describe('Why nothing was done to it.'),
      movedTo: z.string().nullable().describe('The run that does its work now.'),
    }),
  ),
  nextCursor: z.string().nullable().describe('Where there are more than 100.'),
});

export function cancelRuns(ports: ApiPorts) {
  return handler(
    {
      summary: 'Asks for the end of all runs with a missing definition',
      description: 'What is stored stays stored. The policy is asked about each run.',
      tags: ['runs'],
      body,
      response: { 200: View },
    },
    async ({ body, authorization }) =>
      viewOf(body.dryRun, await cancelWaitingRuns(ports, authorization, body)),
  );
}

export function moveRuns(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Moves all runs with a missing definition onto the current one',
      description:
        'Each is cancelled, and a new run under your grant does what it has not stored of its pinned input. You need the right to cancel ' +
        'the run and to trigger its pipeline. A run that waited for an approval waits for a new one, since other code makes its rows.',
      tags: ['runs'],
      body,
      response: { 200: View },
    },
    async ({ body, authorization }) =>
      viewOf(body.dryRun, await moveWaitingRuns(ports, options, authorization, body)),
  );
}

function viewOf(dryRun: boolean, { items, nextCursor }: WaitingPage): z.infer<typeof View> {
  const shown = items.map(({ run: { id, pipeline, state }, code, movedTo }) => ({
    ...{ run: id, pipeline, state, code, movedTo },
  }));
  return { dryRun, items: shown, nextCursor };
}
