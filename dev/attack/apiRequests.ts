import { obtainToken } from '../../cli/embedded/obtainToken.ts';
import type { Attack } from './attack.ts';

/** An attacker who reaches the API, with the tokens of others or for the runs of others. */
export const apiRequests: readonly Attack[] = [
  {
    tried: 'no access token',
    code: 'Unauthenticated',
    attempt: ({ ask }) => ask('/v1/runs', undefined),
  },
  {
    tried: 'alice’s token with another tenant written into it',
    code: 'Unauthenticated',
    attempt: ({ ask, forger, token }) =>
      ask(
        '/v1/runs',
        forger.altered(token, (claims) => ({ ...claims, tenant: 'globex' })),
      ),
  },
  {
    tried: 'a token with her name, signed with another key',
    code: 'Unauthenticated',
    attempt: async ({ ask, forger, token }) => ask('/v1/runs', await forger.resigned(token)),
  },
  {
    tried: 'a token that says it needs no signature',
    code: 'Unauthenticated',
    attempt: ({ ask, forger, token }) => ask('/v1/runs', forger.unsigned(token)),
  },
  {
    tried: 'the grant of her run, copied out of Temporal, as a token',
    code: 'Unauthenticated',
    attempt: ({ ask, grant }) => ask('/v1/runs', grant),
  },
  {
    tried: 'her run by its id, as dave of another tenant',
    code: 'RunNotFound',
    attempt: async ({ ask, dev, victim }) => ask(`/v1/runs/${victim.id}`, await tokenOf(dev, 'dave')),
  },
  {
    tried: 'to cancel it, as dave',
    code: 'RunNotFound',
    attempt: async ({ ask, dev, victim }) =>
      ask(`/v1/runs/${victim.id}/cancel`, await tokenOf(dev, 'dave'), { method: 'POST' }),
  },
];

async function tokenOf({ issuerUrl }: { issuerUrl: string }, name: string): Promise<string> {
  return (await obtainToken(issuerUrl, name)).token;
}
