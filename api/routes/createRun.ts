import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { Body } from '../bodies.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { afterLeader } from '../trigger/afterLeader.ts';
import { type Call, callOf } from '../trigger/draft.ts';
import { Envelope, triggerByEnvelope } from '../trigger/envelope.ts';
import { parseIdempotencyKey } from '../trigger/idempotency.ts';
import { mayRun } from '../trigger/mayRun.ts';
import { triggerByUpload } from '../trigger/upload.ts';

export function createRun(ports: ApiPorts, options: ApiOptions) {
  const inTurn = afterLeader();
  return handler(
    {
      summary: 'Begins a run',
      description:
        'By an envelope of JSON, or by the data itself as the body, with the parameters in the query. ' +
        'Answers 202 once the run, and all of its data where the request carried it, are durable.',
      tags: ['runs'],
      params: byId,
      headers: z.looseObject({
        'idempotency-key': z
          .string()
          .optional()
          .describe('Makes repeating the request safe: the same request with the same key is the same run.'),
      }),
      response: { 202: RunView.describe('Accepted; `Location` is where the run is.') },
    },
    async ({ admission, request, reply }) => {
      await mayRun(ports, admission, request);
      const key = parseIdempotencyKey(request.headers['idempotency-key']);
      const call = callOf(admission, request.traceId, key);
      const body = request.body as Body | undefined;
      const begin = () => trigger(ports, options, call, request.query as Record<string, unknown>, body);
      const waits = body?.kind !== 'upload' && key !== undefined;
      const run = await (waits ? inTurn(`${call.principal.id} ${key}`, begin) : begin());
      const view = runViewOf(run, options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}

function trigger(
  ports: ApiPorts,
  options: ApiOptions,
  call: Call,
  query: Record<string, unknown>,
  body: Body | undefined,
) {
  if (body?.kind === 'upload') return triggerByUpload(ports, options, call, { ...body, query });
  refuseQuery(query);
  const envelope = Envelope.safeParse(body ? body.json.value : {});
  if (envelope.success)
    return triggerByEnvelope(ports, options, call, envelope.data, body?.json.digest ?? '');
  throw new WaybillError('InvalidRequest', {
    issues: envelope.error.issues.map(({ path, message }) => ({ path: `/${path.join('/')}`, message })),
  });
}

/** A parameter that would be ignored is a mistake that nobody would notice. */
function refuseQuery(query: Record<string, unknown>): void {
  const [name] = Object.keys(query);
  if (name === undefined) return;
  const message = 'With an envelope, parameters go into its `parameters`.';
  throw new WaybillError('InvalidRequest', { issues: [{ path: `/query/${name}`, message }] });
}
