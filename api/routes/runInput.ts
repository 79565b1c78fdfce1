import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { findInputOffset, type InputOffset, receiveInput } from '../../application/runs/receiveInput.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Body } from '../bodies.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';

/** The fields of draft-ietf-httpbis-resumable-upload. */
const UploadFields = z.looseObject({
  'upload-offset': z
    .string()
    .optional()
    .describe('The byte at which the body continues, as `HEAD` says. Default with `PUT`: 0.'),
  'upload-complete': z
    .string()
    .optional()
    .describe('`?1`: the data ends with this body, which is the default with `PUT`. `?0`: more will follow.'),
  'upload-length': z.string().optional().describe('Of the whole data, in bytes.'),
  'content-encoding': z
    .string()
    .optional()
    .describe('In what the whole data is compressed: `gzip` or `zstd`. Offsets count the compressed bytes.'),
});

export function inputOffset(ports: ApiPorts) {
  return handler(
    {
      summary: 'Says how much of the data of a run is durable',
      description:
        'In `Upload-Offset`, `Upload-Complete` and `Upload-Limit`. For the requester of the run alone.',
      tags: ['runs'],
      params: byId,
      response: { 204: z.null().describe('The headers say how far the upload is.') },
    },
    async ({ authorization, request, reply }) => {
      for (const name of ['upload-offset', 'upload-complete'])
        if (request.headers[name] !== undefined) throw malformed(name, 'Ask without it.');
      const offset = await findInputOffset(ports, authorization);
      return withOffset(reply, offset).code(204).send(null);
    },
  );
}

export function sendInput(ports: ApiPorts, options: ApiOptions, method: 'PUT' | 'PATCH') {
  return handler(
    {
      summary: method === 'PUT' ? 'Sends the data of a run' : 'Sends a part of the data of a run',
      description:
        'In one request or in several, each at the offset where the one before has ended (draft-ietf-httpbis-resumable-upload). ' +
        'What arrived of a request that broke off stays. Answers 202 with the run once the data is complete and durable. ' +
        'For the requester of the run alone.',
      tags: ['runs'],
      params: byId,
      headers: UploadFields,
      response: {
        202: RunView.describe('All of the data is durable.'),
        204: z.null().describe('The body is durable; `Upload-Offset` is where the data continues.'),
      },
    },
    async ({ authorization, request, reply }) => {
      const { headers } = request;
      const offsetBytes = integerOf(
        'upload-offset',
        headers['upload-offset'],
        method === 'PUT' ? 0 : undefined,
      );
      if (offsetBytes === undefined)
        throw malformed('upload-offset', 'Say at which byte the body continues.');
      const { mediaType, compression, stream, sizeBytes } = bodyOf(request.body as Body | undefined);
      const { offset, run } = await receiveInput(ports, authorization, {
        offsetBytes,
        complete: booleanOf('upload-complete', headers['upload-complete'], method === 'PUT'),
        lengthBytes: integerOf('upload-length', headers['upload-length']),
        ...{ mediaType, compression, stream, sizeBytes },
      });
      withOffset(reply, offset);
      return run ? reply.code(202).send(runViewOf(run, options)) : reply.code(204).send(null);
    },
  );
}

function withOffset(reply: FastifyReply, offset: InputOffset): FastifyReply {
  const { receivedBytes, complete, lengthBytes, maxBytes, expiresAt } = offset;
  const leftS = Math.max(0, Math.floor((Date.parse(expiresAt) - Date.now()) / 1000));
  reply.header('upload-offset', receivedBytes).header('upload-complete', complete ? '?1' : '?0');
  if (lengthBytes !== undefined) reply.header('upload-length', lengthBytes);
  return reply.header('upload-limit', `max-size=${maxBytes}, max-age=${leftS}`);
}

function bodyOf(body: Body | undefined) {
  if (body?.kind === 'upload') return body;
  return { mediaType: undefined, compression: undefined, stream: undefined, sizeBytes: 0 };
}

/** Structured fields (RFC 9651) of at most 15 digits. */
function integerOf(name: string, field: unknown, missing?: number): number | undefined {
  if (field === undefined) return missing;
  if (typeof field === 'string' && /^\d{1,15}$/.test(field)) return Number(field);
  throw malformed(name, 'Send one integer, such as 1048576.');
}

function booleanOf(name: string, field: unknown, missing: boolean): boolean {
  if (field === undefined) return missing;
  if (field === '?1' || field === '?0') return field === '?1';
  throw malformed(name, 'Send ?1 or ?0.');
}

function malformed(path: string, message: string): WaybillError {
  return new WaybillError('InvalidRequest', { issues: [{ path, message }] });
}
