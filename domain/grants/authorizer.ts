import { type Policy, pipelineResourceOf } from '../policies/policy.ts';
import type { Authorizer } from '../ports/authorizer.ts';
import type { Definitions } from '../ports/definitions.ts';
import type { Revocations } from '../ports/revocations.ts';
import { actionsOf, credentialOf, type GrantClaims, principalOf } from './grant.ts';

/** What holds today for a run, of all that this process knows: its definitions, what was revoked, the policy in force. */
export function createAuthorizer(knowledge: {
  definitions: Definitions;
  revocations: Revocations;
  policy: Policy;
  refresh: Authorizer['refresh'] & {};
}): Authorizer {
  const { definitions, revocations, policy, refresh } = knowledge;

  function definitionOf({ tctx }: GrantClaims) {
    return definitions.find(tctx.pipeline, tctx.definitionDigest);
  }

  return {
    hasDefinition: (claims) => definitionOf(claims) !== undefined,
    isRevoked: (grant) => revocations.find(credentialOf(grant)) !== undefined,
    refresh,
    decide(claims, step) {
      const { manifest } = definitionOf(claims)!;
      const resource = pipelineResourceOf(manifest, claims.tctx.tenant);
      const principal = principalOf(claims);
      const decisions = actionsOf(step, claims.tctx.steps).map((action) =>
        policy.decide({ principal, action, resource }),
      );
      return {
        allowed: decisions.length > 0 && decisions.every(({ allowed }) => allowed),
        policies: [...new Set(decisions.flatMap(({ policies }) => policies))],
        digest: decisions[0]?.digest ?? null,
      };
    },
  };
}
