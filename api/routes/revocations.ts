import { z } from 'zod';
import { restore, revocationScopeOf, revoke } from '../../application/identity/revoke.ts';
import type { Principal } from '../../domain/principal.ts';
import { type Revocation, type RevocationKind, revocationKinds } from '../../domain/revocation.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { resolvePrincipals, WhoView } from '../whoView.ts';

const kind = z.enum(revocationKinds);
const who = z.looseObject({ id: z.string(), kind: z.string() }).nullable();

export const RevocationView = z.object({
  id: z.string(),
  kind,
  target: z.string().describe('Who or what was revoked: the `id` of the request.'),
  tenant: z
    .string()
    .nullable()
    .describe('Where it holds, and nowhere else; `null` for keys, which sign for all tenants.'),
  issuedUntil: z.iso
    .datetime()
    .nullable()
    .describe('Only what was issued until then is void, as after a logout; `null`: everything.'),
  reason: z.string().nullable(),
  revokedBy: who.describe('`null` where the identity provider said so.'),
  createdAt: z.iso.datetime(),
  liftedBy: who,
  liftedAt: z.iso.datetime().nullable(),
  who: z
    .object({ target: WhoView, revokedBy: WhoView, liftedBy: WhoView })
    .describe(
      'Who these are; `null` without a principal, and for a principal that the tenant does not know.',
    ),
});

const MadeRevocation = RevocationView.extend({
  notice: z.string().nullable().describe('Why this may not be what was meant.'),
});

/** What a target may look like; `prn_…`, the id of a run or the `jti` of a grant, the thumbprint of a key. */
const targets: Record<RevocationKind, RegExp> = {
  principal: /^prn_[\w-]{22}$/,
  grant: /^[A-Za-z0-9._-]{1,200}$/,
  key: /^[\w-]{43}$/,
  delegation: /^dlg_[0-9a-f-]{36}$/,
};

const RevocationRequest = z
  .strictObject({
    kind,
    id: z.string().max(200).describe('`prn_…`; `dlg_…`; of a grant the id of its run; of a key its `kid`.'),
    reason: z
      .string()
      .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.')
      .optional(),
    force: z.boolean().default(false).describe('Also where it is yourself.'),
  })
  .refine(({ kind, id }) => targets[kind].test(id), { path: ['id'], message: 'That is no id of this kind.' });

export function createRevocation(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Revokes a right',
      description:
        'Within 10 s no task of a worker and no request goes on under it. Runs that need it are suspended and go on ' +
        'once it is restored. What is revoked already stays as it is and is answered with 200. It holds in your tenant and in ' +
        'no other; `notice` says that the tenant does not know a principal of that id.',
      tags: ['revocations'],
      body: RevocationRequest,
      response: { 200: MadeRevocation, 201: MadeRevocation },
    },
    async ({ body, authorization, reply }) => {
      const wanted = { ...body, reason: body.reason ?? null };
      const { revocation, created, notice } = await revoke(ports, options, authorization, wanted);
      const [shown] = await withWho(ports, authorization.principal, [revocation]);
      return reply.code(created ? 201 : 200).send({ ...shown!, notice });
    },
  );
}

export function listRevocations(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Lists what is revoked, newest first',
      tags: ['revocations'],
      querystring: z.strictObject({
        ...Page.shape,
        kind: kind.optional(),
        id: z
          .string()
          .regex(/^[^\0]{1,200}$/)
          .optional()
          .describe('Who or what was revoked.'),
      }),
      response: { 200: pageOf(RevocationView) },
    },
    async ({ query: { kind, id, limit, cursor }, authorization: { principal } }) => {
      const page = await ports.revocationRecords.list(revocationScopeOf(ports, options, principal), {
        limit,
        ...(kind !== undefined && { kind }),
        ...(id !== undefined && { target: id }),
        ...(cursor !== undefined && { cursor }),
      });
      return { ...page, items: await withWho(ports, principal, page.items) };
    },
  );
}

export function liftRevocation(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Gives a right back',
      description: 'Runs that were suspended for it go on from where they stood.',
      tags: ['revocations'],
      params: byId,
      response: { 200: RevocationView },
    },
    async ({ params: { id }, authorization }) => {
      const lifted = await restore(ports, options, authorization, id);
      const [shown] = await withWho(ports, authorization.principal, [lifted]);
      return shown!;
    },
  );
}

async function withWho(
  ports: ApiPorts,
  { tenant }: Principal,
  revocations: readonly Revocation[],
): Promise<z.infer<typeof RevocationView>[]> {
  const targetOf = ({ kind, target }: Revocation) => (kind === 'principal' ? { id: target } : null);
  const named = revocations.flatMap((one) => [targetOf(one), one.revokedBy, one.liftedBy]);
  const who = await resolvePrincipals(ports, tenant, named);
  return revocations.map((one) => {
    const { revokedBy, liftedBy } = one;
    return {
      ...one,
      who: { target: who(targetOf(one)), revokedBy: who(revokedBy), liftedBy: who(liftedBy) },
    };
  });
}
