import { z } from 'zod';
import { parseEnvelope } from '../../application/runs/acceptEnvelope.ts';
import { acceptRun } from '../../application/runs/acceptRun.ts';
import { authorizeRun } from '../../application/runs/authorizeRun.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Body } from '../bodies.ts';
import { byId, handler } from '../handler.ts';
import { parseIdempotencyKey } from '../idempotencyKey.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';

export function createRun(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Begins a run',
      description:
        'By an envelope of JSON, or by the data itself as the body, with the parameters in the query. ' +
        'Answers 202 once the run, and all of its data where the request carried it, are durable. After an envelope without ' +
        'data for a pipeline with an upload source, the data goes to `links.input`.',
      tags: ['runs'],
      params: byId,
      headers: z.looseObject({
        'idempotency-key': z
          .string()
          .optional()
          .describe('Makes repeating the request safe: the same request with the same key is the same run.'),
        'content-encoding': z
          .string()
          .optional()
          .describe('In what the data is compressed: `gzip` or `zstd`. An envelope is not compressed.'),
      }),
      response: { 202: RunView.describe('Accepted; `Location` is where the run is.') },
    },
    async ({ authorization, request, reply }) => {
      await authorizeRun(ports, authorization);
      const idempotencyKey = parseIdempotencyKey(request.headers['idempotency-key']);
      const query = request.query as Record<string, unknown>;
      const asked = { ...requestOf(request.body as Body | undefined, query), idempotencyKey };
      const caller = { ...authorization, pipeline: authorization.pipeline! };
      const { run } = await acceptRun(ports, options, caller, asked);
      const view = runViewOf(run, options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}

/** What the body asks for. */
function requestOf(body: Body | undefined, query: Record<string, unknown>) {
  if (body?.kind === 'upload') return { ...body, mediaType: body.mediaType!, query };
  rejectQuery(query);
  const envelope = parseEnvelope(body ? body.json.value : {});
  const { digest = '', recordTexts } = body?.json ?? {};
  return {
    kind: 'envelope' as const,
    envelope,
    recordTexts,
    bodyDigest: digest,
    dataFollows: body !== undefined,
  };
}

/** A parameter that is ignored would be a silent mistake. */
function rejectQuery(query: Record<string, unknown>): void {
  const [name] = Object.keys(query);
  if (name === undefined) return;
  const message = 'With an envelope, parameters go into its `parameters`.';
  throw new WaybillError('InvalidRequest', { issues: [{ path: `/query/${name}`, message }] });
}
