import { z } from 'zod';
import { rotateGrantKeys } from '../../application/identity/rotateKeys.ts';
import type { GrantKey, GrantKeyState } from '../../domain/grants/grantKey.ts';
import { handler, pageOf } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';

const KeyView = z.object({
  kid: z.string().describe('RFC 7638 thumbprint, as in the header of each grant that it signed.'),
  state: z
    .enum(['active', 'next', 'retired', 'revoked', 'unendorsed'])
    .describe(
      '`retired`: its signatures stay valid; `revoked`: they are void; `unendorsed`: no root has endorsed the row, so ' +
        'its signatures count for nothing. Check who wrote to the database.',
    ),
  createdAt: z.iso.datetime(),
  signsFrom: z.iso.datetime(),
  retiredAt: z.iso.datetime().nullable(),
});

export function listKeys({ grantKeys }: ApiPorts) {
  return handler(
    {
      summary: 'Lists the keys that sign grants, newest first',
      tags: ['keys'],
      response: { 200: pageOf(KeyView) },
    },
    async () => ({ items: (await grantKeys.list()).map(viewOf), nextCursor: null }),
  );
}

export function rotateKeys(ports: ApiPorts) {
  return handler(
    {
      summary: 'Adds a key that soon takes the place of the active one',
      description: 'Where a key is on its way already, it is the answer, and none is added.',
      tags: ['keys'],
      response: { 201: KeyView },
    },
    async ({ authorization, reply }) =>
      reply.code(201).send(viewOf(await rotateGrantKeys(ports, authorization))),
  );
}

function viewOf(key: GrantKey & { state: GrantKeyState }): z.infer<typeof KeyView> {
  const { kid, state, createdAtS, signsFromS, retiredAtS } = key;
  return {
    kid,
    state,
    createdAt: timeOf(createdAtS),
    signsFrom: timeOf(signsFromS),
    retiredAt: retiredAtS === null ? null : timeOf(retiredAtS),
  };
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
