import { principalId } from '../../domain/principal.ts';
import { ProblemError, type WaybillClient } from '../../sdk/client.ts';
import type { Attack } from './attack.ts';

/** How long a revocation may take to reach every process. */
const knownWithinMs = 10_000;

/** A revoked principal, with the token that it still has. */
export function revokedRight(operator: WaybillClient, erin: WaybillClient): Attack {
  return {
    tried: 'the runs of her tenant, as erin, right after carol revoked her',
    code: 'PrincipalRevoked',
    async attempt({ dev }) {
      const target = principalId(dev.issuerUrl, 'erin');
      const revocation = await operator.revoke('principal', target, { reason: 'waybill attack' });
      try {
        for (const from = performance.now(); performance.now() - from < knownWithinMs; ) {
          const code = await refusalOf(erin);
          if (code) return code;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        return undefined;
      } finally {
        await operator.restore(revocation.id);
      }
    },
  };
}

async function refusalOf(client: WaybillClient): Promise<string | undefined> {
  try {
    await client.listRuns();
    return undefined;
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
}
