import { z } from 'zod';
import { handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

/** The process answers; says nothing about what it depends on. */
export function health() {
  return handler(
    {
      summary: 'Whether this process lives',
      tags: ['operations'],
      response: { 200: z.object({ status: z.literal('ok') }) },
    },
    async () => ({ status: 'ok' }),
  );
}

/** Fails with `DatabaseUnavailable`, so that a load balancer sends callers elsewhere. */
export function ready({ checkDatabase }: ApiPorts) {
  return handler(
    {
      summary: 'Whether this process can accept runs now',
      tags: ['operations'],
      response: { 200: z.object({ status: z.literal('ready') }) },
    },
    async () => {
      await checkDatabase();
      return { status: 'ready' };
    },
  );
}

export function keys({ grantSigner }: ApiPorts) {
  return handler(
    {
      summary: 'Public keys of the grants (RFC 7517)',
      tags: ['operations'],
      response: { 200: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }) },
    },
    async ({ reply }) =>
      reply.header('cache-control', 'public, max-age=30').send(await grantSigner.publicKeys()),
  );
}

export function openapi() {
  return handler(
    { summary: 'This document', tags: ['operations'], response: { 200: z.record(z.string(), z.unknown()) } },
    async ({ request, reply }) =>
      reply.type('application/json').send(JSON.stringify(request.server.swagger())),
  );
}
