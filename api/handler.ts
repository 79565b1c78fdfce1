import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Authorization } from '../application/authorize.ts';
import { Problem } from './problem.ts';

/** A route’s documentation, the shape of its input, and what answers it once all checks have passed. */
export interface Handler {
  schema: HandlerSchema & { response: Record<string, unknown> };
  handle(request: FastifyRequest, reply: FastifyReply): Promise<unknown>;
}

interface HandlerSchema {
  summary: string;
  tags: string[];
  description?: string;
  params?: z.ZodType;
  querystring?: z.ZodType;
  headers?: z.ZodType;
  /** Media types of the body, where it is no JSON. */
  consumes?: string[];
  body?: z.ZodType;
  response: Record<string, unknown>;
}

type Parsed<T> = T extends z.ZodType ? z.output<T> : unknown;

/** Gives a handler the types of what its schema lets through. */
export function handler<S extends HandlerSchema>(
  schema: S,
  handle: (call: {
    params: Parsed<S['params']>;
    query: Parsed<S['querystring']>;
    body: Parsed<S['body']>;
    authorization: Authorization;
    request: FastifyRequest;
    reply: FastifyReply;
  }) => Promise<unknown>,
): Handler {
  const refusal = {
    description: 'Rejected; `code` says why.',
    content: { 'application/problem+json': { schema: Problem } },
  };
  return {
    schema: { ...schema, response: { ...schema.response, default: refusal } },
    handle: (request, reply) =>
      handle({
        params: request.params as Parsed<S['params']>,
        query: request.query as Parsed<S['querystring']>,
        body: request.body as Parsed<S['body']>,
        authorization: request.authorization!,
        request,
        reply,
      }),
  };
}

export const byId = z.object({ id: z.string() });

/** Which page of a list is asked for. */
export const Page = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z
    .string()
    .regex(/^[\x21-\x7e]{1,300}$/)
    .optional()
    .describe('`nextCursor` of the page before.'),
});

/** A page of a list as it is answered. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}
